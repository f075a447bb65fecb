"""Settings, registry, clock, errors and scheduler."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from core.clock import parse_when, to_utc
from core.errors import AppError, ConfigError, UsageError
from core.registry import Registry
from core.scheduler import Job, JobRun, run_job
from core.settings import describe, load_settings


@dataclass(frozen=True)
class Entry:
    """Something with a key."""

    key: str


def test_registry__duplicate_raises_and_unknown_names_the_valid_ones() -> None:
    with pytest.raises(ValueError, match="twice"):
        Registry("thing", Entry("a"), Entry("a"))
    with pytest.raises(UsageError) as error:
        Registry("thing", Entry("a"), Entry("b"))["c"]
    assert error.value.hint == "Valid: a, b."


def test_sentence__joins_with_stops() -> None:
    assert AppError("It failed", "here", "Do that.").sentence() == "It failed: here. Do that."
    assert AppError("It failed.").sentence() == "It failed."


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-03-02", datetime(2026, 3, 2)),
        ("2026-03-02T10:00+01:00", datetime(2026, 3, 2, 9)),
        ("24h", datetime(2026, 3, 1, 12)),
        ("7d", datetime(2026, 2, 23, 12)),
    ],
)
def test_parse_when(text: str, moment: datetime) -> None:
    assert parse_when(text, relative_to=datetime(2026, 3, 2, 12)) == moment


def test_parse_when__nonsense_names_the_notations() -> None:
    with pytest.raises(UsageError, match="Not a time"):
        parse_when("soon")


def test_to_utc__naive_is_utc_already() -> None:
    assert to_utc(datetime(2026, 3, 2)) == datetime(2026, 3, 2)


def test_settings__variable_beats_file_and_secret_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weir.toml").write_text(
        '[serve]\nport = 9000\n[store]\nrecords_url = "postgresql://weir:hunter2@db/weir"\n', encoding="utf-8"
    )
    monkeypatch.setenv("WEIR_INTAKE_TOKEN", "hunter3")
    assert load_settings(tmp_path).serve.port == 9000
    monkeypatch.setenv("WEIR_SERVE__PORT", "9001")
    settings = load_settings(tmp_path)
    assert settings.serve.port == 9001
    assert settings.home == tmp_path
    assert "hunter" not in str(describe(settings))


@pytest.mark.parametrize(
    ("toml", "name"),
    [
        ("[serve]\nport = 99999999\n", "serve.port"),
        ("[serve]\nprot = 1\n", "serve.prot"),
        ("colour = 'blue'\n", "colour"),
        ("home = '/tmp'\n", "home"),
        ("[cases]\nopen_on = ['whim']\n", "cases.open_on"),
    ],
)
def test_settings__bad_one_is_named(toml: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text(toml, encoding="utf-8")
    with pytest.raises(ConfigError) as error:
        load_settings(tmp_path)
    assert name in error.value.detail


def test_settings__unknown_variable_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_SERV", "1")
    with pytest.raises(ConfigError, match="WEIR_SERV"):
        load_settings(tmp_path)


def test_job__outcome_is_recorded_and_silence_is_not() -> None:
    runs: list[JobRun] = []

    def fail() -> str:
        raise OSError("disk full")

    run_job(Job("quiet", 1, lambda: ""), runs.append)
    run_job(Job("busy", 1, lambda: "3 rows"), runs.append)
    run_job(Job("broken", 1, fail), runs.append)
    assert [(run.key, run.message, run.error) for run in runs] == [("busy", "3 rows", ""), ("broken", "", "disk full")]
