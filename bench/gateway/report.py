"""Figures of all passes, and the tables and JSON that show them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bench.gateway.measure import CLIENTS, Session, add_used
from bench.gateway.stats import Pair, added, is_noisy, percentile, pooled

__all__ = ["FIGURES", "Figure", "Row", "as_json", "as_markdown", "make_row"]

NOISE_FLOOR_MS = 0.05  # two passes this close agree, however small the figure


@dataclass(frozen=True)
class Figure:
    """One line of the table. ``of`` answers None when unknown; ``measure`` must be free of errors."""

    key: str
    title: str
    digits: int
    measure: str
    of: Callable[[Sequence[Session]], float | None]
    floor: float = 0.0


@dataclass(frozen=True)
class Row:
    """A gateway's figures; ``invalid``: an error in their measure, ``noisy``: the passes disagree."""

    name: str
    title: str
    version: str | None
    values: Mapping[str, float | None]
    noisy: frozenset[str]
    invalid: frozenset[str]
    errors: tuple[str, ...]


def _added_figure(measure: str, ratio: float, key: str, title: str) -> Figure:
    def of(sessions: Sequence[Session]) -> float | None:
        return added(_pairs(sessions, measure), ratio)

    return Figure(key, title, 2, measure, of, NOISE_FLOOR_MS)


def _direct_figure(measure: str, ratio: float, key: str, title: str) -> Figure:
    def of(sessions: Sequence[Session]) -> float | None:
        found_s = percentile(pooled(_pairs(sessions, measure), lambda pair: pair.direct_s), ratio)
        return None if found_s is None else found_s * 1000

    return Figure(key, title, 2, measure, of, NOISE_FLOOR_MS)


def _rate(measure: str, count: str) -> Callable[[Sequence[Session]], float | None]:
    """Delivered per second; ``count`` is ``requests`` or ``pieces``."""

    def of(sessions: Sequence[Session]) -> float | None:
        used = add_used([session.used[measure] for session in sessions if measure in session.used])
        return getattr(used, count) / used.elapsed_s if used.elapsed_s > 0 else None

    return of


def _cpu(measure: str, count: str, unit_per_s: float) -> Callable[[Sequence[Session]], float | None]:
    """CPU time per delivered unit; ``unit_per_s`` is 1000 for milliseconds, 1e6 for microseconds."""

    def of(sessions: Sequence[Session]) -> float | None:
        used = add_used([session.used[measure] for session in sessions if measure in session.used])
        delivered: int = getattr(used, count)
        return used.cpu_s * unit_per_s / delivered if used.cpu_s is not None and delivered else None

    return of


def _core_share(sessions: Sequence[Session]) -> float | None:
    """CPU per elapsed time under full load, in percent: well below 100, something else had the core."""
    used = add_used([session.used["saturated"] for session in sessions if "saturated" in session.used])
    return used.cpu_s / used.elapsed_s * 100 if used.cpu_s is not None and used.elapsed_s > 0 else None


def _mean(field: str) -> Callable[[Sequence[Session]], float | None]:
    def of(sessions: Sequence[Session]) -> float | None:
        known = [value for session in sessions if (value := getattr(session, field)) is not None]
        return sum(known) / len(known) if known else None

    return of


def _pairs(sessions: Sequence[Session], measure: str) -> list[Pair]:
    return [pair for session in sessions for pair in session.pairs.get(measure, [])]


def _clients(count: int) -> str:
    return "1 client" if count == 1 else f"{count} clients"


