"""Upstream and model pairs that a requested name stands for."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from spillway.errors import ModelNotFound, NoUpstream, PinUnsatisfiable
from spillway.routing import reasons
from spillway.routing.policy import Policy
from spillway.vocabulary import ModelFacts, NodeSnapshot, RequestFacts, Side

__all__ = ["RETRY_AFTER_S", "Candidate", "named"]

RETRY_AFTER_S = 5.0
"""When to come back after everything was down: probes run every few seconds (guess)."""


class Candidate(NamedTuple):
    """One upstream that might answer with one of its models."""

    node: NodeSnapshot
    model: ModelFacts
    rank: int
    """Position of the name it stands for in the caller's list of names: lower is preferred."""


def named(
    facts: RequestFacts, nodes: Sequence[NodeSnapshot], policy: Policy, said: list[str]
) -> list[Candidate]:
    """The candidates for the names asked for, in the caller's order.

    ModelNotFound for a name that nothing serves, fallbacks included: a typo there would be found out on the
    day it is needed. NoUpstream where only nodes that are out could serve them. PinUnsatisfiable where
    nothing serves them on the side where the request has to stay. ``said`` receives the reason code.
    """
    found: list[Candidate] = []
    out: NodeSnapshot | None = None
    for rank, name in enumerate((facts.model, *facts.fallback_models)):
        matched, reason = _match(policy.aliases.get(name, name), nodes, policy)
        if matched and reason not in said:
            said.append(reason)
        found.extend(Candidate(node, model, rank) for node, model in matched)
        if not matched:
            out = _out(policy.aliases.get(name, name), nodes) or out
        if not matched and out is None and not facts.must_stay_local:
            raise ModelNotFound(_advice(name, nodes, policy), param="models" if rank else "model")
    if not found and out is not None:
        why = "drifted from its pin" if out.is_up else "does not answer"
        if facts.must_stay_local:
            raise PinUnsatisfiable(
                f"it must stay local, and node {out.name} {why}", retry_after_s=RETRY_AFTER_S
            )
        raise NoUpstream(f"nothing can answer now: node {out.name} {why}", retry_after_s=RETRY_AFTER_S)
    if not found:
        names = ", ".join(repr(name[:200]) for name in (facts.model, *facts.fallback_models))
        param = "models" if facts.fallback_models else "model"
        raise PinUnsatisfiable(f"it must stay local, and no local node serves {names}", param=param)
    return found


def _out(name: str, nodes: Sequence[NodeSnapshot]) -> NodeSnapshot | None:
    """A node that may serve the name once it is back: it is named, or never told what it serves."""
    if name == "cloud":
        return None
    upstream, _, model = name.partition("/")
    for node in nodes:
        is_named = bool(model) and node.name == upstream
        is_out = not node.is_up or node.is_quarantined
        if node.side == "local" and is_out and (is_named or not (node.is_up or node.models)):
            return node
    return None


Pair = tuple[NodeSnapshot, ModelFacts]
_SIDES: dict[str, Side] = {"local": "local", "cloud": "cloud"}


def _match(name: str, nodes: Sequence[NodeSnapshot], policy: Policy) -> tuple[list[Pair], str]:
    if name == "auto":
        return _pairs(nodes), reasons.NAME_AUTO
    if name in _SIDES:
        return _pairs(_on_side(nodes, _SIDES[name])), reasons.NAME_SIDE
    upstream, _, model = name.partition("/")
    if model and (pairs := _forced(upstream, model, nodes)):
        return pairs, reasons.NAME_NODE
    pairs = [(node, known) for node in nodes for known in node.models if known.name == name]
    if name in policy.substitutable and any(node.side == "cloud" for node, _ in pairs):
        return [*_pairs(_on_side(nodes, "local")), *pairs], reasons.SUBSTITUTED
    return pairs, reasons.NAME_MODEL


def _pairs(nodes: Iterable[NodeSnapshot]) -> list[Pair]:
    return [(node, model) for node in nodes for model in node.models]


def _on_side(nodes: Iterable[NodeSnapshot], side: Side) -> list[NodeSnapshot]:
    return [node for node in nodes if node.side == side]


def _forced(upstream: str, model: str, nodes: Iterable[NodeSnapshot]) -> list[Pair]:
    """A cloud may be asked for a model that is not listed in the configuration: providers have many."""
    for node in nodes:
        if node.name == upstream:
            known = [(node, facts) for facts in node.models if facts.name == model]
            if known or node.side == "local":
                return known
            return [(node, ModelFacts(model))]
    return []


def _advice(name: str, nodes: Sequence[NodeSnapshot], policy: Policy) -> str:
    if not nodes:
        return "no upstream is configured or was found: start a local server or configure a cloud"
    if (end := policy.aliases.get(name, name)) != name:
        return f"the alias {name!r} leads to {end!r}, and {_advice(end, nodes, policy)}"
    known = [model.name for node in nodes for model in node.models]
    known += [f"{node.name}/{model.name}" for node in nodes for model in node.models]
    known += ["auto", "local", "cloud", *policy.aliases]
    near = difflib.get_close_matches(name[:200], known, n=1)
    hint = f"did you mean {near[0]}?" if near else "GET /v1/models lists what there is"
    return f"no upstream serves the model {name[:200]!r}: {hint}"
