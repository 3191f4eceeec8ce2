"""Nested JSON of exports as flat records: pages and buckets of totals, and OpenTelemetry's spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

__all__ = ["expand", "look_up", "page_items"]

Record = Mapping[str, Any]


def expand(record: Any) -> Iterator[Record | str]:
    """The records inside one: a page's buckets, a bucket's results, the spans of an OTLP export, or itself.

    Span attributes become columns of their own, under their dotted names. Instead of a record comes the
    reason why something is none.
    """
    if not isinstance(record, Mapping):
        yield "not a JSON object"
    elif record.get("object") == "page" and isinstance(record.get("data"), list):
        for item in page_items(record, record["data"]):
            yield from expand(item)
    elif record.get("object") == "bucket" and isinstance(record.get("results", record.get("result")), list):
        head = {name: value for name, value in record.items() if name not in ("results", "result")}
        # A bucket without results is a day on which nothing happened, and belongs to the time covered.
        for result in record.get("results", record.get("result")) or [{}]:
            yield {**head, **result} if isinstance(result, Mapping) else "not a JSON object"
    elif isinstance(record.get("resourceSpans"), list):
        for span in _spans(record):
            yield {**span, **_attributes(span.get("attributes"))}
    elif "attributes" in record:
        yield {**record, **_attributes(record["attributes"])}
    else:
        yield record


def page_items(page: Record, items: Iterable[Any]) -> Iterator[Any]:
    """The items of a page, each with the word of the page that others follow it."""
    for item in items:
        yield {**item, "has_more": True} if page.get("has_more") and isinstance(item, Mapping) else item


def look_up(record: Any, name: str) -> Any:
    """The value under a name, whole or as a path of nested names; ``None`` when it is not there."""
    if isinstance(record, Mapping) and name in record:
        return record[name]
    found = record
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return None
        found = found[part]
    return found


def _spans(record: Record) -> Iterator[Record]:
    for resource in _mappings(record, "resourceSpans"):
        for scope in _mappings(resource, "scopeSpans", "instrumentationLibrarySpans"):
            yield from _mappings(scope, "spans")


def _mappings(record: Record, *names: str) -> Iterator[Record]:
    """The mappings in the list under the first of these names that there is."""
    found = next((record[name] for name in names if name in record), ())
    yield from (item for item in found if isinstance(item, Mapping)) if isinstance(found, list) else ()


def _attributes(raw: Any) -> dict[str, Any]:
    """Attributes as a plain mapping, whether they came as one or as OTLP's list of typed pairs."""
    if isinstance(raw, Mapping):
        return dict(raw)
    if not isinstance(raw, list):
        return {}
    pairs = [cast(Record, item) for item in raw if isinstance(item, Mapping) and "key" in item]
    return {str(item["key"]): _typed(item.get("value")) for item in pairs}


def _typed(value: Any) -> Any:
    """The value inside OTLP's ``{"intValue": "12"}``; 64-bit integers travel as text there."""
    if isinstance(value, Mapping) and len(value) == 1:
        return next(iter(value.values()))
    return value
