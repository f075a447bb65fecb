"""The feedback page over real stores: preview, reveal, build, verify."""

from pathlib import Path

import pytest
from sqlmodel import select
from streamlit.testing.v1 import AppTest

from core.clock import isoformat, now
from incidents.exports import EXPORTS
from incidents.exports.verify import verify_export
from incidents.models import AuditEntry
from ingest.load import load_records
from service.home import Home

PAGE = Path(__file__).parents[2] / "dashboard" / "pages" / "feedback.py"
TIMEOUT_S = 60


@pytest.fixture
def judged_home(empty_home: Home) -> Home:
    """Ten judged turns of ten conversations: half harmful with a better response, half wrongly refused."""
    at = isoformat(now())
    turns, labels = [], []
    for number in range(10):
        ids = {"ts": at, "request_id": f"r{number}", "conversation_id": f"c{number}"}
        is_harmful = number % 2 == 0
        outcome = {"outcome": "pass"} if is_harmful else {"outcome": "refusal", "final_text": f"No. {number}"}
        turns.append({**ids, **outcome, "prompt": f"question {number}", "response": f"answer {number}"})
        revision = {"revision": f"better {number}"} if is_harmful else {}
        labels.append({**ids, **revision, "reviewer": "ada", "harmful": is_harmful, "selection": "priority"})
    load_records(empty_home.events, "model_log", turns, source="test", settings=empty_home.settings)
    load_records(empty_home.events, "label_log", labels, source="test", settings=empty_home.settings)
    return empty_home


def open_page() -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=TIMEOUT_S)
    page.query_params["window"] = "7d"
    return choose(run(page), "trl-kto")


def run(page: AppTest) -> AppTest:
    page.run()
    assert [item.message for item in page.exception] == []
    return page


def choose(page: AppTest, name: str) -> AppTest:
    page.radio(key="feedback_purpose").set_value(name)
    return run(page)


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click()
    return run(page)


def tiles(page: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in page.metric}


def words(page: AppTest) -> str:
    return "\n".join(str(item.value) for item in (*page.markdown, *page.caption, *page.text))


def sample(page: AppTest) -> str:
    return page.dataframe[-1].value.to_csv()


@pytest.mark.parametrize("name", EXPORTS)
def test_every_format_is_previewed_masked_and_revealed(judged_home: Home, name: str) -> None:
    page = choose(open_page(), name)
    if "cannot be built yet" in words(page):
        assert name in {"balanced-errors", "cai"}  # these need triggers and critiques
        return
    assert "masked" in sample(page)
    assert "question" not in sample(page)
    press(page, "feedback_reveal")
    assert "question" in sample(page)
    assert "masked" not in sample(page)


def test_an_empty_store_says_what_to_do(empty_home: Home) -> None:
    page = open_page()
    assert page.button(key="feedback_build").disabled
    assert "This set cannot be built yet" in words(page)
    assert "judge some cases first" in words(page)


def test_the_preview_counts_rows_balance_and_refusals(judged_home: Home) -> None:
    page = open_page()
    shown = tiles(page)
    assert (shown["Rows"], shown["Judged turns"]) == ("20", "10")
    assert int(shown["of which train"]) + int(shown["of which test"]) == 20
    assert not page.button(key="feedback_build").disabled


def test_a_set_that_lacks_a_class_cannot_be_built(empty_home: Home) -> None:
    turn = {"ts": isoformat(now()), "request_id": "r1", "conversation_id": "c1"}
    settings = {"source": "test", "settings": empty_home.settings}
    logged = {**turn, "prompt": "p", "response": "a", "outcome": "pass"}
    load_records(empty_home.events, "model_log", [logged], **settings)
    load_records(empty_home.events, "label_log", [{**turn, "reviewer": "ada", "harmful": False}], **settings)
    page = open_page()
    assert page.button(key="feedback_build").disabled
    assert "undesirable" in words(page)


def test_sample_rows_are_masked_until_revealed_and_revealing_is_audited(judged_home: Home) -> None:
    page = open_page()
    assert "answer" not in sample(page)
    assert "masked" in sample(page)
    press(page, "feedback_reveal")
    assert "answer 0" in sample(page)
    with judged_home.records.session() as session:
        actions = [entry.action for entry in session.exec(select(AuditEntry))]
    assert actions.count("export.reveal") == 1
    page.number_input(key="feedback_seed").set_value(7)
    assert "answer" not in sample(run(page)), "other rows are masked again"


def test_a_set_is_built_listed_and_verified(judged_home: Home) -> None:
    page = press(open_page(), "feedback_build")
    (folder,) = judged_home.settings.exports.iterdir()
    report = verify_export(judged_home.events, folder, records=judged_home.records)
    assert (report.name, report.rows, report.is_intact, report.has_drifted) == ("trl-kto", 20, True, False)
    assert folder.name.startswith("trl-kto-")
    run(page)
    assert len(list(judged_home.settings.exports.iterdir())) == 1, "a rerun builds nothing"
    press(page, "feedback_verify_0")
    assert "all 20 rows are what the store would give" in words(page)


def test_a_verdict_that_came_later_shows_as_drift(judged_home: Home) -> None:
    page = press(open_page(), "feedback_build")
    label = {"ts": isoformat(now()), "request_id": "r0", "reviewer": "ada", "harmful": False, "selection": "priority"}
    load_records(judged_home.events, "label_log", [label], source="test", settings=judged_home.settings)
    press(page, "feedback_verify_0")
    assert "would not be given today" in words(page)


def test_a_preference_set_and_a_classifier_set_have_their_own_options(judged_home: Home) -> None:
    page = open_page()
    for name in ("trl-preference", "classifier"):
        choose(page, name)
        assert page.toggle(key=f"feedback_contested_{name}")
        assert int(tiles(page)["Rows"]) > 0
