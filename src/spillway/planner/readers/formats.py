"""What each kind of usage file calls its columns: one table row per format, code only where they differ."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace

from spillway.planner.readers.langfuse import CACHE_READS, DETAILS, whole_usage
from spillway.planner.readers.parts import HELICONE
from spillway.planner.readers.records import Record, Source
from spillway.planner.workload import WorkloadError

__all__ = ["FORMATS", "GENERIC", "Format", "Only", "named_format", "recognise"]

GENERIC = "generic"
"""What the format of a file is called that nobody knows."""


@dataclass(frozen=True)
class Like:
    """All values that are as the pattern says, as a set."""

    pattern: str

    def __contains__(self, value: object) -> bool:
        """Whether all of the value is."""
        return re.fullmatch(self.pattern, str(value)) is not None


@dataclass(frozen=True)
class Only:
    """A column that tells requests to a chat model from rows that belong into an export and are none.

    Values compare in lower case; a row without one (``values.NO_VALUE``) is told by the rest. The others are
    counted, no fault.
    """

    column: str
    values: Container[str]
    others: str = "no chat requests"
    """What rows with other values are, in the plural."""


OURS = (
    "time", "input_tokens", "output_tokens", "cached_tokens", "model", "cost", "currency", "requests", "end",
    "line_item", "quantity", "quantity_unit",
)  # fmt: skip
KINDS_OF_FILE = frozenset({"requests", "line_item"})
"""Columns that tell totals and bills from single requests, whether or not a file has them."""


@dataclass(frozen=True)
class Format:
    """One kind of usage file. Each of our columns lists the names it goes by, best first; each row is asked
    for them in that order, since rows of JSON leave names out.

    ``marks`` are sets of names of which one each must be there for the format to be recognised. A format with
    ``requests`` holds totals of periods instead of single requests. A row that is not among ``only``, or that
    lacks all of ``has``, is no model call: it belongs there, is counted and no fault.
    ``unit_s`` is the length of one unit of a numeric time. A format with ``line_item`` is a bill: it holds
    costs instead of tokens. ``rewrite`` makes of a record what its columns mean elsewhere, before they are
    read. What tells requests apart is one of each set of names in ``ids``, together.
    """

    name: str
    marks: tuple[tuple[str, ...], ...]
    time: tuple[str, ...]
    input_tokens: tuple[str, ...]
    output_tokens: tuple[str, ...]
    cached_tokens: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    cost: tuple[str, ...] = ()
    currency: tuple[str, ...] = ()
    requests: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    line_item: tuple[str, ...] = ()
    quantity: tuple[str, ...] = ()
    quantity_unit: tuple[str, ...] = ()
    only: tuple[Only, ...] = ()
    has: tuple[str, ...] = ()
    unit_s: float | None = None
    rewrite: Callable[[Record], Record] | None = None
    ids: tuple[tuple[str, ...], ...] = ()
    is_daily: bool = False
    """Whether totals are of days, however far they lie apart."""
    has_request_ids: bool = False
    """Of a file that nobody knows: whether a column's name says that each row is one request."""
    block_tokens: int | None = None
    """Prompt tokens that each of a request's ``hash_ids`` stands for; ``None`` where there are none."""
    span: tuple[str, ...] = ()
    """Names of what tells spans apart within a trace, of the span around one, and of the trace."""
    parent: tuple[str, ...] = ()
    trace: tuple[str, ...] = ()

    def columns(self, names: tuple[str, ...]) -> dict[str, str]:
        """Our column → the file's, for those the file has."""
        present = set(names)
        found = {our: next((n for n in names if n in present), None) for our, names in self.names().items()}
        return {our: theirs for our, theirs in found.items() if theirs is not None}

    def names(self) -> dict[str, tuple[str, ...]]:
        """Our column → the names it goes by, for those that the format knows."""
        return {our: getattr(self, our) for our in OURS if getattr(self, our)}

    def within(self, header: tuple[str, ...]) -> Format:
        """The format without the names that a file of this header never has."""
        present = set(header)
        kept = {
            our: tuple(name for name in names if name in present or name.partition(".")[0] in present)
            for our, names in self.names().items()
            if our not in KINDS_OF_FILE
        }
        return replace(self, **kept)  # type: ignore[arg-type]


LITELLM_CALLS = frozenset(
    {"completion", "acompletion", "text_completion", "atext_completion", "responses", "aresponses",
     "anthropic_messages", "aanthropic_messages", "generate_content", "agenerate_content",
     "generate_content_stream", "agenerate_content_stream", "pass_through_endpoint", "llm_passthrough_route",
     "allm_passthrough_route"}
)  # fmt: skip
"""LiteLLM's ``CallTypes`` of text in, text out; a retrieved batch is a sum of many requests."""

