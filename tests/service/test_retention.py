"""`weir retention`: shown first, audited, done."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from core.clock import now
from core.settings import load_settings
from core.settings_ingest import RetentionSettings
from incidents.audit_log import list_audit
from incidents.people import SYSTEM
from ingest.load import load_records
from service.home import Home, open_home
from service.jobs import build_jobs
from tests.ingest.logs import make_turn
from tests.service.commands import run


def fill(home: Home) -> None:
    for days in (1, 40):
        moment = f"{now() - timedelta(days=days)}Z"
        load_records(home.events, "model_log", [make_turn(days, ts=moment)], source="x", settings=home.settings)


def test_command__shows_then_removes_and_leaves_an_entry(tmp_path: Path) -> None:
    (tmp_path / "weir.toml").write_text("[retention]\ntext_d = 10\nturns_d = 30\n")
    with open_home(load_settings(tmp_path)) as home:
        fill(home)
        shown = run("retention", "--dry-run", "--json", home=home).document
        assert (shown["is_done"], shown["rows"]["turns"], shown["texts"]["turns"]) == (False, 1, 1)
        assert home.events.read("SELECT count(*) FROM turns").item() == 2
        assert list_audit(home.records, actor=SYSTEM, action="retention") == []
        assert run("retention", "--json", home=home).document["is_done"]
        assert home.events.read("SELECT count(*) FROM turns").item() == 1
        assert run("retention", "--json", home=home).document["rows"] == {"turns": 0}
        (entry,) = list_audit(home.records, actor=SYSTEM, action="retention")
        assert json.loads(entry.detail)["rows"] == {"turns": 1}


def test_job__ages_out_by_itself_and_says_how_much(tmp_path: Path) -> None:
    settings = load_settings(tmp_path).model_copy(update={"retention": RetentionSettings(turns_d=30)})
    with open_home(settings) as home:
        fill(home)
        (job,) = [job for job in build_jobs(home) if job.key == "retention"]
        assert job.run() == "aged out: 1 rows"
        assert job.run() == ""
