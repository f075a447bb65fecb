"""Timeline, impact and postmortem: figures made by hand, and text that stays text."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest
from case_house import ANA, LEA, T0, House
from hypothesis import given
from hypothesis import strategies as st
from test_incident_life import facts

from incidents.cases import escalate_case
from incidents.changes import register_change
from incidents.enums import EscalationReason
from incidents.response.document import Document, Facts, Grid, Heading, Line, Missing, Quote, write_html, write_markdown
from incidents.response.enums import IncidentAction, IncidentState, LinkKind, Severity
from incidents.response.impact import measure_impact
from incidents.response.life import IncidentEntry
from incidents.response.postmortem import build_postmortem
from incidents.response.states import TRANSITIONS
from incidents.response.timeline import build_timeline, describe_entry
from incidents.response.words import say_duration, say_rate
from incidents.response.work import IncidentView, act, open_incident
from incidents.reviews import VoteCreate, cast_vote

HOSTILE = (
    "<script>alert(1)</script><img src=https://evil.example/i.png> ![i](https://evil.example/i.png) "
    "[l](javascript:alert(1)) ``` </pre> | a | b | \x1b[31m \u202etxt.exe https://evil.example &lt; =cmd()"
)
NOW = T0 + timedelta(hours=3)
MINUTE = timedelta(minutes=1)


def stop_turns(house: House, count: int, *, benign: int) -> None:
    """Turns stopped by the rule kw-113 of `guard`, each by a user of its own, all reviewed; so many of them benign."""
    house.add_turns(
        *({"request_id": f"r{i}", "conversation_id": f"c{i}", "user_id": f"u{i // 2}"} for i in range(count))
    )
    house.add_checks(
        {
            "request_id": "early",
            "ts": (T0 - timedelta(days=2)).isoformat(),
            "filter_version": "v40",
            "triggered": False,
            "decision": "allow",
            "enforced": False,
            "category": None,
        },
        *({"request_id": f"r{i}", "filter_version": "v41", "rule_id": "kw-113"} for i in range(count)),
    )
    house.add_labels(
        *(
            {
                "request_id": f"r{i}",
                "harmful": i >= benign,
                "selection": "sample",
                "stratum": "all",
                "inclusion_probability": 1.0,
            }
            for i in range(count)
        )
    )


def open_one(house: House, *links: tuple[LinkKind, str], title: str = "Guard blocks recipes") -> IncidentView:
    return open_incident(
        house.records,
        actor=ANA,
        title=title,
        severity=Severity.HIGH,
        at=T0 + timedelta(hours=1),
        started_at=T0 - MINUTE,
        links=links,
    )


def test_impact_counts_turns_users_and_estimates_wrong_blocks(house: House) -> None:
    stop_turns(house, 20, benign=15)
    view = open_one(house, (LinkKind.FILTER, "guard"), (LinkKind.RULE, "kw-113"))
    impact = measure_impact(house.events, view.life, settings=house.settings, at=NOW)
    assert (impact.triggered, impact.stopped, impact.users) == (20, 20, 10)
    assert impact.wrong_block_share["estimate"] == pytest.approx(0.75)
    assert impact.wrong_blocks["estimate"] == pytest.approx(15)
    low, high = impact.wrong_blocks["low"], impact.wrong_blocks["high"]
    assert low is not None
    assert high is not None
    assert 0 < low < 15 < high < 20
    assert impact.missed_harm_rate is None, "a rule answers for no misses"


def test_impact_ends_when_it_is_mitigated_and_says_when_reviews_are_missing(house: House) -> None:
    stop_turns(house, 3, benign=1)
    view = open_one(house, (LinkKind.FILTER, "guard"))
    act(house.records, 1, IncidentAction.TRIAGE, {"severity": "high", "owner": "ana"}, actor=ANA, at=T0 + 61 * MINUTE)
    act(house.records, 1, IncidentAction.START, {"summary": "s"}, actor=ANA, at=T0 + 62 * MINUTE)
    view = act(house.records, 1, IncidentAction.STABILISE, {"mitigation": "m"}, actor=ANA, at=T0 + 70 * MINUTE)
    impact = measure_impact(house.events, view.life, settings=house.settings, at=NOW)
    assert impact.until == T0 + 71 * MINUTE
    assert impact.wrong_block_share["estimate"] is None
    assert impact.wrong_blocks == {"estimate": None, "low": None, "high": None}
    assert "not enough reviews (n 3)" in say_rate(impact.wrong_block_share)


def test_the_timeline_puts_versions_verdicts_and_events_in_order(house: House) -> None:
    passed = {"request_id": "other", "triggered": False, "decision": "allow", "enforced": False, "category": None}
    house.add_checks(
        passed | {"ts": (T0 - timedelta(days=2)).isoformat(), "filter_version": "v40"},
        passed | {"ts": (T0 - timedelta(hours=1)).isoformat(), "filter_version": "v41"},
    )
    (case_id,) = house.add_cases(1)
    view = open_one(house, (LinkKind.FILTER, "guard"), (LinkKind.CASE, case_id))
    escalate_case(house.records, case_id, actor=ANA, reason=EscalationReason.PATTERN, note="n", at=T0 + 80 * MINUTE)
    cast_vote(house.records, VoteCreate(case_id, harmful=False), actor=LEA, at=T0 + 90 * MINUTE)
    for name, hours in (("guard", 0.5), (None, 0.25), ("other", 0.1), ("guard", 9)):
        noted = T0 - timedelta(hours=hours)
        register_change(house.records, at=noted, filter_name=name, note="list cleaned", actor=ANA, now=NOW)
    view = act(house.records, 1, IncidentAction.NOTE, {"text": "v41 added a stem"}, actor=ANA, at=T0 + 100 * MINUTE)
    lines = [(item.kind, item.what) for item in build_timeline(house.records, house.events, view, at=NOW)]
    assert lines == [
        ("version", "First seen: guard, version v41"),
        ("version", "Change of guard"),
        ("version", "Change of all filters"),
        ("incident", "Opened by hand, severity high"),
        ("incident", "Linked filter guard"),
        ("incident", f"Linked case {case_id}"),
        ("case", f"Case {case_id}: escalated"),
        ("case", f"Case {case_id}: judged benign"),
        ("incident", "Note"),
    ]


@pytest.mark.parametrize("action", [action for action in IncidentAction if action is not IncidentAction.ESCALATE])
def test_every_event_has_a_sentence(house: House, action: IncidentAction) -> None:
    state = next(state for state, other in TRANSITIONS if other is action)
    what, text = describe_entry(IncidentEntry(1, action, "ana", T0, facts(action, state), IncidentState.NEW))
    assert what
    assert "_" not in what
    assert text == "" or text.startswith("some ")


class Tags(HTMLParser):
    """Collects what a browser would act on."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


