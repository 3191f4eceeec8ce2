"""How one attempt is made: what is asked for beyond the client's words, what is kept back and how long."""

from __future__ import annotations

from spillway.engines.profiles import Prefill
from spillway.relay.attempt import Asking
from spillway.relay.continuation import changes_to_continue, is_continuable
from spillway.relay.request import expected_choices, is_structured
from spillway.relay.run import Run
from spillway.relay.step import Step
from spillway.relay.stitch import Stitcher

__all__ = ["asking_for"]


def asking_for(run: Run, step: Step, prefill: Prefill, has_verifier: bool) -> Asking:
    """How to ask in this step.

    A whole answer, one whose class asks for its gates and one of structure are held until they are complete,
    the last kind only while somebody else could make it again. Of a stream with tools the text passes and
    calls are held; one with gates that is not held is watched while it passes.
    """
    job, choice = run.job, step.choice
    facts, decision = job.facts, job.decision
    is_gated = has_verifier and bool(decision.gates) and choice.side == "local" and step.method is None
    is_guarded = facts.is_stream and not step.is_last and facts.operation != "embedding"
    is_held = not facts.is_stream or (is_gated and decision.is_held) or (is_guarded and is_structured(job))
    may_continue = is_guarded and not is_held and is_continuable(job)
    may_call = "tools" in facts.needs or "functions" in job.payload.fields
    asking = Asking(
        choices=expected_choices(job),
        is_held=is_held,
        is_gated=is_gated,
        may_continue=may_continue,
        keeps_text=may_continue or is_gated or (run.keeps_text and facts.is_stream),
        holds_calls=is_guarded and not is_held and may_call,
        is_exact=not step.is_last and (may_call or is_structured(job)),
        wants_logprobs=is_gated and is_held and decision.wants_logprobs and not job.payload.value("logprobs"),
    )
    if step.method is not None and run.seam is not None:
        said_tokens = run.seam.usage.output_tokens or 0
        asking.more = changes_to_continue(job, run.seam, step.method, prefill, said_tokens)
        asking.stitcher = Stitcher(run.seam, step.method, choice.upstream)
    return asking