ADDED = tuple(
    _added_figure(f"clients_{n}", share / 100, f"added_p{share}_ms_{n}", f"added p{share} ms, {_clients(n)}")
    for n in CLIENTS
    for share in (50, 99)
)
ADDED_TTFT = tuple(
    _added_figure("ttft", share / 100, f"added_ttft_p{share}_ms", f"added TTFT p{share} ms, 16 streams")
    for share in (50, 99)
)
FIGURES = (
    Figure("max_rps", "requests/s on one core, 64 clients", 0, "saturated", _rate("saturated", "requests")),
    Figure("cpu_ms_per_request", "CPU ms per request", 3, "saturated", _cpu("saturated", "requests", 1e3)),
    Figure("core_share_percent", "its share of the core meanwhile, %", 0, "saturated", _core_share),
    *ADDED,
    *ADDED_TTFT,
    Figure(
        "cpu_us_per_chunk_paced", "CPU µs per chunk, paced streams", 0, "ttft", _cpu("paced", "pieces", 1e6)
    ),
    Figure(
        "stream_chunks_per_s", "stream chunks/s on one core, flat out", 0, "flat", _rate("flat", "pieces")
    ),
    Figure("cpu_us_per_chunk", "CPU µs per chunk, flat out", 1, "flat", _cpu("flat", "pieces", 1e6)),
    Figure("cpu_ms_200kb", "CPU ms per request, 200 kB body", 3, "large", _cpu("large", "requests", 1e3)),
    Figure("cold_start_s", "cold start s", 2, "start", _mean("cold_start_s")),
    Figure("rss_idle_mib", "resident MiB idle", 0, "start", _mean("rss_idle_mib")),
    Figure("rss_loaded_mib", "resident MiB after load", 0, "start", _mean("rss_loaded_mib")),
)
DIRECT_FIGURES = (
    *(f for f in FIGURES if f.key in ("max_rps", "stream_chunks_per_s")),
    *(
        _direct_figure(f"clients_{n}", share / 100, f"added_p{share}_ms_{n}", "")
        for n in CLIENTS
        for share in (50, 99)
    ),
    *(_direct_figure("ttft", share / 100, f"added_ttft_p{share}_ms", "") for share in (50, 99)),
)


def make_row(
    name: str,
    title: str,
    version: str | None,
    sessions: Sequence[Session],
    figures: Sequence[Figure] = FIGURES,
) -> Row:
    """The figures over all passes together."""
    errors = {measure: found for session in sessions for measure, found in session.errors.items()}
    stopped = "start" in errors or "warm_up" in errors
    return Row(
        name=name,
        title=title,
        version=version,
        values={figure.key: figure.of(sessions) for figure in figures},
        noisy=frozenset(
            f.key for f in figures if is_noisy([f.of([session]) for session in sessions], f.floor)
        ),
        invalid=frozenset(f.key for f in figures if stopped or f.measure in errors),
        errors=tuple(f"{measure}: {text}" for measure, found in errors.items() for text in found[:3]),
    )


def as_markdown(rows: Sequence[Row], facts: Mapping[str, str], notes: Sequence[str]) -> str:
    """The table, a column for each gateway, then what went wrong, then the machine."""
    lines = [
        "| | " + " | ".join(row.title for row in rows) + " |",
        "| --- |" + " ---: |" * len(rows),
        "| version | " + " | ".join(row.version or "–" for row in rows) + " |",
    ]
    lines += [f"| {f.title} | " + " | ".join(_cell(row, f) for row in rows) + " |" for f in FIGURES]
    lines += ["", *notes]
    lines += [f"* **{row.title}, invalid**: {error}" for row in rows for error in row.errors]
    lines += ["", "; ".join(f"{name} {value}" for name, value in facts.items()) + "."]
    return "\n".join(lines) + "\n"


def as_json(rows: Sequence[Row], facts: Mapping[str, str]) -> dict[str, object]:
    """The same for machines: schema ``spillway.bench-gateway/1``, a flat object for each gateway."""
    return {
        "schema": "spillway.bench-gateway/1",
        "facts": dict(facts),
        "rows": [
            {
                "name": row.name,
                "version": row.version,
                "valid": not row.errors,
                **row.values,
                "noisy": sorted(row.noisy),
                "invalid": sorted(row.invalid),
                "errors": list(row.errors),
            }
            for row in rows
        ],
    }


def _cell(row: Row, figure: Figure) -> str:
    if figure.key in row.invalid:
        return "invalid"
    value = row.values.get(figure.key)
    if value is None:
        return "–"
    return ("~" if figure.key in row.noisy else "") + f"{value:,.{figure.digits}f}"