ALLOWED = {
    *(
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "h1",
        "h2",
        "p",
        "pre",
        "span",
        "table",
        "thead",
        "tbody",
        "tr",
    ),
    *("th", "td", "footer"),
}


def every_block(text: str) -> Document:
    blocks = (Heading(text), Line(text), Quote(text), Missing(text), Facts([(text, text)]), Grid((text,), [(text,)]))
    return Document(text, blocks, text)


@given(st.one_of(st.just(HOSTILE), st.text(max_size=60)))
def test_a_document_holds_no_markup_but_its_own(text: str) -> None:
    page = write_html(every_block(text))
    tags = Tags()
    tags.feed(page)
    assert {name for name, _ in tags.tags} <= ALLOWED
    assert not [value for _, attrs in tags.tags for name, value in attrs.items() if name in ("src", "href", "onerror")]
    blocks = (Heading, Line, Quote, Missing, Facts, Grid)
    assert [name for name, _ in tags.tags].count("table") == 2
    assert len(every_block("").blocks) == len(blocks)
    marked = re.sub(r"(?s)(`{3,})text\n.*?\n\1(?=\n|$)", "", write_markdown(every_block(text)))
    unescaped = re.sub(r"\\.", "", marked)
    assert "<" not in unescaped
    assert "](" not in unescaped
    assert "![" not in unescaped


def test_markdown_fences_cannot_be_left_and_tables_not_broken() -> None:
    text = write_markdown(Document("t", [Quote("a\n```\n# b\n`````"), Grid(("x",), [("a | b\nc",)])], "f"))
    assert "``````text\na\n```\n# b\n`````\n``````" in text
    assert "| a \\| b c |" in text


def test_the_postmortem_names_what_is_missing_and_holds_text_as_text(house: House) -> None:
    stop_turns(house, 6, benign=3)
    open_one(house, (LinkKind.FILTER, "guard"), title="Guard <b>blocks</b>")
    view = act(house.records, 1, IncidentAction.NOTE, {"text": HOSTILE}, actor=ANA, at=T0 + 61 * MINUTE)
    timeline = build_timeline(house.records, house.events, view, at=NOW)
    impact = measure_impact(house.events, view.life, settings=house.settings, at=NOW)
    document = build_postmortem(view, timeline, impact, at=NOW)
    markdown, page = write_markdown(document), write_html(document)
    assert markdown.count("**Missing:**") == 5
    assert "50.0% (" in page
    assert "3 (" in page
    assert "http-equiv" in page
    assert "<script" not in page
    assert "<b>" not in page
    assert "\x1b" not in page + markdown
    tags = Tags()
    tags.feed(page)
    assert "![i](https://evil.example/i.png)" in tags.text
    assert {name for name, _ in tags.tags} <= ALLOWED


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "not yet"), (42, "42 s"), (60, "1 min"), (9600, "2 h 40 min"), (266_460, "3 d 2 h")]
)
def test_durations(seconds: float | None, text: str) -> None:
    assert say_duration(seconds) == text
