"""The measured waves become a profile."""

from __future__ import annotations

from datetime import date
from statistics import median

from spillway.errors import MeasureFailed
from spillway.measuring.campaign import HELD_BACK, Measured
from spillway.measuring.fit import best_slots
from spillway.measuring.foretell import fit_errors
from spillway.measuring.target import Target
from spillway.measuring.unseen import writes_unseen
from spillway.measuring.waves import FEWEST_TOKENS
from spillway.planner.profile import LOOSE_RATIO, Profile

__all__ = ["profile_of"]

PARTLY_HELD_BACK = 0.1
"""Share of answers held back on the way beyond which the profile is not to be relied on (guess)."""


def profile_of(measured: Measured, target: Target, name: str, today: date) -> Profile:
    """The fitted profile; MeasureFailed when there is too little to fit."""
    _refuse_too_little(measured, target)
    most = measured.slots or measured.tested_concurrency
    pace, held_back = measured.pace, measured.held_back_ratio
    held = median(read.prompt_tokens for read in measured.reads)
    errors = fit_errors(pace, most, measured.probes)
    warnings = [*measured.warnings, *_unknown_batches(measured)]
    is_unseen = writes_unseen(measured.alone)
    cause = "see the next warning" if is_unseen else "the node was disturbed, measure it again"
    for what, ratio in (("first tokens", errors.ttft_median_ratio), ("steps", errors.itl_median_ratio)):
        if ratio is not None and ratio > LOOSE_RATIO:
            warnings.append(f"{what} were off by {ratio:.0%} in the median: {cause}")
    if is_unseen:
        warnings.append(
            "it counts tokens that it does not send, as one that thinks unseen does: first tokens are "
            "earlier and steps longer than this profile says; let it think aloud or not at all"
        )
    if held_back >= PARTLY_HELD_BACK:
        warnings.append(
            f"{held_back:.0%} of the answers came many tokens at once, as if a proxy held them back: first "
            "tokens may be earlier and steps longer than this profile says"
        )
    if not errors.probes:
        warnings.append("there was no time for probes: the error of this profile is unknown")
    return Profile(
        name=name,
        engine=target.kind,
        engine_version=target.version,
        model=target.model,
        measured_on=today.isoformat(),
        slots=measured.slots,
        best_slots=best_slots(pace, most, held),
        tested_concurrency=measured.tested_concurrency,
        context_tokens=target.context_tokens,
        pace=pace,
        errors=errors,
        samples=measured.requests,
        is_complete=measured.is_complete and held_back < PARTLY_HELD_BACK and not is_unseen,
        warnings=tuple(warnings),
        tok_s={n: round(median(speeds), 2) for n, speeds in sorted(measured.tok_s.items())},
    )


def _unknown_batches(measured: Measured) -> list[str]:
    """A warning where no answers side by side could be timed, which the fit takes for free."""
    if measured.slots == 1 or any(step.batch > 1 for step in measured.steps):
        return []
    length, advice = median(answer.tokens for answer in measured.alone), ""
    if length < FEWEST_TOKENS:
        advice = f"; its answers end after {length:g} tokens, choose a --model that writes longer ones"
    elif measured.is_complete and measured.tested_concurrency == 1:
        advice = "; allow a --max-concurrency of 2 or more"
    return [f"no answers side by side could be timed, so that a second one seems to cost nothing{advice}"]


def _refuse_too_little(measured: Measured, target: Target) -> None:
    lengths = {read.prompt_tokens for read in measured.reads}
    if measured.alone and all(answer.tokens < 2 for answer in measured.alone):
        raise MeasureFailed(
            f"{target.url} ends every answer after one token, so that none can be timed from token to token: "
            "does its --model write longer answers elsewhere?"
        )
    if measured.held_back_ratio >= HELD_BACK or (measured.reads and not measured.steps):
        raise MeasureFailed(
            f"{target.url} sends its tokens all at once, or many at a time: does a proxy before it hold the "
            "stream back?"
        )
    if len(lengths) < 2:
        why = measured.warnings[-1] if measured.warnings else "too few answers came"
        raise MeasureFailed(f"{target.url} could not be measured: {why}")
