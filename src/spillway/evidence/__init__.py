"""How good local answers are, by task class and model identity, learnt from the owner's own traffic.

::

    book = EvidenceBook(QualityLimits(), local_tasks=["extraction"])
    book.take(Event(request_id=…, key=key_of("extraction", "mini", "qwen3-4b", identity), kind="shadow", …))
    book.allows_local("extraction", "mini", "qwen3-4b", identity)   # True, False, or None: configuration
    decides
"""

from spillway.evidence.book import EvidenceBook, share_of
from spillway.evidence.events import Event, Key, Kind, key_of
from spillway.evidence.record import QualityLimits, Record, Standing

__all__ = [
    "Event",
    "EvidenceBook",
    "Key",
    "Kind",
    "QualityLimits",
    "Record",
    "Standing",
    "key_of",
    "share_of",
]
