"""Nested JSON of exports as flat records: pages and buckets of totals, and OpenTelemetry's spans."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

__all__ = ["ATTRIBUTES", "expand", "flat", "look_up", "page_items"]

Record = Mapping[str, Any]
ATTRIBUTES = frozenset({"attributes", "SpanAttributes"})
"""What exporters call a span's attributes: the second is ClickHouse's column."""
RESOURCES = ("resourceSpans", "resource_spans", "batches")
"""What OTLP calls its list of resources, by the name of its message too, and Tempo."""
SCOPES = ("scopeSpans", "scope_spans", "instrumentationLibrarySpans")
DEEPEST = 8
"""Wrappers around a record; a page around a page around a bucket are three."""


def expand(record: Any, depth: int = 0) -> Iterator[Record | str]:
    """The records inside one: a page's items, a bucket's results, the spans of an OTLP export, or itself.

    Span attributes become columns of their own, under their dotted names. Instead of a record comes the
    reason why something is none. ``depth`` counts the wrappers around the record.
    """
    if not isinstance(record, Mapping):
        yield "not a JSON object"
    elif depth > DEEPEST:
        yield "nested too deeply to be read"
    elif (inner := _inner(record)) is not None:
        for item in inner:
            yield from expand(item, depth + 1)
    elif record.get("object") == "bucket" and isinstance(record.get("results", record.get("result")), list):
        head = {name: value for name, value in record.items() if name not in ("results", "result")}
        # A bucket without results is a day on which nothing happened, and belongs to the time covered.
        for result in record.get("results", record.get("result")) or [{}]:
            yield {**head, **result} if isinstance(result, Mapping) else "not a JSON object"
    elif any(isinstance(record.get(name), list) for name in RESOURCES):
        for span in _spans(record):
            yield flat(span)
    else:
        yield flat(record)


def flat(record: Record) -> Record:
    """The record with a span's attributes as columns of their own; those it has itself stay."""
    found = [_attributes(record[name]) for name in ATTRIBUTES if name in record]
    return {**record, **found[0], **record} if found else record


def page_items(page: Record, items: Iterable[Any]) -> Iterator[Any]:
    """The items of a page, each with the word of the page that others follow it."""
    more = _has_more(page)
    for item in items:
        yield {**item, "has_more": True} if more and isinstance(item, Mapping) else item


def _inner(record: Record) -> Iterable[Any] | None:
    """What a record wraps that is none itself; ``None`` for one that wraps nothing.

    That is a page, an API's answer about one request or one trace, or a trace of Langfuse with its
    observations; some exports of traces hold but the ids of those.
    """
    data, observations = record.get("data", record.get("trace")), record.get("observations")
    if isinstance(data, list) and _is_page(record):
        return page_items(record, data)
    if isinstance(data, Mapping) and len(record) == 1:
        return [data]
    if isinstance(observations, list) and any(map(_is_in_trace, observations)):
        # A trace's metadata are its author's, and say nothing of pages.
        return page_items({"has_more": record.get("has_more")}, observations)
    return None


def _is_in_trace(item: Any) -> bool:
    return isinstance(item, Mapping) and ("traceId" in item or "trace_id" in item)


def _is_page(record: Record) -> bool:
    """Whether it says that it is one, or speaks of others, as no request does."""
    return (
        record.get("object") == "page"
        or "has_more" in record
        or _place(record) is not None
        or not _meta(record).keys().isdisjoint(("cursor", "has_more"))
    )


def _has_more(page: Record) -> bool:
    """Whether others follow the page, as OpenAI, LiteLLM or Langfuse say it."""
    number, last = _place(page) or (1, 1)
    meta = _meta(page)
    return number < last or bool(page.get("has_more") or meta.get("has_more") or meta.get("cursor"))


def _place(page: Record) -> tuple[int, int] | None:
    """The page's number and the last one's."""
    for said in (page, _meta(page)):
        number, last = said.get("page"), said.get("total_pages", said.get("totalPages"))
        if isinstance(number, int) and isinstance(last, int):
            return number, last
    return None


def _meta(page: Record) -> Record:
    found = page.get("meta", page.get("metadata"))
    return found if isinstance(found, Mapping) else {}


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
    for resource in _mappings(record, *RESOURCES):
        for scope in _mappings(resource, *SCOPES):
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
