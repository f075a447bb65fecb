"""A copy is taken beside a server, and what comes back goes on as if nothing had happened."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from core.clock import now
from core.errors import AccessError, FormatError, NotFoundError, UsageError
from core.settings import load_settings
from incidents.audit import find_tampering
from incidents.cases import list_cases, open_cases
from incidents.people import SYSTEM, Actor, Role
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from ingest.files import ingest_paths
from service.backup import back_up, restore
from service.home import Home, open_home
from tests.browser.serving import serve
from tests.service.commands import ROOT, run

ADMIN = Actor("ada", Role.ADMIN)
SAMPLES = [ROOT / "sample_logs" / f"{name}.jsonl" for name in ("model_log", "filter_log")]
TABLES = (
    "turns",
    "checks",
    "check_scores",
    "labels",
    "check_rollup",
    "turn_rollup",
    "ingests",
    "checkpoints",
    "chunks",
)


def dump(home: Home) -> dict[str, list[object]]:
    """Every row that ingest and people made, but for when they did."""
    found: dict[str, list[object]] = {}
    for table in TABLES:
        rows = home.events.read(f"SELECT * FROM {table}")
        timed = [name for name in ("ingested_at", "updated_at", "seconds") if name in rows.columns]
        found[table] = sorted(map(repr, rows.drop(timed).rows()))
    return found


def judge(home: Home) -> None:
    open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
    case = list_cases(home.records, actor=ADMIN)[0]
    cast_vote(home.records, VoteCreate(case_id=case.case_id, harmful=True), actor=ADMIN, at=now())


def test_what_came_after_the_copy_comes_again_once(tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "home")
    with open_home(settings) as home:
        ingest_paths(home.events, SAMPLES[:1], settings=settings)
        judge(home)
        back_up(home, tmp_path / "copy", actor=ADMIN, at=now())
        ingest_paths(home.events, SAMPLES[1:], settings=settings)
        mirror_votes(home.records, home.events, settings=settings)
        expected = dump(home)
    assert restore(settings, tmp_path / "copy", replace=True, at=now()).data_version == 1
    with open_home(settings) as home:
        assert dump(home) != expected
        ingest_paths(home.events, SAMPLES[1:], settings=settings)
        mirror_votes(home.records, home.events, settings=settings)
        assert dump(home) == expected
        assert find_tampering(home.records) is None
    (aside,) = settings.home.glob("replaced-*")
    assert {path.name for path in aside.iterdir()} >= {"events.duckdb", "incidents.sqlite"}


def test_a_copy_beside_a_server_restores_elsewhere(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "weir.toml").write_text("[statistics]\nmin_sample = 7\n")
    with serve(home) as server:
        server.weir("ingest", *(str(path) for path in SAMPLES))
        document = json.loads(server.weir("backup", str(tmp_path / "copy"), "--json").stdout)
        assert set(document["files"]) == {"events.duckdb", "incidents.sqlite", "weir.toml"}
        refused = run("restore", str(tmp_path / "copy"), "--home", str(home), "--replace")
        assert (refused.status, refused.out) == (1, "")
        assert "server runs" in refused.err
        before = json.loads(server.weir("report", "triggers", "--by", "filter_name", "--json").stdout)["rows"]
    assert run("restore", str(tmp_path / "copy"), "--home", str(tmp_path / "other")).status == 0
    after = run("report", "triggers", "--by", "filter_name", "--json", "--home", str(tmp_path / "other")).document
    assert after["rows"] == before
    assert load_settings(tmp_path / "other").statistics.min_sample == 7


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    with open_home(load_settings(tmp_path / "source")) as home:
        back_up(home, tmp_path / "copy", actor=ADMIN, at=now())
    return tmp_path / "copy"


@pytest.mark.parametrize("name", ["events.duckdb", "incidents.sqlite"])
def test_a_damaged_copy_changes_nothing(copy: Path, tmp_path: Path, name: str) -> None:
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    settings = load_settings(tmp_path / "target")
    with pytest.raises(FormatError, match="damaged"):
        restore(settings, copy, replace=False, at=now())
    assert not settings.events_path.exists()


def test_a_manifest_cannot_name_other_files(copy: Path, tmp_path: Path) -> None:
    manifest = json.loads((copy / "backup.json").read_text())
    manifest["files"]["../../evil"] = manifest["files"]["events.duckdb"]
    (copy / "backup.json").write_text(json.dumps(manifest))
    with pytest.raises(FormatError, match="other files"):
        restore(load_settings(tmp_path / "target"), copy, replace=False, at=now())


def test_refusals(copy: Path, tmp_path: Path) -> None:
    settings = load_settings(tmp_path / "source")
    with pytest.raises(UsageError, match="holds stores"):
        restore(settings, copy, replace=False, at=now())
    with pytest.raises(NotFoundError):
        restore(settings, tmp_path / "nowhere", replace=True, at=now())
    with open_home(settings) as home:
        with pytest.raises(UsageError, match="not free"):
            back_up(home, copy, actor=ADMIN, at=now())
        with pytest.raises(AccessError):
            back_up(home, tmp_path / "new", actor=Actor("ana", Role.REVIEWER), at=now())
    assert not (tmp_path / "new").exists()
    assert not list(tmp_path.glob(".*"))
