"""The Reviewers page: agreement in aggregate, one's own figures only."""

from __future__ import annotations

from test_pages import open_page, words

from core.clock import now
from core.events import Connection
from dashboard.navigation import PAGES
from incidents.judgement.profiles import Declaration, declare
from incidents.people import Actor, Role
from metrics.estimate import MIN_CELL
from service.home import Home

_SECOND_VOTES = """INSERT INTO labels BY NAME
SELECT gen_random_uuid() AS label_id, ts, request_id, 'analyst' AS reviewer,
    CASE WHEN hash(request_id) % 5 = 0 THEN NOT harmful ELSE harmful END AS harmful, 'import' AS selection,
    'log' AS source, 1 AS ingest_id FROM labels WHERE reviewer = 'ada'"""


def test_votes_of_one_person_agree_with_nobody(sample_home: Home) -> None:
    assert "each on a turn of its own" in words(open_page(PAGES["reviewers"]))


def test_agreement_is_shown_and_only_one_s_own_figures(sample_home: Home) -> None:
    def work(connection: Connection) -> None:
        connection.execute(_SECOND_VOTES)
        # A new ingest raises the data version, by which pages know that there is something new.
        connection.execute(
            "INSERT INTO ingests BY NAME SELECT 2 AS ingest_id, ingested_at, source FROM ingests LIMIT 1"
        )

    sample_home.events.write(work)
    app = open_page(PAGES["reviewers"])
    assert not app.exception
    values = {metric.label: metric.value for metric in app.metric}
    assert values["All agree"].endswith("%")
    assert 0 < float(values["Krippendorff's alpha"]) < 1
    assert 0 < float(values["Pairwise kappa"]) < 1
    assert "1 pair of people" in words(app)
    assert "600 turns shared with colleagues" in words(app)
    assert "ada" not in words(app)
    (table,) = app.dataframe
    # Two categories come from the sample's rules, and each coefficient has its interval.
    assert table.value["part"].to_list()[0] == "none given"
    assert table.value["ac1"].str.fullmatch(r"-?\d\.\d\d \(-?\d\.\d\d to -?\d\.\d\d\)|–").all()
    app.segmented_control(key="breakdown").set_value("language").run()
    assert app.dataframe[0].value["alpha"].str.contains(" to ").any()
    app.segmented_control(key="breakdown").set_value("group").run()
    assert "No group is large enough" in words(app)


def test_groups_of_reviewers_are_told_from_five_people_on_and_without_names(sample_home: Home) -> None:
    people = [f"p{number}" for number in range(MIN_CELL)]

    def work(connection: Connection) -> None:
        for person in people:
            connection.execute(_SECOND_VOTES.replace("'analyst'", f"'{person}'"))
        connection.execute(
            "INSERT INTO ingests BY NAME SELECT 2 AS ingest_id, ingested_at, source FROM ingests LIMIT 1"
        )

    sample_home.events.write(work)
    for person in people:
        languages = ("en", "cy") if person == people[0] else ("en",)
        who = Actor(person, Role.REVIEWER)
        declare(sample_home.records, Declaration(languages=languages), actor=who, at=now())
    app = open_page(PAGES["reviewers"])
    app.segmented_control(key="breakdown").set_value("group").run()
    (table,) = app.dataframe
    assert table.value[["part", "turns"]].to_dict("list") == {"part": ["en"], "turns": [600]}
    assert not any(person in words(app) for person in people)
