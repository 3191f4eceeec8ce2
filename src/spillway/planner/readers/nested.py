"""Nested JSON of exports as flat records: pages and buckets of totals, and OpenTelemetry's spans."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

__all__ = ["expand", "look_up"]

Record = Mapping[str, Any]


def expand(record: Record) -> Iterator[Record]:
    """The records inside one: a page's buckets, a bucket's results, the spans of an OTLP export, or itself.

    Span attributes become columns of their own, under their dotted names.
    """
    if record.get("object") == "page" and isinstance(record.get("data"), list):
        for item in record["data"]:
            yield from expand(item)
    elif record.get("object") == "bucket" and isinstance(record.get("results", record.get("result")), list):
        head = {name: value for name, value in record.items() if name not in ("results", "result")}
        # A bucket without results is a day on which nothing happened, and belongs to the time covered.
        for result in record.get("results", record.get("result")) or [{}]:
            yield {**head, **result}
    elif isinstance(record.get("resourceSpans"), list):
        yield from _otlp_spans(record)
    elif "attributes" in record:
        yield {**record, **_attributes(record["attributes"])}
    else:
        yield record


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


def _otlp_spans(record: Record) -> Iterator[Record]:
    for resource in record["resourceSpans"]:
        for scope in resource.get("scopeSpans", resource.get("instrumentationLibrarySpans", [])):
            for span in scope.get("spans", []):
                yield {**span, **_attributes(span.get("attributes", []))}


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
