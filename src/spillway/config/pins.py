"""``pins``: what local nodes were pinned to, and what happens when they differ from it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from spillway.config.section import Section

__all__ = ["CanaryConfig", "DriftConfig", "PinsConfig"]

OnDrift = Literal["warn", "quarantine", "refuse"]


class DriftConfig(Section):
    """By what differs: ``warn`` tells, ``quarantine`` keeps traffic off that the change may break, ``refuse``
    no longer takes the model for the one that was pinned and sends it nothing."""

    remote_host: OnDrift = Field("refuse", description="Somebody else's machine answers.")
    model: OnDrift = Field("refuse", description="It serves another model than the one pinned.")
    engine: OnDrift = Field("quarantine", description="Another serving software listens there.")
    engine_version: OnDrift = Field("warn", description="The serving software was upgraded.")
    weights: OnDrift = Field("warn", description="Other weights; quality evidence starts anew by itself.")
    quantization: OnDrift = Field("warn", description="Another quantization; evidence starts anew.")
    template: OnDrift = Field("quarantine", description="Another chat template; quarantine: no tools.")
    context: OnDrift = Field("warn", description="Another context per slot, which routing follows itself.")
    slots: OnDrift = Field("warn", description="Another number of slots.")
    sampling: OnDrift = Field("warn", description="Other default sampling.")
    adapters: OnDrift = Field("quarantine", description="Other adapters, or another scale of one.")
    capabilities: OnDrift = Field("warn", description="It offers other capabilities.")
    fingerprint: OnDrift = Field("warn", description="Another setting of the engine that it tells.")
    canary: OnDrift = Field("quarantine", description="The pinned prompts get other answers.")


class CanaryConfig(Section):
    """A canary of your own: a short prompt whose answer must stay as it was pinned."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$", description="Its name in the lock.")
    task: str = Field("other", description="The task class it stands for.")
    system: str | None = Field(None, description="A system text before the prompt.")
    prompt: str = Field(min_length=1, max_length=4000, description="What is asked.")
    max_tokens: int = Field(48, ge=1, le=256, description="Longest answer; short ones cost less.")
    contains: str | None = Field(None, description="What a good answer holds.")
    json_answer: bool = Field(False, description="Whether a good answer is JSON.")


class PinsConfig(Section):
    """Where the lock is, and what happens when a node differs from it."""

    lock: str | None = Field(
        None, description="The lock file; default: spillway.lock beside this file, if it is there."
    )
    on_drift: DriftConfig = Field(default_factory=DriftConfig)
    canaries_every_s: float = Field(
        3600.0,
        ge=0,
        description="How often canaries run on an idle node; 0: only at start and after changes.",
    )
    default_canaries: bool = Field(True, description="Whether the canaries that ship are used.")
    canaries: tuple[CanaryConfig, ...] = Field((), description="Canaries of your own.")

    @model_validator(mode="after")
    def _names_differ(self) -> PinsConfig:
        names = [canary.name for canary in self.canaries]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two canaries are called {name!r}; names must differ")
        return self
