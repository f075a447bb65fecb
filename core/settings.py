"""Settings: `weir.toml` in the home, overridden by `WEIR_*` variables."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, Self, TypeGuard, get_args

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict
from sqlalchemy import make_url

from core.errors import ConfigError
from core.section import Section
from core.settings_ingest import IngestSettings, IntakeSettings, IntakeToken, MappingRule, RetentionSettings
from core.settings_response import DEFAULT_SERIOUS, EscalationPolicy, NotifyTarget, SeriousKind


class _Named(Protocol):
    name: str


class StatisticsSettings(Section):
    """How numbers are estimated."""

    confidence: float = Field(0.95, gt=0.5, lt=1, description="confidence level of intervals")
    min_sample: int = Field(5, ge=1, description="reviews below which no rate is shown")


class CaseSettings(Section):
    """Which turns open a case for people to judge."""

    open_on: tuple[Literal["enforced_trigger", "trigger", "escalation", "user_report", "appeal"], ...] = Field(
        ("enforced_trigger", "escalation", "user_report", "appeal"), description="what opens a case"
    )
    lease_s: int = Field(600, ge=10, description="seconds that a reviewer holds a case")
    max_age_d: int = Field(7, ge=1, description="days back from the newest event that cases are opened for")
    sla_min: dict[int, Annotated[int, Field(ge=1)]] = Field(
        {4: 60, 3: 240, 2: 1440, 1: 4320},
        description="service level: minutes in which a case of each severity should be judged; without a category, that of 2",
    )
    near_breach_min: int = Field(
        15, ge=0, description="minutes before its service level ends in which a case goes before all others"
    )
    hand_over_h: int = Field(24, ge=1, le=720, description="hours that a case handed to a colleague is kept for them")

    @field_validator("sla_min")
    @classmethod
    def _every_severity(cls, minutes: dict[int, int]) -> dict[int, int]:
        if set(minutes) != {1, 2, 3, 4}:
            raise ValueError("give the minutes of severity 1, 2, 3 and 4")
        return minutes


class QueueSettings(Section):
    """One queue: the waiting cases that meet every condition; a condition lists values of which one must hold."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="name: small letters, digits and hyphens")
    title: str = Field("", max_length=60, description="what the page calls it; the name if empty")
    filter_name: tuple[str, ...] = Field((), description="filters of which one fired")
    category: tuple[str, ...] = Field((), description="categories, gravest first of those that filters named")
    language: tuple[str, ...] = Field((), description="languages; en also takes en-GB")
    stratum: tuple[str, ...] = Field(
        (), description="strata of random samples: s3/passed, or passed for those of all samples"
    )
    source: tuple[str, ...] = Field((), description="sources of the logs")
    selection: tuple[
        Literal["user_report", "appeal", "escalation", "enforced_trigger", "trigger", "sample", "stress_test"], ...
    ] = Field((), description="what brought the case here")
    sla_min: int | None = Field(None, ge=1, description="service level in minutes, where it is shorter than severity's")

    @field_validator("name")
    @classmethod
    def _is_not_the_default(cls, name: str) -> str:
        if name == EVERYTHING:
            raise ValueError("this queue is always there")
        return name


EVERYTHING = "everything"
"""The queue of all cases, which needs no setting."""

DEFAULT_QUEUES = (
    QueueSettings(
        name="grave",
        title="Gravest categories",
        category=("child_sexual_exploitation", "suicide_self_harm", "indiscriminate_weapons", "violent_crimes"),
    ),
    QueueSettings(name="reports", title="Reports and appeals", selection=("user_report", "appeal")),
    QueueSettings(name="samples", title="Random samples", selection=("sample",)),
)


class ReviewSettings(Section):
    """How judgement is checked: shares of cases that are judged again, and of items whose verdict is known."""

    double_share: float = Field(0.10, ge=0, le=1, description="share of decided cases that somebody else judges again")
    audit_share: float = Field(0.02, ge=0, le=1, description="share of decided cases that a lead judges again")
    golden_share: float = Field(0.05, ge=0, le=0.5, description="share of served cases whose verdict is known already")

    @field_validator("audit_share")
    @classmethod
    def _shares_fit(cls, share: float, info: ValidationInfo) -> float:
        if share + info.data.get("double_share", 0) > 1:
            raise ValueError("double_share and audit_share together are at most 1")
        return share


class WellnessSettings(Section):
    """How people are spared: points are severities, 1 to 4, of the texts that a person revealed or judged in a shift."""

    shift_h: int = Field(12, ge=1, le=48, description="hours of a shift, over which exposure is counted")
    category_budget: int = Field(
        60, ge=1, description="points of one category after which the queue offers a person no more of it"
    )
    total_budget: int = Field(
        200, ge=1, description="points after which the queue offers a person nothing of severity 2 or above"
    )
    rest_after_min: int = Field(50, ge=5, le=480, description="minutes of continuous review after which to rest")
    rest_min: int = Field(10, ge=1, le=120, description="minutes of a pause that count as rest")
    interleave_after: int = Field(5, ge=1, le=100, description="grave cases in a row after which a milder one comes")
    words: dict[str, tuple[Annotated[str, Field(min_length=2, max_length=100)], ...]] = Field(
        default_factory=dict,
        description="sensitive words by category, 'any' for all, that a person may have covered: hate = ['...']",
    )


