"""`weir notify`: a test that fails says why and stays in the log."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import load_settings
from service.home import Home, open_home
from service.jobs import build_jobs
from tests.service.commands import run


@pytest.fixture
def told_home(tmp_path: Path) -> Iterator[Home]:
    """A home with a target that nobody listens at."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "weir.toml").write_text('[[notify]]\nname = "hook"\nurl = "json://127.0.0.1:9/secret-of-the-hook"\n')
    with open_home(load_settings(home)) as opened:
        yield opened


def test_a_test_that_fails_has_status_1_and_stays_in_the_log(told_home: Home) -> None:
    outcome = run("notify", "test", "hook", "--json", home=told_home)
    assert outcome.status == 1
    assert outcome.document["state"] == "waiting"
    assert outcome.document["error"]
    (row,) = run("notify", "log", "--json", home=told_home).document["deliveries"]
    assert (row["event"], row["attempts"]) == ("test", 1)
    everything = outcome.out + run("notify", "log", home=told_home).out + run("config", "--json", home=told_home).out
    assert "secret-of-the-hook" not in everything


def test_an_unknown_target_names_the_known(told_home: Home) -> None:
    outcome = run("notify", "test", "nobody", home=told_home)
    assert outcome.status == 1
    assert "Configured: hook" in outcome.err


def test_the_jobs_escalate_and_tell(told_home: Home) -> None:
    jobs = {job.key: job.run for job in build_jobs(told_home)}
    assert jobs["notifications"]() == ""
    run("incidents", "open", "--title", "t", home=told_home)
    assert jobs["escalation"]() == ""
    assert jobs["notifications"]() == "messages: 1 made, 1 failed"
