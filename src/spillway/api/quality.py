"""All that makes sure local answers are good enough, put together: gates, evidence, comparisons, ratings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from spillway.api.feedback import FeedbackTaker
from spillway.api.gatekeeper import Gatekeeper
from spillway.api.shadow import Shadow, ShadowSettings
from spillway.api.shadow_ask import Target
from spillway.api.thresholds import Thresholds
from spillway.clock import Clock
from spillway.config.consistency import alias_ends
from spillway.config.schema import Config
from spillway.evidence import EvidenceBook, QualityLimits
from spillway.evidence.desk import EvidenceDesk
from spillway.fleet.registry import Fleet
from spillway.ledger.writer import LedgerWriter
from spillway.relay.run import Job
from spillway.vocabulary import Attempt, Bill, Outcome, Rates

__all__ = ["Quality"]


class Quality:
    """``start`` after the ledger's writer, ``close`` before it."""

    def __init__(
        self,
        config: Config,
        *,
        fleet: Fleet,
        writer: LedgerWriter,
        clock: Clock,
        bill: Callable[[Attempt], Bill],
        rates_of: Callable[[str, str], Rates | None],
        reference: tuple[str, str] | None,
        on_shadow_bills: Callable[[Sequence[Bill]], None] = lambda bills: None,
    ) -> None:
        """``reference`` is the cloud and model that local answers are compared with; ``on_shadow_bills`` is
        told what that cost."""
        quality = config.quality
        self._verifies = quality.verify and bool(config.nodes) and bool(config.clouds)
        limits = QualityLimits(
            quality.max_gap, quality.confidence, quality.max_escalations, quality.exploration_share
        )
        shadow = _shadow_settings(config, reference)
        self.book = EvidenceBook(
            limits,
            local_tasks=config.routing.local_tasks,
            reference=reference,
            can_compare=shadow.share > 0 and shadow.reference is not None,
        )
        self.desk = EvidenceDesk(self.book, writer, clock)
        self.thresholds = Thresholds(quality.min_confidence, quality.max_error, shadow.share, writer)
        self.gatekeeper = Gatekeeper(self.thresholds, self.desk.key_for, shadow.share)
        self.desk.on_event = self.gatekeeper.learn
        self.feedback = FeedbackTaker(self.desk, writer, clock, is_on=quality.feedback)
        self.shadow = Shadow(
            shadow,
            fleet=fleet,
            desk=self.desk,
            writer=writer,
            clock=clock,
            bill=bill,
            rates_of=rates_of,
            gate=self.gatekeeper.judge,
            on_bills=on_shadow_bills,
        )

    def wants(self, job: Job) -> bool:
        """Whether the answer to this request is needed once its caller has it; the relay's ``Observer``."""
        return self.shadow.wants(job)

    def note(self, job: Job, outcome: Outcome, answer: bytes) -> None:
        """One request as it ended."""
        self.gatekeeper.note(job, outcome, answer)
        self.shadow.note(job, outcome, answer)

    async def start(self) -> None:
        """What earlier runs learned is known again."""
        await self.desk.start()
        await self.thresholds.start()
        await self.shadow.start()
        if self._verifies:
            self.gatekeeper.start()

    async def close(self) -> None:
        """Comparisons are cancelled, and everything learned is with the ledger's writer."""
        await self.shadow.close()
        await self.gatekeeper.close()
        self.thresholds.close()
        await self.desk.close()


def _shadow_settings(config: Config, reference: tuple[str, str] | None) -> ShadowSettings:
    given = config.quality.shadow
    return ShadowSettings(
        share=given.share,
        usd_per_day=given.usd_per_day,
        tasks=frozenset(given.tasks),
        reference=None if reference is None else Target(reference[0], "cloud", reference[1]),
        judge=_judge(config, given.judge),
        runs_code=given.runs_code,
        max_parallel=given.max_parallel,
        aliases=alias_ends(config),
    )


def _judge(config: Config, name: str | None) -> Target | None:
    if name is None:
        return None
    upstream, _, model = name.partition("/")
    is_node = any(node.name == upstream for node in config.nodes)
    return Target(upstream, "local" if is_node else "cloud", model)
