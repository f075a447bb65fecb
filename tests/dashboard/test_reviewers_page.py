"""The Reviewers page: agreement in aggregate, one's own figures only."""

from __future__ import annotations

from test_pages import open_page, words

from core.events import Connection
from dashboard.navigation import PAGES
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
    assert values["Cohen's kappa"] != "–"
    assert "600 turns shared with colleagues" in words(app)
    assert "ada" not in words(app)
