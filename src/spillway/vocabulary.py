"""The nouns every part of spillway shares, as frozen records.

They are ``msgspec.Struct`` rather than dataclasses because several are made for every request and a frozen
dataclass costs five times as much to build (decision 0003). Durations are seconds (``_s``), sizes are tokens
or bytes as named, money is ``Decimal`` US dollars (``_usd``). ``None`` always means "unknown", never zero.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal, Protocol

from msgspec import Struct

__all__ = [
    "Attempt",
    "AttemptKind",
    "Bill",
    "BreakerState",
    "Capability",
    "Choice",
    "Deadlines",
    "Decision",
    "Grade",
    "Load",
    "ModelFacts",
    "NodeSnapshot",
    "Objective",
    "Operation",
    "Outcome",
    "Pace",
    "Rates",
    "RequestFacts",
    "Side",
    "TokenGrade",
    "Usage",
]

Side = Literal["local", "cloud"]
"""Where an upstream runs: on hardware the owner paid for, or at a provider who bills by the token."""

Operation = Literal["chat", "completion", "embedding"]

Capability = Literal["chat", "completion", "embedding", "tools", "schema", "images"]
"""What a request may need and a model may offer. A model whose capabilities are unknown is not excluded."""

TokenGrade = Literal["reported", "counted", "estimated"]
"""How a token count came about: the upstream's usage, a real tokenizer, or our estimator."""

Grade = Literal["measured", "vendor", "derived", "guess"]
"""How a figure of the physical or financial world came about."""

BreakerState = Literal["closed", "half_open", "open"]

AttemptKind = Literal["first", "retry", "failover", "hedge", "shadow", "continuation", "escalation"]
"""Why an attempt was made; ``escalation`` follows an answer that failed its gates."""


class Rates(Struct, frozen=True):
    """What one provider charges for one model at one moment, in USD per million tokens.

    A rate that is ``None`` is unknown, and a request that used such tokens has an unknown price.
    ``above`` holds dearer tiers: pairs of (input tokens above which it applies, rates), ascending.
    """

    input_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal | None
    cache_read_usd_per_mtok: Decimal | None = None
    cache_write_usd_per_mtok: Decimal | None = None
    request_usd: Decimal = Decimal(0)
    above: tuple[tuple[int, Rates], ...] = ()
    source: str = "unknown"
    grade: Grade = "vendor"


class Objective(Struct, frozen=True):
    """What a caller may expect: limits in seconds and the share of requests that must keep them."""

    name: str = "default"
    ttft_s: float | None = None
    total_s: float | None = None
    attainment_ratio: float = 0.95


class RequestFacts(Struct, frozen=True, kw_only=True):
    """All that routing may know of one request; carries no prompt text."""

    request_id: str
    """Ours, unique: the key of the ledger."""
    client_request_id: str | None = None
    """The caller's own ``x-request-id``; nothing stops a caller from sending one twice."""
    operation: Operation
    model: str
    """As the client asked: ``auto``, ``local``, ``cloud``, ``NODE/MODEL``, an alias or a model's own name."""
    fallback_models: tuple[str, ...] = ()
    is_stream: bool = False
    wants_usage: bool = False
    input_tokens: int = 0
    input_grade: TokenGrade = "estimated"
    cached_tokens: float = 0.0
    """Of ``input_tokens``, how many any node is believed to hold already."""
    cached_on: tuple[tuple[str, float], ...] = ()
    """The same of single nodes that hold more of it: pairs of (upstream, tokens)."""
    last_answer_tokens: float | None = None
    """Size of the conversation's last answer so far; ``None`` when there was none."""
    mean_answer_tokens: float | None = None
    """Geometric mean of all its answers so far."""
    form: int | None = None
    """Digest of how its first and its last message begin: what one program asks again and again has one form.
    Different in each process, and never written down; ``None`` where there is no text."""
    max_output_tokens: int | None = None
    choices: int = 1
    needs: frozenset[Capability] = frozenset()
    pin: Side | None = None
    is_private: bool = False
    task: str | None = None
    """Its class, stated by the caller or read from the payload; ``None`` when nobody knows."""
    language: str | None = None
    """What its user writes, as the classifier reads it; ``None`` when unknown."""
    p_local_ok: float | None = None
    """Chance that a local answer is good enough, by the payload alone; ``None`` when not judged."""
    usual_output_tokens: float = 200.0
    """How long answers to such requests usually are."""
    long_output_tokens: float = 400.0
    """A length that one in five of such answers exceeds."""
    objective: Objective | None = None
    """From its headers, else by ``slo_class`` from configuration; ``None`` when there is none."""
    slo_class: str = "default"
    timeout_s: float | None = None
    """How long all attempts may take by the caller's wish; ``None`` leaves it to configuration."""
    deadlines: tuple[tuple[str, float], ...] = ()
    """The caller's own in place of an upstream's: pairs of (field of ``Deadlines``, seconds)."""
    body_bytes: int = 0
    key_name: str | None = None

    @property
    def shown_id(self) -> str:
        """What the caller gets back as ``x-request-id``: its own, else ours."""
        return self.client_request_id or self.request_id

    def cached_at(self, upstream: str) -> float:
        """Of ``input_tokens``, how many that node is believed to hold already."""
        for name, tokens in self.cached_on:
            if name == upstream:
                return max(tokens, self.cached_tokens)
        return self.cached_tokens

    @property
    def must_stay_local(self) -> bool:
        """Whether no byte of this request may leave the owner's hardware."""
        return self.is_private or self.pin == "local"


