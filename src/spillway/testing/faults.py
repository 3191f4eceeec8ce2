"""Everything a fake upstream can do wrong, as changes to the plan of one healthy answer.

"Event" is one server-sent event of a stream; an unstreamed body is sent in four parts that count as events.
``after``, ``delay_s`` and so on are fields of ``Reply``. Nothing sleeps unless the text says so.

==========================  ==================================================================================
name                        on the wire
==========================  ==================================================================================
healthy                     the whole answer; usage chunk with empty ``choices`` when asked for; keep-alive
refused                     listener closed, connecting fails until ``accept()``; by model name: also a reset
reset-before-headers        RST when the request has been read
closed-before-headers       FIN when the request has been read, not a byte of an answer
silent                      accepted, read, and nothing more until the client hangs up
slow-headers                status line after ``delay_s``
headers-then-silent         200 and headers, then nothing until the client hangs up
closed-after-headers        200 and headers, then FIN
reset-after-headers         200 and headers, then RST
slow-first-token            headers at once, first event after ``delay_s``
role-then-slow              headers and role event at once, first content after ``delay_s``
slow-tokens                 ``gap_s`` before every event but the first
held                        ``after`` events (-1: not even headers), then waits for ``release()``; the rest
cut                         FIN after ``after`` events, in the middle of a chunked body
cut-clean                   body ends correctly after ``after`` events: no finish reason, no ``[DONE]``
reset-mid-stream            RST after ``after`` events
stalled                     nothing more after ``after`` events, until the client hangs up
only-comments               headers, then ``: keep-alive`` every ``gap_s``, until the client hangs up
malformed-event             an event that is no JSON after ``after`` others, then the rest. Bodies: cut JSON
malformed-framing           a chunk-size line that is no number after ``after`` events, then FIN
missing-done                no ``data: [DONE]``
never-ends                  all events but usage and ``[DONE]``, then nothing until the client hangs up
missing-finish              no chunk with a ``finish_reason``; ``[DONE]`` is there
missing-usage               no usage although it was asked for; bodies: no ``usage``
usage-on-last-chunk         usage on the chunk with the finish reason, asked for or not
null-first-content          role event with ``"content": null``, as llama.cpp sends it
empty-completion            a complete answer with no content and ``finish_reason: stop``
empty-body                  200, content-length 0
html-200                    200 with a page of HTML, as captive portals send
html-502                    502 with a page of HTML, as proxies send
rate-limited                429 ``rate_limit_exceeded`` with ``Retry-After: <retry_after>``
rate-limited-no-advice      429 ``rate_limit_exceeded`` without ``Retry-After``
out-of-quota                429 ``insufficient_quota``: trying again is useless
unauthorized                401 ``invalid_api_key``
model-missing               404 ``model_not_found``
bad-request                 400 ``invalid_value``, naming ``temperature``
error-500                   500 ``server_error``
error-500-once              as error-500; by model name: only the first request, healthy afterwards
unavailable-for-a-while     503 until ``for_s`` after the first such answer, then healthy
loading                     503 "Loading model", as llama.cpp answers while it loads
context-openai              400 ``context_length_exceeded``
context-llamacpp            400 ``exceed_context_size_error`` with ``n_prompt_tokens`` and ``n_ctx``
content-filter              after ``after`` events a finish chunk with ``content_filter``; bodies likewise
content-filter-400          400 ``content_filter``, as Azure refuses prompts
field-rejected              400 naming ``field`` when the request has it, else healthy
prefill-rejected            400 when the last message is the assistant's, else healthy
error-event                 ``after`` events, a ``data:`` event with an error, a correct end; no ``[DONE]``
error-first-event           200, an error as the first and only event; bodies: 200 with an error object
keep-alive-trap             streams: announces keep-alive, closes 1 ms after the end; bodies stay open
keep-alive-race             announces keep-alive; the next request on that connection is read and met with FIN
length-short                content-length 10 bytes too small, then FIN
length-long                 content-length 10 bytes too large, then FIN
length-framed               a stream with content-length in place of chunks
close-delimited             no length and no chunks: the body ends with FIN
crlf                        events separated by CRLF CRLF
split-events                the body written in seeded random pieces of 1 to ``segment_bytes`` bytes
comments                    ``: keep-alive`` lines before every event
huge-event                  one event with ``huge_chars`` characters of content
early-hints                 a 103 response before the real one
==========================  ==================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Fault", "Reply"]


class Fault(StrEnum):
    """The names in the table above."""

    HEALTHY = "healthy"
    REFUSED = "refused"
    RESET_BEFORE_HEADERS = "reset-before-headers"
    CLOSED_BEFORE_HEADERS = "closed-before-headers"
    SILENT = "silent"
    SLOW_HEADERS = "slow-headers"
    HEADERS_THEN_SILENT = "headers-then-silent"
    CLOSED_AFTER_HEADERS = "closed-after-headers"
    RESET_AFTER_HEADERS = "reset-after-headers"
    SLOW_FIRST_TOKEN = "slow-first-token"
    ROLE_THEN_SLOW = "role-then-slow"
    SLOW_TOKENS = "slow-tokens"
    HELD = "held"
    CUT = "cut"
    CUT_CLEAN = "cut-clean"
    RESET_MID_STREAM = "reset-mid-stream"
    STALLED = "stalled"
    ONLY_COMMENTS = "only-comments"
    MALFORMED_EVENT = "malformed-event"
    MALFORMED_FRAMING = "malformed-framing"
    MISSING_DONE = "missing-done"
    NEVER_ENDS = "never-ends"
    MISSING_FINISH = "missing-finish"
    MISSING_USAGE = "missing-usage"
    USAGE_ON_LAST_CHUNK = "usage-on-last-chunk"
    NULL_FIRST_CONTENT = "null-first-content"
    EMPTY_COMPLETION = "empty-completion"
    EMPTY_BODY = "empty-body"
    HTML_200 = "html-200"
    HTML_502 = "html-502"
    RATE_LIMITED = "rate-limited"
    RATE_LIMITED_NO_ADVICE = "rate-limited-no-advice"
    OUT_OF_QUOTA = "out-of-quota"
    UNAUTHORIZED = "unauthorized"
    MODEL_MISSING = "model-missing"
    BAD_REQUEST = "bad-request"
    ERROR_500 = "error-500"
    ERROR_500_ONCE = "error-500-once"
    UNAVAILABLE_FOR_A_WHILE = "unavailable-for-a-while"
    LOADING = "loading"
    CONTEXT_OPENAI = "context-openai"
    CONTEXT_LLAMACPP = "context-llamacpp"
    CONTENT_FILTER = "content-filter"
    CONTENT_FILTER_400 = "content-filter-400"
    FIELD_REJECTED = "field-rejected"
    PREFILL_REJECTED = "prefill-rejected"
    ERROR_EVENT = "error-event"
    ERROR_FIRST_EVENT = "error-first-event"
    KEEP_ALIVE_TRAP = "keep-alive-trap"
    KEEP_ALIVE_RACE = "keep-alive-race"
    LENGTH_SHORT = "length-short"
    LENGTH_LONG = "length-long"
    LENGTH_FRAMED = "length-framed"
    CLOSE_DELIMITED = "close-delimited"
    CRLF = "crlf"
    SPLIT_EVENTS = "split-events"
    COMMENTS = "comments"
    HUGE_EVENT = "huge-event"
    EARLY_HINTS = "early-hints"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """How to answer a request: which fault, and its measures. ``times`` requests get it when scripted."""

    fault: Fault = Fault.HEALTHY
    text: str | None = None
    """What to say; ``None`` says ``answers.answer_text`` of the request."""
    times: int = 1
    after: int = 3
    """Events sent before it goes wrong; of a chat stream the first one is the role, without content."""
    delay_s: float = 0.3
    gap_s: float = 0.05
    for_s: float = 0.5
    retry_after: str = "1"
    segment_bytes: int = 7
    huge_chars: int = 2_000_000
    field: str = "stream_options"
    headers: tuple[tuple[str, str], ...] = ()
    """Sent besides the usual ones."""