class StoreSettings(Section):
    """Sizes of the event store and where decisions live."""

    memory_limit: str = Field("2GB", pattern=r"^\d+(\.\d+)?(MB|GB|TB)$", description="DuckDB's memory limit")
    threads: int = Field(2, ge=1, description="DuckDB's threads")
    records_url: str = Field("", description="SQLAlchemy URL of the decision store; empty for SQLite in the home")


class CritiqueSettings(Section):
    """The model that answers suites, criticises and revises; off without an address."""

    base_url: str = Field(
        "", description="address of an OpenAI-compatible endpoint, for example http://127.0.0.1:8000/v1; empty = off"
    )
    api_key: SecretStr | None = Field(None, description="key of the endpoint")
    model: str = Field("", description="model that the endpoint runs")
    requests_per_minute: int = Field(60, ge=1, description="most requests a minute")
    max_output_tokens: int = Field(512, ge=16, description="longest answer, in tokens")
    input_price: float = Field(0.0, ge=0, description="price of a million tokens read, for the estimate")
    output_price: float = Field(0.0, ge=0, description="price of a million tokens written, for the estimate")


class AlertRule(Section):
    """One rule that watches the filters."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="name: small letters, digits and hyphens")
    kind: Literal[
        "rate_change",
        "silence",
        "no_data",
        "no_turns",
        "source_stopped",
        "error_share",
        "fail_open",
        "latency",
        "coverage",
        "score_drift",
        "wrong_blocks",
        "escalation_backlog",
    ] = Field(description="what it watches; see docs/alerts.md")
    filters: tuple[str, ...] = Field((), description="dimension=value pairs that narrow it")
    window_min: int = Field(60, ge=1, le=10080, description="minutes of a window; they divide a day, or are a week")
    limit: float | None = Field(None, description="where it breaches, in the kind's unit; empty = the kind's own")
    windows: int = Field(1, ge=1, le=24, description="windows in a row that must breach before it fires")
    recover_windows: int = Field(2, ge=1, le=24, description="windows in a row without a breach before it ends")
    false_alarms_per_week: float = Field(
        0.1, gt=0, le=10, description="false alarms that a quiet week may raise, for kinds that rest on counts"
    )
    is_on: bool = Field(default=True, description="whether it is evaluated")

    @field_validator("window_min")
    @classmethod
    def _divides_a_day_or_is_a_week(cls, minutes: int) -> int:
        if 1440 % minutes and minutes != 10080:
            raise ValueError("the minutes of a window divide a day, or are a week: 5, 15, 60, 1440, 10080")
        return minutes


DEFAULT_ALERTS = (
    AlertRule(name="rate-hour", kind="rate_change", windows=2),
    AlertRule(name="rate-day", kind="rate_change", window_min=1440),
    AlertRule(name="rate-week", kind="rate_change", window_min=10080),
    AlertRule(name="silence", kind="silence"),
    AlertRule(name="no-data", kind="no_data"),
    AlertRule(name="no-turns", kind="no_turns"),
    AlertRule(name="source-stopped", kind="source_stopped"),
    AlertRule(name="errors", kind="error_share", windows=2),
    AlertRule(name="fail-open", kind="fail_open"),
    AlertRule(name="latency", kind="latency", windows=2),
    AlertRule(name="coverage", kind="coverage", windows=2),
    AlertRule(name="score-drift", kind="score_drift", window_min=1440),
    AlertRule(name="wrong-blocks", kind="wrong_blocks", window_min=1440),
    AlertRule(name="backlog", kind="escalation_backlog"),
)


class ServeSettings(Section):
    """The server."""

    host: str = Field("127.0.0.1", description="address to bind")
    public_url: str = Field(
        "", description="address of the dashboard as people open it, put into notifications; empty = none"
    )
    port: int = Field(8501, ge=1, le=65535, description="port to bind")


class Settings(BaseSettings):
    """Everything that can be configured, with defaults."""

    model_config = SettingsConfigDict(env_prefix="WEIR_", env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Field(Path(".weir"), description="folder that holds the stores")
    intake_token: SecretStr | None = Field(None, description="bearer token of the HTTP intake")
    tokens: tuple[IntakeToken, ...] = Field((), description="more of them, as [[tokens]], hashed")
    layers: tuple[str, ...] = Field(
        (
            "keyword",
            "regex",
            "rule_engine",
            "classifier",
            "managed_api",
            "guard_llm",
            "llm_judge",
            "refinement",
            "human",
            "other",
        ),
        description="layers in cascade order",
    )
    thresholds: dict[str, float] = Field(
        default_factory=dict,
        description="score thresholds for sources that log no verdict, by filter and category: 'perspective/TOXICITY' = 0.8; filters: perspective, shieldgemma, azure-content-safety, bedrock-checks, llamafirewall, langfuse, inspect",
    )
    ingest: IngestSettings = IngestSettings()
    mapping: tuple[MappingRule, ...] = Field((), description="house log formats, as [[mapping]]")
    intake: IntakeSettings = IntakeSettings()
    retention: RetentionSettings = RetentionSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    cases: CaseSettings = CaseSettings()
    review: ReviewSettings = ReviewSettings()
    wellness: WellnessSettings = WellnessSettings()
    store: StoreSettings = StoreSettings()
    serve: ServeSettings = ServeSettings()
    critique: CritiqueSettings = CritiqueSettings()
    queues: tuple[QueueSettings, ...] = Field(DEFAULT_QUEUES, description="queues of the triage page, as [[queues]]")
    alerts: tuple[AlertRule, ...] = Field(DEFAULT_ALERTS, description="rules that watch the filters, as [[alerts]]")
    notify: tuple[NotifyTarget, ...] = Field((), description="places that are told of what happens, as [[notify]]")
    escalation: tuple[EscalationPolicy, ...] = Field(
        (), description="who is told while nobody takes something up, as [[escalation]]"
    )
    serious: tuple[SeriousKind, ...] = Field(
        DEFAULT_SERIOUS,
        description="kinds of incidents that may have to be reported, with their clocks, as [[serious]]",
    )

    @property
    def has_intake_token(self) -> bool:
        """Whether a token guards the intake."""
        return self.intake_token is not None or bool(self.tokens)

    @model_validator(mode="after")
    def _escalations_name_targets(self) -> Self:
        names = [target.name for target in self.notify]
        policies = [(policy.subject, policy.severity) for policy in self.escalation]
        if len(set(policies)) != len(policies):
            raise ValueError("two escalation entries have one subject and severity")
        unknown = [
            step.notify for policy in self.escalation for step in policy.steps if step.notify not in ("", *names)
        ]
        if unknown:
            raise ValueError(f"an escalation step names a notify entry that does not exist: {unknown[0]}")
        return self

    @field_validator("alerts", "queues", "notify", "tokens", "serious")
    @classmethod
    def _names_differ(cls, named: tuple[_Named, ...]) -> tuple[_Named, ...]:
        names = [item.name for item in named]
        if len(set(names)) != len(names):
            raise ValueError("two of them have one name")
        return named

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (env_settings, init_settings)

    @property
    def events_path(self) -> Path:
        """The event store's file."""
        return self.home / "events.duckdb"

    @property
    def records_url(self) -> str:
        """The decision store's SQLAlchemy URL."""
        return self.store.records_url or f"sqlite:///{self.home / 'incidents.sqlite'}"

    @property
    def inbox(self) -> Path:
        """The folder that scheduled ingest watches."""
        return self.home / "inbox"

    @property
    def exports(self) -> Path:
        """The folder that holds feedback sets built from the dashboard."""
        return self.home / "exports"