class ModelFacts(Struct, frozen=True):
    """One model as one upstream serves it."""

    name: str
    """The name the upstream knows it by."""
    context_tokens: int | None = None
    """Tokens one sequence may hold, prompt and answer together, per slot."""
    capabilities: frozenset[Capability] | None = None
    rates: Rates | None = None
    """List price for a cloud model; ``None`` for a local one or when the price is unknown."""
    remote_host: str | None = None
    """Set when a "local" server only passes this model on to somebody else's machine."""
    identity: str | None = None
    """Short fingerprint of what is really served (weights, template, …); evidence is kept by it."""


class Pace(Protocol):
    """How long a node takes, as a profile, a physical estimate or its own traffic tells."""

    @property
    def pass_s(self) -> float:
        """Seconds of a pass whatever it carries; prompts that are read together share one."""
        ...

    def decode_step_s(self, batch: float, context_tokens: float) -> float:
        """Seconds of a step that gives ``batch`` sequences one token each at that mean context."""
        ...

    def prefill_s(self, prompt_tokens: float, cached_tokens: float) -> float:
        """Seconds to read a prompt when nothing else runs."""
        ...


class Load(Struct, frozen=True):
    """What is on a node right now; a gateway can count all of it itself from what it sent and got back."""

    in_flight: int
    slots: int
    unread_s: float
    """Seconds of reading owed to the requests that have no first token yet."""
    unread_chunks: float
    """Passes over the weights that reading will take."""
    unread: int
    """Requests that have no first token yet."""
    running: int
    """Requests whose answer is being written."""
    running_tokens: float
    """Tokens in the caches of those, counting half of each answer."""
    unread_tokens: float
    """Prompt tokens of those that have no first token yet."""


class NodeSnapshot(Struct, frozen=True):
    """One upstream, node or cloud, as the rules see it at one moment."""

    name: str
    side: Side
    models: tuple[ModelFacts, ...]
    is_up: bool = True
    breaker: BreakerState = "closed"
    is_draining: bool = False
    in_flight: int = 0
    """Requests sent and unfinished, by the gateway's own count."""
    slots: int | None = None
    """Sequences the node works on at once; ``None`` when unknown or without limit (clouds)."""
    waiting: int = 0
    """Requests that wait in the gateway for one of its slots."""
    pace: Pace | None = None
    """What its next request would take; ``None`` until a profile or enough traffic tells."""
    load: Load | None = None
    """What the gateway has on it; ``None`` for clouds."""
    margin_ratio: float = 0.9
    """Share of an objective that a forecast may use here, where none was learned for its attainment."""
    margins: tuple[tuple[float, float], ...] = ()
    """The same as learned, so that the promised share keeps it: pairs of (attainment, share)."""
    ttft_stretch: float = 1.5
    """Observed over forecast time to first token, as 95 of 100 recent answers kept below it."""
    total_stretch: float = 1.5
    """The same for the time to the last token."""
    ttft_p95_s: float | None = None
    """What 95 of 100 recent first tokens took less than; for clouds, where there is nothing to forecast."""
    usual_work_s: float | None = None
    """Node seconds that a usual request takes; ``None`` before any came."""
    token_ratio: float = 1.0
    """Tokens its engine makes of what we estimate at one, as it has reported so far."""
    is_loading: bool = False
    """Says that it is loading a model: it will answer, but others sooner."""
    is_due: bool = False
    """Idle, and late when last heard of, long enough ago that one request should find out."""
    is_quarantined: bool = False
    """Drifted from its pin in a way that the owner lets exclude it."""
    withheld: frozenset[Capability] = frozenset()
    """Capabilities not trusted since the node drifted from its pin, such as tools after a new template."""
    drift: tuple[str, ...] = ()
    """Fields that differ from the lock, such as ``template``; told to callers, empty when nothing does."""
    local_usd_per_s: Decimal | None = None
    """Energy and amortisation of one busy second of the whole node; ``None`` for clouds or when unknown."""

    def margin_for(self, objective: Objective) -> float:
        """Share of that objective that a forecast may use here."""
        for attainment, share in self.margins:
            if attainment == objective.attainment_ratio:
                return share
        return self.margin_ratio

    def prompt_tokens(self, facts: RequestFacts) -> tuple[float, float]:
        """A prompt in its engine's tokens, and what of it the engine should hold already."""
        return facts.input_tokens * self.token_ratio, facts.cached_at(self.name) * self.token_ratio


class Deadlines(Struct, frozen=True):
    """How long the relay waits, in seconds: for a connection, the first token, between tokens, altogether."""

    connect_s: float = 5.0
    first_token_s: float = 120.0
    stall_s: float = 60.0
    total_s: float = 600.0
    load_s: float = 120.0
    """Beyond the first token's, for an upstream that says it is loading its model."""


