"""Whether a local answer may be kept: gates over what the request asked for and what the model gave.

::

    wish = Wish.of(request_body)                       # what the answer must be like
    answer = GivenAnswer.of(response_body)             # what it is; of_chunks(...) for a buffered stream
    verdict = check(answer, wish, gates_for(task))     # → Verdict(failed, sentence, confidence, skipped)

    watch = StreamWatch(wish, gates_for(task))         # the same on the fly, to break off early
    if watch.feed(delta) is not None: ...

    threshold = choose_threshold(pairs, alpha=0.02)    # a least confidence that keeps the owner's bound

Pure: no sockets, no clock, nothing fetched. ``jsonschema_rs`` is imported with the first schema.
"""

from spillway.verify.answer import GivenAnswer, ToolCall
from spillway.verify.confidence import confidence_of
from spillway.verify.defaults import (
    BUFFERED_TASKS,
    DEFAULT_GATES,
    NEEDS_WHOLE,
    OPENING_GATES,
    RUNNING_GATES,
    gates_for,
    needs_whole,
)
from spillway.verify.gates import GATES, Verdict, check
from spillway.verify.online import OnlineThreshold
from spillway.verify.schemas import Schemas
from spillway.verify.thresholds import Threshold, choose_threshold
from spillway.verify.warm import warm_up
from spillway.verify.watch import StreamWatch
from spillway.verify.wish import Wish

__all__ = [
    "BUFFERED_TASKS",
    "DEFAULT_GATES",
    "GATES",
    "NEEDS_WHOLE",
    "OPENING_GATES",
    "RUNNING_GATES",
    "GivenAnswer",
    "OnlineThreshold",
    "Schemas",
    "StreamWatch",
    "Threshold",
    "ToolCall",
    "Verdict",
    "Wish",
    "check",
    "choose_threshold",
    "confidence_of",
    "gates_for",
    "needs_whole",
    "warm_up",
]
