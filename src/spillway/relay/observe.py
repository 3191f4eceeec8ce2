"""Shows an answer to those who learn from it, after the client has it."""

from __future__ import annotations

import logging

import msgspec

from spillway.relay.assemble import assemble
from spillway.relay.run import Run
from spillway.relay.tee import data_of, split_events
from spillway.relay.verifier import Observer

__all__ = ["show"]

logger = logging.getLogger("spillway.relay")


def show(run: Run, observer: Observer) -> None:
    """Hands over the outcome with the whole answer; what the observer does wrong is logged and no more."""
    if run.outcome is None:
        return
    try:
        observer.note(run.job, run.outcome, _whole(run))
    except Exception:
        logger.exception("request %s: its observer failed", run.job.facts.request_id)


def _whole(run: Run) -> bytes:
    sent, facts = run.client.copy, run.job.facts
    if not facts.is_stream or run.client.status != 200 or not sent:
        return sent
    kept = [e for e in split_events(sent) if (data_of(e) or b"").startswith(b"{") and data_of(e) != b"[DONE]"]
    return msgspec.json.encode(assemble(b"".join(kept), facts.operation))