class Choice(Struct, frozen=True):
    """One upstream, the model to ask it for, and how long to be patient with it."""

    upstream: str
    side: Side
    model: str
    deadlines: Deadlines = Deadlines()
    queue_s: float = 0.0
    """How long the request may wait in the gateway for a slot of this upstream."""
    ttft_s: float | None = None
    """Forecast time to the first token; ``None`` where there was nothing to go by."""
    total_s: float | None = None
    ttft_p95_s: float | None = None
    """What the first token should take less than in 95 of 100 cases."""
    total_p95_s: float | None = None
    context_tokens: int | None = None
    """Tokens prompt and answer may take there; ``None`` when unknown."""
    drift: tuple[str, ...] = ()
    """In what it differs from its pin; the caller is told."""
    cached_tokens: float | None = None
    """What of the prompt the forecast took it to hold already; ``None`` for clouds."""
    miss_weight: float = 0.0
    """How much of a miss it is to get no slot in that time; 0 where it was believed to be late."""
    yields_s: float = 0.0
    """Its work in node seconds if it yields to smaller requests while it waits, else 0."""
    rank: int = 0
    """Place of the model among those the request asks for: 0 for the first, then its fallbacks."""
    stays_s: float | None = None
    """How long it waits all the same, late by then, since nobody else would be in time; ``None``: no longer
    than ``queue_s``."""


class Decision(Struct, frozen=True):
    """An ordered plan with its reasons. The relay follows it and never chooses."""

    choices: tuple[Choice, ...]
    """First upstream, then alternates, best first; never empty."""
    reasons: tuple[str, ...]
    """Stable codes from ``routing.reasons``, in the order the rules spoke."""
    total_s: float = 600.0
    """Seconds all attempts together may take."""
    max_attempts: int = 3
    hedge_delay_s: float | None = None
    gates: tuple[str, ...] = ()
    """Checks a local answer must pass before it is released; empty lets it through as it comes."""
    is_held: bool = True
    """Whether a local answer waits until all its gates have passed; else they judge it as it comes."""
    wants_logprobs: bool = False
    """Whether a gate needs the log-probabilities of the answer's tokens."""
    work_s: float | None = None
    """Node seconds the request would take locally; ``None`` when no node may answer or none is known."""


class Usage(Struct, frozen=True):
    """Tokens of one answer. ``input_tokens`` includes cached ones, ``output_tokens`` includes reasoning."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    grade: TokenGrade = "reported"


class Bill(Struct, frozen=True):
    """What one attempt or request cost, split by kind; a part that is ``None`` is unknown."""

    cost_usd: Decimal | None
    """The whole: price for a cloud, energy plus amortisation for a node."""
    price_usd: Decimal | None = None
    energy_usd: Decimal | None = None
    amortisation_usd: Decimal | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try at one upstream, as it ended. Times are seconds after the request was accepted."""

    index: int
    upstream: str
    side: Side
    model: str
    model_reported: str | None = None
    started_s: float
    first_token_s: float | None = None
    """When the first content token arrived; ``None`` when none did."""
    ended_s: float
    status: int | None = None
    """HTTP status of the upstream; ``None`` when it never answered."""
    finish_reason: str | None = None
    error_code: str | None = None
    usage: Usage | None = None
    forecast_ttft_s: float | None = None
    """What was forecast for the first token when it was decided, counted from the decision; else ``None``."""
    forecast_ttft_p95_s: float | None = None
    """Below which the first token was to come in 95 of 100 cases."""
    forecast_total_p95_s: float | None = None
    """Below which the last token was to come in 95 of 100 cases."""
    forecast_cached_tokens: float | None = None
    """What of the prompt the forecast took the node to hold already; ``None`` for clouds."""
    in_flight: int = 1
    """Requests sharing the upstream when this one was sent, itself included: its share of the node's time."""
    kind: AttemptKind = "first"
    is_sent: bool = True
    """Whether anything of it reached the upstream."""


class Outcome(Struct, frozen=True, kw_only=True):
    """One request as it ended: what the ledger, the SLO record and the evidence learn from."""

    facts: RequestFacts
    accepted_wall_s: float
    """When the request was accepted, seconds since the epoch."""
    total_s: float
    """From accepted to the moment before the last byte was released."""
    ttft_s: float | None = None
    """From accepted to the first content token leaving the gateway, queueing included."""
    overhead_s: float | None = None
    """Time spent in the gateway itself before the first attempt was sent."""
    attempts: tuple[Attempt, ...] = ()
    reasons: tuple[str, ...] = ()
    status: int
    """HTTP status the client saw; 499 when it hung up before one was sent."""
    result: Literal["ok", "error", "cancelled", "cut"]
    """``cut``: bytes were sent but the answer never finished."""
    error_code: str | None = None
    response_bytes: int = 0
    prompt_text: str | None = None
    completion_text: str | None = None

    @property
    def last(self) -> Attempt | None:
        """The attempt whose bytes the client saw, or the last that failed."""
        return self.attempts[-1] if self.attempts else None
