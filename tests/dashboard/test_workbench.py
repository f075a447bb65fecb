"""The over-blocking workbench: evidence masked until revealed, changes checked before they are recorded, decisions audited."""

from __future__ import annotations

import json

from page_rows import HOSTILE
from sqlmodel import col, select
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from dashboard.navigation import PAGES
from incidents.models import AuditEntry, ProposalRow
from service.home import Home


def open_workbench() -> AppTest:
    app = open_page(PAGES["quality"], section="Over-blocking")
    assert not app.exception
    return app


def audited(home: Home) -> list[str]:
    with home.records.session() as session:
        return [entry.action for entry in session.exec(select(AuditEntry).order_by(col(AuditEntry.seq)))]


def table(app: AppTest, column: str) -> object:
    """The first table that has a column."""
    return next(element.value for element in app.dataframe if column in element.value.columns)


def check(app: AppTest, **fields: str) -> None:
    app.text_area(key="workbench_phrases").set_value(fields.get("phrases", ""))
    app.button(key="workbench_check").click().run()
    assert not app.exception


def test_labels_are_counted_and_matched_text_is_masked_until_an_audited_reveal(sample_home: Home) -> None:
    app = open_workbench()
    assert "30 turns triggered, 100 % of them labelled: " in words(app)
    spans = table(app, "span")["span"]  # type: ignore[index]  # a pandas frame
    assert list(spans) == [f"masked, {len(HOSTILE)} characters"]
    app.button(key="workbench_reveal").click().run()
    (shown,) = table(app, "span")["span"]  # type: ignore[index]  # a pandas frame
    assert "⟨202E⟩" in shown
    assert audited(sample_home) == ["match.reveal"]


def test_an_exclusion_that_loses_true_positives_is_named_as_such_and_recorded(sample_home: Home) -> None:
    app = open_workbench()
    check(app, phrases="TEXT\n\n text ")
    said = words(app)
    assert "Not safe: " in said
    assert "labelled true positives would be lost" in said
    assert table(app, "direction")["verdict"].iloc[0] == "harmful"  # type: ignore[index]  # a pandas frame
    app.button(key="workbench_add").click().run()
    assert "say why the change is needed" in app.warning[0].value
    app.text_input(key="workbench_reason").set_value("refuses too much")
    app.button(key="workbench_add").click().run()
    assert "Recorded as proposal 1" in app.success[0].value
    assert "not for texts with “TEXT” or “text”" in words(app)
    with sample_home.records.session() as session:
        (row,) = session.exec(select(ProposalRow))
        frozen = json.loads(row.checked)
    assert (row.rule_id, row.state, frozen["verdict"]) == ("rule-1", "proposed", "loses_true_positives")
    assert audited(sample_home) == ["proposal.proposed"]


def test_a_lead_decides_a_proposal(sample_home: Home) -> None:
    app = open_workbench()
    check(app, phrases="text")
    app.text_input(key="workbench_reason").set_value("why")
    app.button(key="workbench_add").click().run()
    app.button_group(key="proposal_state_1").set_value("tried").run()
    app.text_input(key="proposal_note_1").set_value("a week")
    app.button(key="proposal_save_1").click().run()
    assert "An experiment belongs to a trial" in app.warning[0].value
    app.text_input(key="proposal_experiment_1").set_value("exp-1")
    app.button(key="proposal_save_1").click().run()
    assert "Tried by analyst" in words(app)
    assert audited(sample_home) == ["proposal.proposed", "proposal.tried"]


def test_a_change_without_terms_or_effect_is_not_offered_and_an_empty_set_is_refused(sample_home: Home) -> None:
    app = open_workbench()
    check(app)
    assert "The exclusion is empty" in app.warning[0].value
    check(app, phrases="nowhere")
    assert "No effect" in words(app)
    assert "workbench_moves" not in {element.key for element in app.dataframe}
    app.button(key="workbench_set").click().run()
    assert not app.exception
    assert "Nothing to export" in words(app)
    assert audited(sample_home) == []


def propose_for_classifier() -> None:
    """A page with nothing but the form, for a filter with scores."""
    from dashboard.components.workbench_change import render_change
    from dashboard.components.workbench_evidence import read_rule
    from metrics.query import Query

    query = Query(filters=(("filter_name", "toxicity"), ("mode", "enforce")))
    render_change(read_rule("toxicity", None, query), threshold=0.8)


def test_a_filter_with_scores_takes_a_threshold(sample_home: Home) -> None:
    app = AppTest.from_function(propose_for_classifier, default_timeout=60).run()
    app.button_group(key="workbench_kind").set_value("threshold").run()
    app.number_input(key="workbench_threshold").set_value(0.95)
    app.button(key="workbench_check").click().run()
    assert not app.exception
    numbers = {metric.label: metric.value for metric in app.metric}
    assert numbers["Turns spared"] == "30"
    assert "score" in table(app, "direction").columns  # type: ignore[attr-defined]  # a pandas frame
