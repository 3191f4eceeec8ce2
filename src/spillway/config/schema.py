"""The one frozen ``Config``: every key of ``spillway.yaml`` with its unit, default and meaning."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import Field, SecretStr, field_validator, model_validator

from spillway.config.pins import PinsConfig
from spillway.config.quality import QualityConfig
from spillway.config.section import Section

__all__ = [
    "CloudConfig",
    "CloudModelConfig",
    "Config",
    "DeadlineConfig",
    "HardwareConfig",
    "KeyConfig",
    "NodeConfig",
    "PriceConfig",
    "RoutingConfig",
    "Section",
    "ServerConfig",
    "SloConfig",
]

EngineKind = Literal["auto", "llamacpp", "ollama", "vllm", "lmstudio", "openai"]
UpstreamName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
LOOPBACK_HOSTS = frozenset({"127.0.0.1", "::1", "localhost"})
RESERVED_NAMES = frozenset({"auto", "local", "cloud"})


class KeyConfig(Section):
    """A key that clients present as ``Authorization: Bearer …``."""

    name: str = Field(description="Shown in the ledger and in reports instead of the key.")
    key: SecretStr = Field(description="The secret; write ${ENV_NAME} rather than the value.")


class ServerConfig(Section):
    """Where the gateway listens and what it accepts."""

    host: str = Field("127.0.0.1", description="Address to listen on; anything but loopback needs keys.")
    port: int = Field(4000, ge=0, le=65535, description="TCP port; 0 takes a free one.")
    keys: tuple[KeyConfig, ...] = Field((), description="Keys clients must present; none means no check.")
    max_body_bytes: int = Field(33_554_432, ge=1024, description="Larger request bodies are refused (413).")
    body_timeout_s: float = Field(
        30.0,
        gt=0,
        description="Longest wait for the next 64 kB of a body, or for a client that takes nothing.",
    )


class DeadlineConfig(Section):
    """How long to wait for an upstream, in seconds."""

    connect_s: float = Field(5.0, gt=0, description="To open a connection.")
    first_token_s: float = Field(120.0, gt=0, description="From sending the request to the first token.")
    stall_s: float = Field(60.0, gt=0, description="Between two pieces of a stream.")
    total_s: float = Field(600.0, gt=0, description="From sending the request to its end, delivery included.")
    load_s: float = Field(120.0, ge=0, description="More while it says that it is loading its model.")


class HardwareConfig(Section):
    """What a node cost and draws; a field left out stays unknown and so does the cost that needs it."""

    price_usd: Decimal | None = Field(None, ge=0, description="Purchase price of the machine.")
    life_months: Decimal = Field(Decimal(48), gt=0, description="Months over which the price is spread.")
    idle_w: Decimal | None = Field(None, ge=0, description="Power drawn while idle, in watts.")
    active_w: Decimal | None = Field(None, ge=0, description="Power drawn while generating, in watts.")


class NodeConfig(Section):
    """One local server, or one model file served by the embedded engine."""

    name: UpstreamName = Field(description="How the node is called in NODE/MODEL, headers and reports.")
    url: str | None = Field(None, description="Base URL of a running server, e.g. http://127.0.0.1:11434.")
    model: str | None = Field(None, description="Path of a GGUF file: spillway serves it itself.")
    engine: EngineKind = Field("auto", description="Serving software; auto asks the server.")
    slots: int | Literal["auto"] = Field("auto", description="Sequences it serves well at once.")
    context_tokens: int | None = Field(None, ge=1, description="Context per slot; default: as reported.")
    hardware: str | HardwareConfig | None = Field(
        None, description="A catalogue name (mac-mini-m4-pro), or figures."
    )
    profile: str | None = Field(None, description="File that spillway bench URL --save wrote for it.")
    api_key: SecretStr | None = Field(None, description="Key the node itself asks for, if any.")
    deadlines: DeadlineConfig = Field(default_factory=DeadlineConfig, description="Patience with this node.")

    @model_validator(mode="after")
    def _has_one_source(self) -> NodeConfig:
        if (self.url is None) == (self.model is None):
            raise ValueError("give exactly one of url (a running server) and model (a GGUF file)")
        return self

    @field_validator("slots")
    @classmethod
    def _has_a_slot(cls, slots: int | str) -> int | str:
        if isinstance(slots, int) and slots < 1:
            raise ValueError("must be auto or at least 1")
        return slots


class CloudModelConfig(Section):
    """One model of a cloud, when more than its name is to be said."""

    name: str = Field(description="The provider's own name for it.")
    context_tokens: int | None = Field(None, ge=1, description="Largest prompt plus answer, if known.")
    substitute: bool = Field(False, description="Requests for this name may be answered locally.")


class CloudConfig(Section):
    """One provider that speaks the OpenAI API."""

    name: UpstreamName = Field(description="How the provider is called in headers and reports.")
    url: str | None = Field(None, description="Base URL up to /v1; known for the usual names.")
    api_key: SecretStr | None = Field(None, description="Write ${ENV_NAME} rather than the value.")
    models: tuple[str | CloudModelConfig, ...] = Field((), description="Models to use, best liked first.")
    provider: str | None = Field(None, description="Whose price list applies; default: the name.")
    deadlines: DeadlineConfig = Field(default_factory=DeadlineConfig, description="Patience with this cloud.")
    simulated: str | None = Field(
        None, description="Set when this is a stand-in, not a paid provider; shown wherever a person sees it."
    )

    @property
    def model_entries(self) -> tuple[CloudModelConfig, ...]:
        """The models, each in its long form."""
        return tuple(CloudModelConfig(name=m) if isinstance(m, str) else m for m in self.models)


class PriceConfig(Section):
    """Your own price for one cloud model, in USD per million tokens; it wins over the catalogue."""

    input_usd_per_mtok: Decimal = Field(ge=0, description="Prompt tokens that were not cached.")
    output_usd_per_mtok: Decimal = Field(ge=0, description="Answer tokens, reasoning included.")
    cache_read_usd_per_mtok: Decimal | None = Field(None, ge=0, description="Default: as other input.")
    cache_write_usd_per_mtok: Decimal | None = Field(None, ge=0, description="Default: as other input.")


class SloConfig(Section):
    """One class of objectives; a limit left out is no limit."""

    ttft_ms: float | None = Field(None, gt=0, description="Time to first token, in milliseconds.")
    total_ms: float | None = Field(None, gt=0, description="Time to the last token, in milliseconds.")
    attainment: float = Field(0.95, gt=0, lt=1, description="Share of requests that must keep the limits.")

    @model_validator(mode="after")
    def _limits_fit(self) -> SloConfig:
        if self.ttft_ms is not None and self.total_ms is not None and self.total_ms < self.ttft_ms:
            raise ValueError("total_ms must not be below ttft_ms")
        return self


class RoutingConfig(Section):
    """What may go local, and what answers are compared with."""

    reference: str | None = Field(None, description="CLOUD/MODEL: what an answer would have cost.")
    local_tasks: tuple[str, ...] = Field(
        ("extraction", "classification", "routing", "short_generation"),
        description="Task classes trusted to local nodes before there is evidence.",
    )
    max_local_input_tokens: int = Field(8000, ge=1, description="Longer prompts go to the cloud.")
    max_local_output_tokens: int = Field(1000, ge=1, description="Longer answers go to the cloud.")
    queue_per_slot: float = Field(
        1.0, ge=0, description="Requests waiting per slot before new ones spill, where no objective decides."
    )
    hedge_share: float = Field(
        0.05, ge=0, le=1, description="Largest share of requests sent twice when the first is late; 0: none."
    )
    classify: bool = Field(True, description="Read the task class from the payload when none is stated.")
    task_file: str | None = Field(None, description="Your own classes, from spillway classify --learn.")
    max_attempts: int = Field(3, ge=1, le=10, description="Tries at upstreams for one request.")


class Config(Section):
    """Everything ``spillway up`` needs to know; every part has a default."""

    server: ServerConfig = Field(default_factory=ServerConfig)
    nodes: tuple[NodeConfig, ...] = ()
    clouds: tuple[CloudConfig, ...] = ()
    aliases: dict[str, str] = Field(default_factory=dict, description="Alias → model or NODE/MODEL.")
    slo: dict[str, SloConfig] = Field(default_factory=lambda: {"default": SloConfig()})
    routing: RoutingConfig = Field(default_factory=RoutingConfig)
    quality: QualityConfig = Field(default_factory=QualityConfig)
    pins: PinsConfig = Field(default_factory=PinsConfig)
    prices: dict[str, PriceConfig] = Field(default_factory=dict, description="CLOUD/MODEL → your own price.")
    electricity_usd_per_kwh: Decimal | None = Field(None, ge=0, description="What a kilowatt-hour costs you.")
    ledger: str = Field("sqlite:///spillway.db", description="sqlite:///FILE or postgresql://…")
    capture: bool = Field(
        False, description="Also store prompt and answer texts, but never of private requests."
    )

    @model_validator(mode="after")
    def _is_consistent(self) -> Config:
        names = [node.name for node in self.nodes] + [cloud.name for cloud in self.clouds]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two upstreams are called {name!r}; names must differ")
            if name in RESERVED_NAMES:
                raise ValueError(f"an upstream may not be called {name!r}; that word chooses a side")
        if self.server.host not in LOOPBACK_HOSTS and not self.server.keys:
            raise ValueError(
                f"server.host {self.server.host} can be reached from other machines: set server.keys first"
            )
        return self