NO_CHATS = r"/(embed(dings)?|moderations|rerank|images/.*|audio/.*)|.*:(batch)?embed\w*"
"""How the paths of other services end, at OpenAI, Cohere and Google."""

SPAN_STARTS = (
    "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "start_timestamp", "Timestamp",
)  # fmt: skip
SPAN_CHATS = LITELLM_CALLS | {"chat", "generate_content", "text_completion", "messages"}
"""What the convention, Sentry and LiteLLM (whose operations are its calls) name a span of a model call."""
SPAN_PROMPTS = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens")
SPAN_ANSWERS = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens")

FORMATS: tuple[Format, ...] = (
    Format(
        name="qwen-bailian",
        marks=(("hash_ids",), ("input_length",), ("parent_chat_id",)),
        time=("timestamp",),
        input_tokens=("input_length",),
        output_tokens=("output_length",),
        unit_s=1.0,
        block_tokens=16,
    ),
    Format(
        name="mooncake",
        marks=(("hash_ids",), ("input_length",)),
        time=("timestamp",),
        input_tokens=("input_length",),
        output_tokens=("output_length",),
        unit_s=1e-3,
        block_tokens=512,
    ),
    Format(
        name="azure-llm-trace",
        marks=(("TIMESTAMP",), ("ContextTokens",), ("GeneratedTokens",)),
        time=("TIMESTAMP",),
        input_tokens=("ContextTokens",),
        output_tokens=("GeneratedTokens",),
    ),
    Format(
        name="otel-genai",
        marks=((*SPAN_PROMPTS, *SPAN_ANSWERS),),
        time=SPAN_STARTS,
        input_tokens=SPAN_PROMPTS,
        output_tokens=SPAN_ANSWERS,
        # The second is OpenLLMetry's, from before there was a convention.
        cached_tokens=("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens"),
        has=(*SPAN_PROMPTS, *SPAN_ANSWERS),
        model=("gen_ai.response.model", "gen_ai.request.model"),
        ids=(("spanId", "span_id", "SpanId", "context.span_id"), SPAN_STARTS),
        # A span around an agent repeats the usage of the chat spans in it.
        only=(Only("gen_ai.operation.name", SPAN_CHATS),),
        span=("spanId", "span_id", "SpanId", "context.span_id"),
        parent=("parentSpanId", "parent_span_id", "ParentSpanId", "parent_id"),
        trace=("traceId", "trace_id", "TraceId", "context.trace_id"),
    ),
    Format(
        name="openai-usage-api",
        marks=(("start_time",), ("num_model_requests",)),
        time=("start_time",),
        end=("end_time",),
        requests=("num_model_requests",),
        input_tokens=("input_tokens",),
        output_tokens=("output_tokens",),
        cached_tokens=("input_cached_tokens",),
        model=("model",),
        only=(Only("object", frozenset({"bucket", "organization.usage.completions.result"})),),
    ),
    Format(
        name="openai-usage-legacy",
        marks=(("n_context_tokens_total", "context_tokens_total"), ("n_requests", "requests_total")),
        time=("aggregation_timestamp", "timestamp", "date"),
        requests=("n_requests", "requests_total"),
        input_tokens=("n_context_tokens_total", "context_tokens_total"),
        output_tokens=("n_generated_tokens_total", "generated_tokens_total"),
        cached_tokens=("n_cached_context_tokens_total", "cached_context_tokens_total"),
        model=("snapshot_id", "model"),
    ),
    Format(
        name="openai-cost",
        marks=(("amount_value", "amount.value"), ("start_time",)),
        time=("start_time",),
        end=("end_time",),
        input_tokens=(),
        output_tokens=(),
        line_item=("line_item",),
        quantity=("quantity",),
        quantity_unit=("quantity_unit",),
        cost=("amount_value", "amount.value"),
        currency=("amount_currency", "amount.currency"),
    ),
    Format(
        name="openrouter-activity",
        is_daily=True,
        marks=(("date",), ("requests",), ("prompt_tokens", "promptTokens")),
        time=("date",),
        requests=("requests",),
        input_tokens=("prompt_tokens", "promptTokens"),
        output_tokens=("completion_tokens", "completionTokens"),
        model=("model",),
        cost=("usage",),
    ),
    Format(
        name="openrouter",
        ids=(("generation_id", "id"),),
        # The API and the export write names in one way, the SDK for TypeScript in the other.
        marks=(
            ("tokens_prompt", "native_tokens_prompt", "nativeTokensPrompt"),
            ("created_at", "createdAt"),
        ),
        time=("created_at", "createdAt"),
        input_tokens=("native_tokens_prompt", "nativeTokensPrompt", "tokens_prompt", "tokensPrompt"),
        output_tokens=(
            "native_tokens_completion", "nativeTokensCompletion", "tokens_completion", "tokensCompletion",
        ),
        cached_tokens=("native_tokens_cached", "nativeTokensCached", "tokens_cached"),
        model=("model_permaslug", "model"),
        cost=("cost_total", "total_cost", "totalCost", "usage"),
        only=tuple(Only(name, frozenset({"completions"})) for name in ("api_type", "apiType")),
    ),
    Format(
        name="litellm",
        ids=(("request_id",),),
        marks=(("startTime",), ("prompt_tokens",), ("spend", "call_type", "api_key")),
        time=("startTime",),
        input_tokens=("prompt_tokens",),
        output_tokens=("completion_tokens",),
        cached_tokens=(
            "metadata.usage_object.prompt_tokens_details.cached_tokens",
            "metadata.usage_object.cache_read_input_tokens",
            "metadata.additional_usage_values.prompt_tokens_details.cached_tokens",
            "metadata.additional_usage_values.cache_read_input_tokens", "cache_read_input_tokens",
        ),
        model=("model",),
        cost=("spend",),
        only=(
            Only("call_type", LITELLM_CALLS),
            Only("status", frozenset({"success"}), "failed requests"),
            # Its own cache, not a provider's: such an answer never went to a cloud and cost nothing.
            Only("cache_hit", frozenset({"false", "f", "0", "0.0"}), "answers out of LiteLLM's own cache"),
        ),
    ),
    Format(
        name="helicone",
        ids=(("request_id",),),
        marks=(("request_created_at",),),
        time=("request_created_at",),
        input_tokens=("prompt_tokens",),
        output_tokens=("completion_tokens",),
        cached_tokens=("prompt_cache_read_tokens",),
        model=("response_model", "request_model", "model"),
        cost=("cost", "cost_usd"),
        only=(
            # It names no operation, only the URL.
            Only("request_path", Like(rf"(?!.*({NO_CHATS})(\?|$)).*")),
            # -3 is what the client cancelled, which was paid for.
            Only("response_status", Like(r"2\d\d(\.0)?|-3"), "failed requests"),
            Only("cache_reference_id", Like(r"[0-]*"), "answers out of Helicone's own cache"),
        ),
        rewrite=HELICONE,
    ),
    Format(
        name="langfuse",
        ids=(("id",),),
        marks=(
            ("start_time", "startTime"),
            ("usage_details", "usageDetails", "usage_details.input", "usageDetails.input",
             "promptTokens", "prompt_tokens"),
            ("trace_id", "traceId"),
        ),
        time=("start_time", "startTime"),
        input_tokens=("usage_details.input", "usageDetails.input", "inputUsage", "promptTokens",
                      "prompt_tokens"),
        output_tokens=("usage_details.output", "usageDetails.output", "outputUsage", "completionTokens",
                       "completion_tokens"),
        cached_tokens=tuple(f"{details}.{name}" for details in DETAILS for name in CACHE_READS),
        model=("provided_model_name", "providedModelName", "model"),
        cost=("total_cost", "totalCost", "calculatedTotalCost"),
        only=(Only("type", frozenset({"generation"}), "no model calls"),),
        rewrite=whole_usage,
    ),
    Format(
        name="spillway-ledger",
        ids=(("request_id",),),
        marks=(("reference_cost_usd",), ("input_tokens",)),
        time=("accepted_at",),
        input_tokens=("input_tokens",),
        output_tokens=("output_tokens",),
        cached_tokens=("cache_read_tokens",),
        model=("model", "model_reported"),
        cost=("reference_cost_usd",),
        only=(
            Only("result", frozenset({"ok", "cut", "cancelled"}), "failed requests"),
            Only("operation", frozenset({"chat", "completion"})),
        ),
    ),
)  # fmt: skip
"""Most telling first: the first format whose marks are all there is taken."""


def recognise(source: Source) -> Format | None:
    """The format whose marks the file has, or ``None`` for a generic file."""
    names = set(source.names)
    return next(
        (known for known in FORMATS if all(any(n in names for n in mark) for mark in known.marks)), None
    )


def named_format(name: str, source: Source, columns: Mapping[str, str]) -> Format | None:
    """The format of that name, ``None`` for ``GENERIC``.

    ``WorkloadError`` without one, or for a file without its column of times, if ``columns`` name none either.
    """
    if name == GENERIC:
        return None
    found = next((each for each in FORMATS if each.name == name), None)
    if found is None:
        known = ", ".join([*(each.name for each in FORMATS), GENERIC])
        raise WorkloadError(f"format {name!r} is unknown; use one of {known}")
    if "time" not in columns.values() and not found.within(source.names).time:
        names = source.wider().names
        if not found.within(names).time:
            raise WorkloadError(
                f"{source.path} has no {' or '.join(found.time)}, which {name} files have; leave --format "
                f"out, or name another format; the file has {', '.join(names[:30])}"
            )
    return found
