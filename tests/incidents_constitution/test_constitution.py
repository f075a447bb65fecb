"""Principles, suites, critique over real HTTP, decisions about revisions, and the before/after table of the worked suite."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AppError, ConfigError, ConflictError, FormatError
from core.settings import CritiqueSettings, load_settings
from incidents.audit import find_tampering
from incidents.constitution.asking import plan_asking, run_asking
from incidents.constitution.coverage import build_coverage
from incidents.constitution.critique import parse_verdict, plan_critique, run_critique
from incidents.constitution.endpoint import Endpoint, EndpointError
from incidents.constitution.principles import (
    Constitution,
    Principle,
    list_versions,
    parse_constitution,
    render_constitution,
    save_constitution,
)
from incidents.constitution.revisions import RevisionState, decide_revision, list_revisions
from incidents.constitution.stress import Gap, build_stress_report
from incidents.constitution.suites import load_suite, parse_suite
from incidents.people import Actor, Role
from incidents.reviews import mirror_votes
from metrics.paired import PairedCounts, compare_pairs
from service.home import Home, open_home
from tests.stores import lay_out
from tests.stub_model import MODEL, Stub, serve_stub

SAMPLE = Path(__file__).parents[2] / "sample_suites" / "financial-literacy"
AT = datetime(2026, 3, 2, 9)
LEA, ANA = Actor("lea", Role.LEAD), Actor("ana", Role.REVIEWER)
TEXTS = st.text(st.characters(min_codepoint=32, exclude_categories=("Cs", "Cc")), min_size=1, max_size=40)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        yield opened


def prepare(home: Home) -> Constitution:
    constitution = parse_constitution((SAMPLE / "constitution.toml").read_text())
    save_constitution(home.records, home.settings, constitution, actor=LEA, at=AT, base=0)
    load_suite(home.records, "money", (SAMPLE / "prompts.jsonl").read_text(), actor=LEA, at=AT)
    return constitution


def connect(stub: Stub) -> Endpoint:
    return Endpoint(
        CritiqueSettings(base_url=stub.address, model=MODEL, requests_per_minute=1_000_000), sleep=lambda _: None
    )


def ask(home: Home, endpoint: Endpoint, arm: str, constitution: Constitution | None = None) -> None:
    work = plan_asking(home.events, home.records, suite="money", arm=arm, constitution=constitution)
    run_asking(home.events, home.records, work, endpoint, settings=home.settings, actor=LEA)


@given(TEXTS, TEXTS, st.lists(TEXTS))
def test_constitution_survives_its_file(text: str, rationale: str, examples: list[str]) -> None:
    constitution = Constitution("t", (Principle("P-1", f"x{text}", rationale, tuple(examples)),))
    assert parse_constitution(render_constitution(constitution)) == constitution


def test_saving_keeps_history_and_refuses_an_outdated_base(home: Home) -> None:
    first = prepare(home)
    second = Constitution(first.title, first.principles[1:])
    assert save_constitution(home.records, home.settings, second, actor=LEA, at=AT, base=1) == 2
    with pytest.raises(ConflictError):
        save_constitution(home.records, home.settings, first, actor=LEA, at=AT, base=1)
    newest = list_versions(home.records)[0]
    assert (newest.number, newest.changes) == (2, "removed F-1")
    assert find_tampering(home.records) is None


def test_worked_suite_attacks_each_principle_six_times() -> None:
    prompts = parse_suite((SAMPLE / "prompts.jsonl").read_text())
    counts = {name: sum(p.principle_id == name for p in prompts) for name in {p.principle_id for p in prompts}}
    assert counts == {f"F-{number}": 6 for number in range(1, 11)}
    with pytest.raises(FormatError, match="line 2"):
        parse_suite('{"prompt_id":"a","principle_id":"P","prompt":"x"}\n{"prompt_id":"a","principle_id":"P"}')


def test_paired_change_is_the_published_one() -> None:
    change = compare_pairs(PairedCounts(both=36, only_before=2, only_after=12, neither=0), confidence=0.95)
    assert (change.estimate, change.low, change.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=5e-5)


def test_a_critique_without_verdict_says_nothing() -> None:
    assert parse_verdict("fine\nVERDICT: COMPLIES") == ("fine", False)
    assert parse_verdict("VERDICT: VIOLATES, or not") == ("VERDICT: VIOLATES, or not", None)


def test_nothing_is_asked_by_default() -> None:
    with pytest.raises(ConfigError):
        Endpoint(CritiqueSettings())


def test_suite_end_to_end_and_only_what_people_accept_becomes_a_verdict(home: Home) -> None:
    constitution = prepare(home)
    with serve_stub() as stub:
        endpoint = connect(stub)
        ask(home, endpoint, "before")
        ask(home, endpoint, "after", constitution)
        for arm in ("before", "after"):
            work = plan_critique(home.events, home.records, settings=home.settings, suite="money", arm=arm)
            run_critique(home.records, work, endpoint, actor=LEA)
    report = build_stress_report(
        home.events, home.records, settings=home.settings, suite="money", before="before", after="after"
    )
    total = report.rows[-1]
    assert (total["before"]["numerator"], total["after"]["numerator"]) == (46, 9)
    assert total["change"]["pairs"] == 60
    assert total["change"]["high"] < 0
    assert {(gap["kind"], gap["principle_id"]) for gap in report.gaps} == {(Gap.STILL_BROKEN.value, "F-6")}
    assert mirror_votes(home.records, home.events, settings=home.settings) == 0
    accepted, edited, rejected = list_revisions(home.records, state=RevisionState.PROPOSED)[:3]
    decisions = (
        (accepted, RevisionState.ACCEPTED, ""),
        (edited, RevisionState.EDITED, "Better."),
        (rejected, RevisionState.REJECTED, ""),
    )
    for item, state, text in decisions:
        decide_revision(
            home.records,
            home.events,
            item.revision_id,
            state=state,
            text=text,
            settings=home.settings,
            actor=ANA,
            at=AT,
        )
    with pytest.raises(ConflictError):
        decide_revision(
            home.records,
            home.events,
            accepted.revision_id,
            state=RevisionState.REJECTED,
            settings=home.settings,
            actor=ANA,
            at=AT,
        )
    assert mirror_votes(home.records, home.events, settings=home.settings) == 2
    labels = home.events.read("SELECT request_id, revision, principle_id FROM labels").rows()
    assert set(labels) == {
        (accepted.request_id, accepted.revision, accepted.principle_id),
        (edited.request_id, "Better.", edited.principle_id),
    }
    coverage = build_coverage(home.events, home.records, settings=home.settings)
    row = coverage.to_dicts()[0]
    assert (row["principle_id"], row["prompts"], row["violations"], row["verified_pairs"]) == ("F-1", 6, 2, 2)
    assert coverage["model_violations"].sum() == total["before"]["numerator"] + total["after"]["numerator"]


def test_a_run_that_was_cut_off_goes_on_where_it_stopped(home: Home) -> None:
    prepare(home)
    with serve_stub() as stub:
        ask(home, connect(stub), "before")
    with serve_stub(dies_after=20) as stub:
        work = plan_critique(home.events, home.records, settings=home.settings, suite="money", arm="before")
        with pytest.raises(EndpointError):
            run_critique(home.records, work, connect(stub), actor=LEA)
    done = len(list_revisions(home.records))
    assert 0 < done < 60
    with serve_stub() as stub:
        work = plan_critique(home.events, home.records, settings=home.settings, suite="money", arm="before")
        assert (work.known, len(work.tasks)) == (done, 60 - done)
        run_critique(home.records, work, connect(stub), actor=LEA)
    assert len(list_revisions(home.records)) == 60


def test_an_unknown_run_is_named(home: Home) -> None:
    prepare(home)
    with pytest.raises(AppError, match="No such run"):
        build_stress_report(home.events, home.records, settings=home.settings, suite="money", before="x")
