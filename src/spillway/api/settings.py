"""What the rules need, taken from the configuration."""

from __future__ import annotations

from spillway.config.consistency import alias_ends
from spillway.config.quality import QualityConfig
from spillway.config.schema import Config, DeadlineConfig, SloConfig
from spillway.routing import Policy
from spillway.verify.defaults import DEFAULT_GATES
from spillway.vocabulary import Deadlines, Objective

__all__ = ["gates_of", "policy_of"]


def policy_of(config: Config) -> Policy:
    """The owner's settings as plain values for ``routing.decide``."""
    routing = config.routing
    deadlines = {node.name: _deadlines(node.deadlines) for node in config.nodes}
    deadlines |= {cloud.name: _deadlines(cloud.deadlines) for cloud in config.clouds}
    substitutable = (
        model.name for cloud in config.clouds for model in cloud.model_entries if model.substitute
    )
    return Policy(
        aliases=alias_ends(config),
        substitutable=frozenset(substitutable),
        local_tasks=frozenset(routing.local_tasks),
        max_local_input_tokens=routing.max_local_input_tokens,
        max_local_output_tokens=routing.max_local_output_tokens,
        queue_per_slot=routing.queue_per_slot,
        hedge_share=routing.hedge_share,
        exploration_share=config.quality.exploration_share,
        gates=gates_of(config.quality),
        hold_tasks=frozenset(config.quality.hold_tasks),
        max_attempts=routing.max_attempts,
        total_s=max((d.total_s for d in deadlines.values()), default=600.0),
        objectives={name: _objective(name, slo) for name, slo in config.slo.items()},
        deadlines=deadlines,
    )


def gates_of(quality: QualityConfig) -> dict[str, tuple[str, ...]]:
    """Checks by task class. Confidence needs the engine's log-probabilities, so it is asked for only where a
    threshold is set or could be learned."""
    if not quality.verify:
        return {}
    learns = quality.shadow.share > 0

    def gates(task: str) -> tuple[str, ...]:
        keeps = learns or task in quality.min_confidence
        names = (*DEFAULT_GATES.get(task, DEFAULT_GATES["other"]), *("confidence",) * keeps)
        return tuple(dict.fromkeys(name for name in names if keeps or name != "confidence"))

    named = {task: gates(task) for task in {*DEFAULT_GATES, *quality.min_confidence}}
    return {**named, "*": named["other"]}


def _deadlines(config: DeadlineConfig) -> Deadlines:
    return Deadlines(config.connect_s, config.first_token_s, config.stall_s, config.total_s, config.load_s)


def _objective(name: str, slo: SloConfig) -> Objective:
    return Objective(
        name,
        None if slo.ttft_ms is None else slo.ttft_ms / 1000,
        None if slo.total_ms is None else slo.total_ms / 1000,
        slo.attainment,
    )
