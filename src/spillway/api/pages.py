"""Bodies of the endpoints that only look something up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spillway.routing import Policy
from spillway.vocabulary import ModelFacts, NodeSnapshot, Pace

__all__ = ["model_card", "model_list", "node_list"]


def model_list(nodes: Sequence[NodeSnapshot], policy: Policy) -> dict[str, Any]:
    """``GET /v1/models``: the names a request may use."""
    names = {"auto": "spillway", "local": "spillway", "cloud": "spillway"}
    names |= dict.fromkeys(policy.aliases, "spillway")
    cards = [_card(name, owner) for name, owner in names.items()]
    cards += [_model(node, model) for node in nodes for model in node.models]
    return {"object": "list", "data": cards}


def model_card(name: str, nodes: Sequence[NodeSnapshot], policy: Policy) -> dict[str, Any] | None:
    """``GET /v1/models/{name}``; ``None`` when there is none of that name, bare or as NODE/MODEL."""
    for card in model_list(nodes, policy)["data"]:
        if name in (card["id"], card["id"].partition("/")[2]):
            return {**card, "id": name}
    return None


def node_list(nodes: Sequence[NodeSnapshot]) -> dict[str, Any]:
    """``GET /spillway/v1/nodes``: every upstream as the rules see it; null is unknown."""
    return {
        "object": "list",
        "data": [
            {
                "name": node.name,
                "side": node.side,
                "is_up": node.is_up,
                "breaker": node.breaker,
                "in_flight": node.in_flight,
                "slots": node.slots,
                "waiting": node.waiting,
                "pace": None if node.pace is None else _pace(node.pace),
                "margin_ratio_by_attainment": _margins(node) if node.side == "local" else None,
                "ttft_p95_s": node.ttft_p95_s,
                "drift": list(node.drift),
                "models": [model.name for model in node.models],
            }
            for node in nodes
        ],
    }


def _margins(node: NodeSnapshot) -> dict[str, float]:
    """Share of an objective that forecasts may use; empty before anything was learned."""
    return {str(attainment): share for attainment, share in node.margins}


def _pace(pace: Pace) -> dict[str, float]:
    """What a person can picture: a prompt of 1,000 tokens read, and one answer written, on the idle node."""
    return {
        "prefill_1000_tokens_s": round(pace.prefill_s(1000, 0), 4),
        "itl_alone_s": round(pace.decode_step_s(1, 1000), 5),
    }


def _model(node: NodeSnapshot, model: ModelFacts) -> dict[str, Any]:
    card = _card(f"{node.name}/{model.name}", node.name)
    card["spillway"] = {
        "side": node.side,
        "is_up": node.is_up,
        "context_tokens": model.context_tokens,
        "capabilities": sorted(model.capabilities) if model.capabilities is not None else None,
    }
    return card


def _card(name: str, owner: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner}
