"""The triage page over real stores: open, reveal, judge, escalate, undo, share."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import col, select
from streamlit.testing.v1 import AppTest

from core.clock import isoformat, now
from core.settings import Settings
from dashboard.components.triage_case import list_snoozes
from dashboard.components.triage_desk import Desk
from dashboard.components.triage_draft import get_drafts
from incidents.audit import count_actions
from incidents.cases import get_case, lease_case, list_cases, open_cases
from incidents.constitution.principles import Constitution, Principle, save_constitution
from incidents.enums import CaseState
from incidents.filing import make_case_id
from incidents.judgement.cover import Cover
from incidents.judgement.history import list_own
from incidents.judgement.wellness import Wishes, save_wishes
from incidents.models import AuditEntry, Case, Vote
from incidents.people import SYSTEM, Actor, Role
from ingest.load import load_records
from service.home import Home, open_home, serve_home
from tests.stores import lay_out

PAGE = Path(__file__).parents[2] / "dashboard" / "pages" / "triage.py"
ME, OTHER = Actor("analyst", Role.LEAD), Actor("ben", Role.REVIEWER)
SECRET = "a secret prompt <img src=x onerror=alert(1)> ![i](http://evil.example/i.png)"
TIMEOUT_S = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """A home with three flagged turns of two conversations."""
    lay_out(tmp_path / "home")
    with open_home(Settings().model_copy(update={"home": tmp_path / "home"})) as opened:
        add_turn(opened, "r1", "c1", category="hate", score=0.71)
        add_turn(opened, "r2", "c1", category="privacy", score=0.9)
        add_turn(opened, "r3", "c2", category="violent_crimes", score=0.99)
        open_cases(opened.records, opened.events, settings=opened.settings, actor=SYSTEM)
        serve_home(opened)
        get_drafts.clear()
        yield opened
        serve_home(None)


def add_turn(home: Home, request_id: str, conversation_id: str, *, category: str, score: float) -> None:
    """A turn that an enforced classifier refused."""
    ids = {"ts": isoformat(now()), "request_id": request_id, "conversation_id": conversation_id}
    check = {
        "filter_name": "clf",
        "layer": "classifier",
        "category": category,
        "score": score,
        "threshold": 0.65,
        "triggered": True,
        "decision": "block",
        "enforced": True,
        "matched_text": "matched words",
    }
    turn = {"prompt": f"{SECRET} {request_id}", "response": "raw answer", "final_text": "I cannot help."}
    load = {"source": "test", "settings": home.settings}
    load_records(home.events, "model_log", [{**ids, **turn, "outcome": "refusal"}], **load)
    load_records(home.events, "filter_log", [{**ids, **check}], **load)


def open_page(**params: str) -> AppTest:
    page = AppTest.from_file(str(PAGE), default_timeout=TIMEOUT_S)
    for name, value in params.items():
        page.query_params[name] = value
    return run(page)


def run(page: AppTest) -> AppTest:
    page.run()
    assert [item.message for item in page.exception] == []
    return page


def press(page: AppTest, key: str) -> AppTest:
    page.button(key=key).click()
    return run(page)


def opened_case(page: AppTest) -> str:
    value = page.query_params["case"]
    return value if isinstance(value, str) else value[0]


def shown_texts(page: AppTest) -> str:
    return "\n".join(element.value for element in page.text)


def all_words(page: AppTest) -> str:
    return "\n".join(str(getattr(element, "value", "")) for element in page.main)


def votes(home: Home) -> list[Vote]:
    with home.records.session() as session:
        return list(session.exec(select(Vote).order_by(col(Vote.vote_id))))


def state_of(home: Home, case_id: str) -> CaseState:
    return get_case(home.records, case_id, actor=ME).state


def first_waiting(home: Home) -> str:
    return list_cases(home.records, actor=ME, states=[CaseState.OPEN])[0].case_id


def test_the_queue_lists_what_waits_and_holds_nothing_until_started(home: Home) -> None:
    page = open_page()
    assert "**3** waiting" in [item.value for item in page.markdown]
    assert page.dataframe[0].value.shape[0] == 3
    assert all(case.leased_by is None for case in list_cases(home.records, actor=ME))
    assert SECRET not in all_words(page)


def test_starting_leases_the_most_urgent_case_and_puts_it_in_the_address(home: Home) -> None:
    page = press(open_page(), "triage_start")
    assert opened_case(page) == first_waiting(home)
    assert get_case(home.records, opened_case(page), actor=ME).is_held(now(), by=ME.name)


def test_every_text_is_masked_until_revealed_and_revealing_is_audited(home: Home) -> None:
    page = open_page(case=make_case_id("r2"))
    assert "secret" not in all_words(page)
    assert "matched words" not in all_words(page)
    page = press(page, "triage_reveal")
    assert f"{SECRET} r2" in [element.value for element in page.text]
    assert f"{SECRET} r1" not in shown_texts(page), "the neighbouring turn stays masked"
    assert "matched words" in shown_texts(page)
    assert not any("secret" in element.value for element in (*page.markdown, *page.caption))
    with home.records.session() as session:
        entries = session.exec(select(AuditEntry).where(AuditEntry.action == "case.reveal")).all()
    assert [(entry.actor, entry.subject) for entry in entries] == [(ME.name, make_case_id("r2"))]
    assert '"r2"' in entries[0].detail


def test_a_verdict_is_saved_with_all_it_says_and_the_next_case_comes(home: Home) -> None:
    page = press(open_page(), "triage_start")
    first = opened_case(page)
    press(page, "triage_harmful")
    press(page, "triage_severity_3")
    page.selectbox(key=f"triage_reason:{first}").set_value("evasion")
    page.text_area(key=f"triage_revision:{first}").set_value("I would rather not.")
    page.text_input(key=f"triage_principle_id:{first}").set_value("P-7")
    press(page, "triage_save")
    (vote,) = votes(home)
    assert (vote.case_id, vote.reviewer, vote.harmful, vote.severity) == (first, ME.name, True, 3)
    assert (vote.reason, vote.revision, vote.principle_id) == ("evasion", "I would rather not.", "P-7")
    assert vote.category == get_case(home.records, first, actor=ME).category
    assert opened_case(page) != first
    assert "**1** judged by you today" in [item.value for item in page.markdown]


def test_a_benign_verdict_has_no_category_and_no_severity(home: Home) -> None:
    page = press(press(press(open_page(), "triage_start"), "triage_benign"), "triage_save")
    (vote,) = votes(home)
    assert (vote.harmful, vote.category, vote.severity) == (False, None, 0)
    assert not page.error


def test_saving_without_a_verdict_saves_nothing_and_says_so(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_save")
    assert votes(home) == []
    assert opened_case(page) == case_id
    assert any("Choose harmful" in item.value for item in page.caption)


def test_a_draft_survives_a_refresh(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_unsure")
    page.text_area(key=f"triage_note:{case_id}").set_value("ask legal")
    run(page)
    refreshed = open_page(case=case_id)
    assert refreshed.text_area(key=f"triage_note:{case_id}").value == "ask legal"
    press(refreshed, "triage_save")
    (vote,) = votes(home)
    assert (vote.harmful, vote.note) == (None, "ask legal")


def test_undo_withdraws_the_last_verdict_and_brings_the_draft_back(home: Home) -> None:
    page = press(open_page(), "triage_start")
    first = opened_case(page)
    press(press(page, "triage_harmful"), "triage_severity_2")
    press(page, "triage_save")
    assert state_of(home, first) is CaseState.DECIDED
    press(page, "triage_undo")
    assert state_of(home, first) is CaseState.OPEN
    assert opened_case(page) == first
    assert page.button(key="triage_undo").disabled
    press(page, "triage_save")
    assert [(vote.kind, vote.harmful, vote.severity) for vote in votes(home)] == [
        ("vote", True, 2),
        ("withdrawal", None, None),
        ("vote", True, 2),
    ]


def test_skipping_gives_the_case_back_and_does_not_serve_it_again(home: Home) -> None:
    page = press(open_page(), "triage_start")
    served = [opened_case(page)]
    for _ in range(2):
        press(page, "triage_skip")
        served.append(opened_case(page))
    assert len(set(served)) == 3
    press(page, "triage_skip")
    assert "case" not in page.query_params
    assert any("Nothing more waits" in item.value for item in page.caption)
    assert all(not case.is_held(now()) for case in list_cases(home.records, actor=ME))


def test_escalating_needs_a_reason_and_keeps_the_note(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_escalate")
    assert page.button(key="triage_escalate_confirm").disabled
    press(page, "triage_escalate_2")
    page.text_area(key="triage_escalation_note").set_value("looks like a series")
    press(page, "triage_escalate_confirm")
    assert state_of(home, case_id) is CaseState.ESCALATED
    assert opened_case(page) != case_id
    listed = open_page()
    listed.segmented_control(key="triage_list").set_value(CaseState.ESCALATED)
    assert run(listed).dataframe[0].value.shape[0] == 1


def test_a_case_of_somebody_else_can_be_read_but_not_judged(home: Home) -> None:
    case_id = make_case_id("r1")
    lease_case(home.records, case_id, actor=OTHER, lease_s=600, at=now())
    page = open_page(case=case_id)
    assert any("held by ben" in item.value for item in page.caption)
    for key in ("triage_harmful", "triage_save", "triage_skip", "triage_escalate"):
        assert page.button(key=key).disabled, key
    assert get_case(home.records, case_id, actor=ME).leased_by == OTHER.name


def test_a_case_taken_in_between_is_told_and_nothing_is_saved(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_harmful")
    with home.records.session() as session:
        row = session.get(Case, case_id)
        assert row is not None
        row.leased_by, row.version = OTHER.name, row.version + 1
        session.add(row)
    press(page, "triage_save")
    assert votes(home) == []
    assert any(":material/error:" in item.value for item in page.caption)


def test_a_turn_opens_its_case_and_one_without_a_case_says_so(home: Home) -> None:
    page = open_page(request="r3")
    assert get_case(home.records, make_case_id("r3"), actor=ME).is_held(now(), by=ME.name)
    assert page.button(key="triage_save")
    missing = open_page(request="r99")
    assert any("No case was opened for this turn" in item.value for item in missing.markdown)
    assert missing.button(key="triage_start")


def test_leaving_for_the_queue_gives_the_case_back(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_back")
    assert "case" not in page.query_params
    assert not get_case(home.records, case_id, actor=ME).is_held(now())


def test_reading_alone_renews_no_lease(home: Home) -> None:
    page = press(open_page(), "triage_start")
    before = count_actions(home.records, actor=ME.name, action="case.lease", since=now().replace(year=2000))
    run(run(page))
    after = count_actions(home.records, actor=ME.name, action="case.lease", since=now().replace(year=2000))
    assert after == before


def test_the_keys_dialog_names_every_shortcut(home: Home) -> None:
    page = press(open_page(), "triage_start")
    press(page, "triage_keys")
    words = all_words(page) + shown_texts(page)
    assert "reveal the flagged turn" in words
    assert "undo your last verdict" in words


def test_an_empty_home_says_what_opens_cases(tmp_path: Path) -> None:
    settings = Settings().model_copy(update={"home": tmp_path / "empty"})
    with open_home(settings) as opened:
        serve_home(opened)
        page = open_page()
        serve_home(None)
    assert any("Nothing waits" in item.value for item in page.markdown)
    assert page.button(key="triage_start").disabled


def test_a_random_sample_is_judged_without_what_the_filters_said(home: Home) -> None:
    case_id = make_case_id("r1")
    with home.records.session() as session:
        row = session.get(Case, case_id)
        assert row is not None
        row.opened_by = "sample"
        session.add(row)
    page = open_page(case=case_id)
    assert "Drawn for a review sample." in shown_texts(page)
    assert not page.dataframe
    assert "Hate" not in all_words(page)
    assert page.selectbox(key=f"triage_category:{case_id}").value is None


def test_turns_long_before_the_flagged_one_are_folded(home: Home) -> None:
    for number in range(4, 8):
        add_turn(home, f"r{number}", "c9", category="hate", score=0.9)
    open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
    page = open_page(case=make_case_id("r7"))
    assert "1 earlier turn" in [item.label for item in page.expander]
    labels = [item.label for item in open_page(case=make_case_id("r6")).expander]
    assert not [label for label in labels if "earlier" in label]


def test_a_queue_is_chosen_by_its_link_and_serves_only_what_is_its(home: Home) -> None:
    page = open_page(queue="grave")
    assert "**1** waiting" in [item.value for item in page.markdown]
    assert page.dataframe[0].value["Category"].to_list() == ["Violent crimes"]
    press(page, "triage_start")
    assert get_case(home.records, opened_case(page), actor=ME).category == "violent_crimes"
    press(page, "triage_benign")
    press(page, "triage_save")
    assert "case" not in page.query_params
    assert page.query_params["queue"] in ("grave", ["grave"])
    page.selectbox(key="triage_queue_name").set_value("everything")
    run(page)
    assert "queue" not in page.query_params
    assert "**2** waiting" in [item.value for item in page.markdown]


def test_a_link_to_a_queue_that_is_no_more_shows_everything(home: Home) -> None:
    page = open_page(queue="<b>gone</b>")
    assert page.selectbox(key="triage_queue_name").value == "everything"


def test_late_cases_are_counted_and_said(home: Home) -> None:
    with home.records.session() as session:
        for case in session.exec(select(Case)):
            case.due_at = now() + timedelta(minutes={"r1": -90, "r2": 5.9, "r3": 90.9}[case.request_id])
            session.add(case)
    page = open_page()
    words = " ".join(item.value for item in page.markdown)
    assert "**1** late" in words
    assert "**1** near breach" in words
    page.segmented_control(key="triage_order").set_value("due")
    run(page)
    assert page.dataframe[0].value["Service level"].to_list() == ["1 h 30 min late", "5 min left", "1 h 30 min left"]


def test_a_case_is_put_off_and_handed_over(home: Home) -> None:
    page = press(open_page(), "triage_start")
    first = opened_case(page)
    press(page, "triage_snooze")
    press(page, "triage_snooze_1")
    put_off = get_case(home.records, first, actor=ME).snoozed_until
    assert put_off is not None
    assert timedelta(minutes=59) < put_off - now() <= timedelta(hours=1)
    second = opened_case(page)
    assert second != first
    lease_case(home.records, first, actor=OTHER, lease_s=60, at=now())
    press(page, "triage_hand_over")
    page.selectbox(key="triage_colleague").set_value("ben")
    run(page)
    press(page, "triage_hand_over_confirm")
    assert get_case(home.records, second, actor=ME).assigned_to == "ben"
    assert opened_case(page) not in (first, second)


def test_when_a_case_may_be_put_off_to() -> None:
    zone = ZoneInfo("Europe/Berlin")
    at = datetime.fromisoformat("2026-03-28T22:30:00")
    # The clocks change in between: nine in the morning is an hour earlier in UTC.
    assert [(title, until.isoformat()) for title, until in list_snoozes(at, zone=zone)] == [
        ("For 1 h", "2026-03-28T23:30:00"),
        ("For 4 h", "2026-03-29T02:30:00"),
        ("Until tomorrow, 9:00", "2026-03-29T07:00:00"),
        ("Until in a week, 9:00", "2026-04-04T07:00:00"),
    ]


def test_a_verdict_is_saved_for_all_alike_and_undone_at_once(home: Home) -> None:
    prompt = "How do I take a portrait of my grandmother at dusk with this old camera of hers?"
    load = {"source": "test", "settings": home.settings}
    for number in range(3):
        ids = {"ts": isoformat(now()), "request_id": f"twin{number}", "user_id": "u-1"}
        load_records(home.events, "model_log", [{**ids, "prompt": prompt, "response": "No."}], **load)
        check = {"filter_name": "words", "layer": "keyword", "category": "suicide_self_harm", "rule_id": "kw-1"}
        fired = {"triggered": True, "decision": "block", "enforced": True}
        load_records(home.events, "filter_log", [{**ids, **check, **fired}], **load)
    open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
    twins = [make_case_id(f"twin{number}") for number in range(3)]
    page = press(open_page(request="twin0"), "triage_benign")
    words = all_words(page)
    assert "words kw-1: 0 other cases judged, too few for a share." in words
    assert "Same user: 2 other cases, 0 judged, 0 of them harmful." in words
    press(page, "triage_save_alike")
    assert all(state_of(home, case_id) is CaseState.DECIDED for case_id in twins)
    assert len({vote.bulk_id for vote in votes(home)}) == 2
    press(page, "triage_undo")
    assert all(state_of(home, case_id) is CaseState.OPEN for case_id in twins)
    assert opened_case(page) == twins[0]


def test_the_policy_stands_beside_the_choices(home: Home) -> None:
    principles = [Principle("P-1", "Never help to hurt."), Principle("P-2", "Answer what is harmless.")]
    save_constitution(home.records, home.settings, Constitution("House", tuple(principles)), actor=ME, at=now(), base=0)
    page = press(open_page(), "triage_start")
    assert "P-2: Answer what is harmless." in shown_texts(page)
    page.selectbox(key=f"triage_principle_id:{opened_case(page)}").set_value("P-1")
    run(page)
    assert "Policy P-1: Never help to hurt." in shown_texts(page)
    assert "P-2" not in shown_texts(page)


def test_each_filter_is_marked_right_or_wrong_with_the_verdict(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_benign")
    press(page, "triage_filters")
    assert "clf fired" in shown_texts(page)
    press(page, "triage_mark_1")
    assert page.button(key="triage_mark_1").label == "1: Wrong"
    press(page, "triage_mark_1")
    press(page, "triage_mark_1")
    assert page.button(key="triage_mark_1").label == "1: Not judged"
    press(page, "triage_mark_1")
    press(page, "triage_marks_done")
    assert "clf wrong" in all_words(page)
    press(page, "triage_save")
    assert [(vote.filter_name, vote.harmful) for vote in votes(home)] == [(None, False), ("clf", False)]
    press(page, "triage_undo")
    assert [vote.kind for vote in votes(home)] == ["vote", "vote", "withdrawal", "withdrawal"]
    assert state_of(home, case_id) is CaseState.OPEN
    assert "clf wrong" in all_words(page), "the marks come back with the draft"


def test_a_selection_is_decided_exactly_as_shown_and_undone(home: Home) -> None:
    add_turn(home, "r4", "c4", category="hate", score=0.8)
    open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
    lease_case(home.records, make_case_id("r4"), actor=OTHER, lease_s=600, at=now())
    page = press(open_page(), "triage_bulk_open")
    assert "**3** open cases would get your verdict." in [item.value for item in page.markdown]
    assert any(item.value.startswith("1 more ") for item in page.caption)
    page.selectbox(key="triage_bulk_category").set_value("hate")
    run(page)
    assert page.button(key="triage_bulk_confirm").disabled, "no verdict yet"
    press(page, "triage_bulk_benign")
    assert page.button(key="triage_bulk_confirm").label == "Decide 1 case"
    press(page, "triage_bulk_confirm")
    assert [(vote.request_id, vote.harmful) for vote in votes(home)] == [("r1", False)]
    assert count_actions(home.records, actor=ME.name, action="cases.judge_bulk", since=now() - timedelta(hours=1)) == 1
    press(page, "triage_undo")
    assert state_of(home, make_case_id("r1")) is CaseState.OPEN
    assert "case" not in page.query_params


def test_own_decisions_are_listed_and_taken_back(home: Home) -> None:
    page = press(open_page(), "triage_start")
    case_id = opened_case(page)
    press(page, "triage_harmful")
    press(page, "triage_save")
    other = open_page()
    other.segmented_control(key="triage_list").set_value("own")
    run(other)
    table = other.dataframe[0].value
    assert table["Verdict"].to_list() == ["harmful"]
    assert table["Counts"].to_list() == ["yes"]
    assert other.button(key="triage_history_undo").disabled, "nothing is chosen"
    desk = Desk(home, ME, get_drafts())
    desk.take_back(case_id)
    assert state_of(home, case_id) is CaseState.OPEN
    assert [item.is_standing for item in list_own(home.records, actor=ME)] == [False]
    assert list_own(home.records, actor=OTHER) == []


def test_what_a_person_wishes_covered_stays_covered_until_they_uncover_it(home: Home) -> None:
    save_wishes(home.records, Wishes(cover_grave=Cover.SPANS), actor=ME, at=now())
    check = {"ts": isoformat(now()), "request_id": "r3", "filter_name": "words", "matched_text": "secret"}
    fired = {"layer": "keyword", "triggered": True, "decision": "block", "enforced": True}
    load_records(home.events, "filter_log", [check | fired], source="test", settings=home.settings)
    open_cases(home.records, home.events, settings=home.settings, actor=SYSTEM)
    page = press(open_page(request="r3"), "triage_reveal")
    assert "a [covered] prompt" in shown_texts(page)
    assert "words matched: [covered]" in shown_texts(page)
    press(page, "triage_uncover")
    assert "a secret prompt" in shown_texts(page)
    assert "words matched: secret" in shown_texts(page)
    assert count_actions(home.records, actor=ME.name, action="case.uncover", since=now() - timedelta(hours=1)) == 1
    assert not [button for button in page.button if button.key == "triage_uncover"]
