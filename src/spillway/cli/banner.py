"""What ``spillway up`` prints: what was found, where to point a client, and an example to copy."""

from __future__ import annotations

from spillway.fleet.registry import Fleet, Upstream

__all__ = ["banner"]

SHOWN_MODELS = 3


def banner(fleet: Fleet, url: str, *, needs_key: bool) -> str:
    """A short table and a copy-paste example."""
    rows = [("", "kind", "slots", "state", "models")]
    rows += [_row(upstream) for upstream in fleet.upstreams.values()]
    widths = [max(len(row[i]) for row in rows) for i in range(4)]
    lines = []
    for *cells, models in rows:
        padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=True)]
        lines.append("  ".join([*padded, models]).rstrip())
    key = "YOUR_KEY" if needs_key else "unused"
    return "\n".join(
        [
            *lines,
            "",
            f"spillway is ready: OPENAI_BASE_URL={url}",
            "",
            f"  curl {url}/chat/completions -H 'authorization: Bearer {key}' \\",
            """    -d '{"model": "auto", "messages": [{"role": "user", "content": "hello"}]}'""",
            "",
        ]
    )


def _row(upstream: Upstream) -> tuple[str, str, str, str, str]:
    names = [model.name for model in upstream.models]
    more = f" and {len(names) - SHOWN_MODELS} more" if len(names) > SHOWN_MODELS else ""
    state = "up" if upstream.is_up else "down"
    kind = upstream.kind if upstream.side == "local" else "cloud"
    note = f" ({upstream.note})" if upstream.note else ""
    slots = "-" if upstream.side == "cloud" else str(upstream.slots or "unknown")
    return upstream.name, kind, slots, state, (", ".join(names[:SHOWN_MODELS]) or "none") + more + note
