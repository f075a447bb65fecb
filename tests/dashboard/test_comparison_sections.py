"""The sections Shadow and Experiments: what is reviewed, what is blocked, which proposals an experiment tries."""

from __future__ import annotations

from sqlmodel import select
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from core.clock import now
from core.events import Connection
from dashboard.navigation import PAGES
from dashboard.text import inert
from incidents.enums import ProposalState
from incidents.models import Draw
from incidents.people import Actor, Role
from incidents.proposals import add_proposal, decide_proposal
from metrics.whatif import FilterChange, check_change
from service.home import Home

LEAD = Actor("lea", Role.LEAD)
# Every third trigger of the live version is none of the candidate's, and it finds as many of its own.
_SHADOW = """INSERT INTO checks BY NAME
SELECT * REPLACE (gen_random_uuid() AS check_id, '2' AS filter_version, 'shadow' AS mode, false AS enforced,
    CASE WHEN hash(request_id) % 3 = 0 THEN NOT triggered ELSE triggered END AS triggered)
FROM checks WHERE filter_name = 'toxicity' AND hash(request_id) % 60 < 20"""
_ARMS = """UPDATE turns SET experiment = 'exp-1',
    arm = CASE WHEN $uneven AND hash(conversation_id) % 10 > 0 THEN 'b' ELSE ['a', 'b'][1 + rowid // 4 % 2] END"""


def open_section(section: str, **params: str) -> AppTest:
    app = open_page(PAGES["quality"], section=section, **params)
    assert not app.exception
    return app


def run_sql(home: Home, statement: str, **values: object) -> None:
    def work(connection: Connection) -> None:
        connection.execute(statement, values or None)

    home.events.write(work)


def test_disagreements_go_to_review_in_one_click(sample_home: Home) -> None:
    run_sql(sample_home, _SHADOW)
    app = open_section("Shadow")
    said = words(app)
    assert inert("toxicity@2") in said
    counts = {metric.label: metric.value for metric in app.metric}
    assert int(counts["Disagreements"]) > 50
    app.button(key="shadow_review_0").click().run()
    assert not app.exception
    assert "Drawn 50 of" in words(app)
    with sample_home.records.session() as session:
        drawn = list(session.exec(select(Draw)))
    assert len(drawn) == 50
    assert {row.stratum.rsplit("/", 1)[1] for row in drawn} == {"only-candidate", "only-reference"}
    assert all(0 < row.inclusion_probability <= 1 for row in drawn)


def test_an_experiment_is_read_out_with_the_proposal_that_it_tries(sample_home: Home) -> None:
    run_sql(sample_home, _ARMS, uneven=False)
    change = FilterChange("toxicity", threshold=0.95)
    view = add_proposal(
        sample_home.records, change, check_change(sample_home.events, change), reason="why", actor=LEAD, at=now()
    )
    decide_proposal(
        sample_home.records,
        view.proposal_id,
        state=ProposalState.TRIED,
        note="a week",
        experiment="exp-1",
        actor=LEAD,
        at=now(),
    )
    app = open_section("Experiments", experiment="exp-1")
    assert list(app.dataframe[0].value["arm"]) == ["a", "b"]
    said = words(app)
    assert "Tries proposal 1 (tried): toxicity, trigger from 0.95 on" in said
    assert "even arms p = 1.000" in said


def test_an_uneven_experiment_is_blocked(sample_home: Home) -> None:
    run_sql(sample_home, _ARMS, uneven=True)
    app = open_section("Experiments")
    assert "sample ratio mismatch" in words(app)
    assert list(app.dataframe[0].value["difference"]) == ["–", "–"]
    assert list(app.dataframe[0].value["sequence"]) == ["–", "–"]