def load_settings(home: Path | None = None) -> Settings:
    """The effective settings.

    Args:
        home: Overrides `WEIR_HOME`, which overrides `.weir`.

    Raises:
        ConfigError: `weir.toml` cannot be parsed, or a setting is unknown or invalid.
    """
    home = (home or Path(os.environ.get("WEIR_HOME", ".weir"))).absolute()
    path = home / "weir.toml"
    values: dict[str, Any] = {}
    if path.exists():
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError("Settings cannot be read", f"{path}: {error}") from error
    if "home" in values:
        raise ConfigError("A setting is invalid", f"{path}: home", "The home is chosen by --home or WEIR_HOME.")
    _refuse_unknown_variables()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise _explain(error, path) from error
    return settings.model_copy(update={"home": home})


def default_settings() -> Settings:
    """The settings of a home without any of its own, whatever the environment holds."""
    return Settings.model_construct()


def describe(settings: Settings) -> dict[str, Any]:
    """The settings as plain values, secrets masked."""
    values = settings.model_dump(mode="json")
    if settings.store.records_url:
        values["store"]["records_url"] = make_url(settings.store.records_url).render_as_string(hide_password=True)
    return values


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _refuse_unknown_variables() -> None:
    valid = {f"WEIR_{name}".upper() for name in Settings.model_fields}
    for name in os.environ:
        if name.startswith("WEIR_") and name.upper().split("__")[0] not in valid:
            raise ConfigError("A setting is unknown", name, f"Valid: {', '.join(sorted(valid))}.")


def _explain(error: ValidationError, path: Path) -> ConfigError:
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    if not location:  # what several settings say together
        return ConfigError("Settings do not fit each other", f"{path}: {first['msg']}")
    model: type[BaseModel] = Settings
    field = None
    for part in location:
        if part.isdecimal():  # the place in a list of tables
            continue
        field = model.model_fields.get(part)
        if field is None:
            break
        model = next((kind for kind in (field.annotation, *get_args(field.annotation)) if _is_model(kind)), model)
    name = ".".join(location)
    where = f"{path} or WEIR_{'__'.join(location).upper()}"
    if field is None:
        return ConfigError("A setting is unknown", f"{name} ({where})", f"Valid: {', '.join(model.model_fields)}.")
    hint = f"It is: {field.description}." if field.description else ""
    return ConfigError("A setting is invalid", f"{name} ({where}): {first['msg']}", hint)
