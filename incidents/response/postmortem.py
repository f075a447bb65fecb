"""The postmortem: an incident as its timeline, its figures and what people wrote tell it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from incidents.response.document import Block, Document, Facts, Grid, Heading, Line, Missing, Quote
from incidents.response.enums import Dismissal, Duty, Resolution, Section
from incidents.response.impact import Impact
from incidents.response.life import Life, measure
from incidents.response.timeline import TimelineItem
from incidents.response.words import NOT_YET, say_duration, say_moment, say_number, say_rate
from incidents.response.work import IncidentView

SECTIONS = (Section.SUMMARY, Section.DETECTION, Section.CAUSE, Section.MITIGATION, Section.LESSONS)
TIMES = {
    "detect_s": "Time to detect",
    "acknowledge_s": "Time to acknowledge",
    "mitigate_s": "Time to mitigate",
    "resolve_s": "Time to resolve",
}


def build_postmortem(view: IncidentView, timeline: Sequence[TimelineItem], impact: Impact, *, at: datetime) -> Document:
    """The postmortem as it stands now; what nobody has written yet is named as missing."""
    life = view.life
    blocks: list[Block] = [Facts(describe_life(life))]
    for section in SECTIONS:
        text = life.sections.get(section)
        blocks += [Heading(section.title), Quote(text) if text else Missing(section.guidance)]
        if section is Section.SUMMARY:
            blocks += [Heading("Impact"), Facts(describe_impact(impact))]
    blocks += [Heading("Timeline"), describe_timeline(timeline), Heading("Follow-ups"), describe_follow_ups(life)]
    if life.links:
        blocks += [Heading("Linked"), Grid(("What", "Which"), [(kind.title, ref) for kind, ref in life.links])]
    return Document(
        title=f"Postmortem of incident {view.number}: {life.title}",
        blocks=blocks,
        foot=f"Written by Weir on {say_moment(at)} from version {life.version} of the incident. Times are UTC.",
    )


def describe_life(life: Life) -> list[tuple[str, str]]:
    """Where the incident stands, as names and values."""
    duties = [(duty.title, life.people[duty]) for duty in Duty if duty in life.people]
    times = [(TIMES[name], say_duration(seconds)) for name, seconds in measure(life).items()]
    return [
        ("State", life.state.title + (f" ({describe_ending(life.ending)})" if life.ending else "")),
        ("Severity", life.severity.title),
        *duties,
        ("Began", say_moment(life.started_at)),
        ("Opened", f"{say_moment(life.opened_at)} by {life.opened_by}, {life.source.title.lower()}"),
        *(
            [("Came back", f"{life.regressions} times, last {say_moment(life.regressed_at)}")]
            if life.regressions
            else []
        ),
        *times,
    ]


def describe_ending(ending: str) -> str:
    """The title of a resolution or dismissal."""
    return Resolution(ending).title if ending in list(Resolution) else Dismissal(ending).title


def describe_impact(impact: Impact) -> list[tuple[str, str]]:
    """The figures with intervals, as names and values."""
    rows = [
        ("Window", f"{say_moment(impact.since)} to {say_moment(impact.until)}"),
        ("Turns triggered on", f"{impact.triggered:,}"),
        ("Turns stopped or changed", f"{impact.stopped:,}"),
        ("Users of those turns", f"{impact.users:,} named in the logs"),
        ("Wrong-block share", say_rate(impact.wrong_block_share)),
        ("Wrong blocks, estimated", say_number(impact.wrong_blocks)),
    ]
    if impact.missed_harm_rate is not None:
        rows.append(("Missed-harm rate", say_rate(impact.missed_harm_rate)))
    return rows


def describe_timeline(timeline: Sequence[TimelineItem]) -> Grid:
    """The timeline as a table."""
    return Grid(
        ("Time (UTC)", "Who", "What", "In their words"),
        [(f"{item.at:%Y-%m-%d %H:%M}", item.who, item.what, item.text) for item in timeline],
    )


def describe_follow_ups(life: Life) -> Block:
    """What remains to be done, and what was."""
    if not life.follow_ups:
        return Line("None.")
    rows = [
        (
            str(item.number),
            item.title,
            item.owner,
            item.due.isoformat(),
            say_moment(item.done_at) if item.done_at else NOT_YET,
        )
        for item in life.follow_ups
    ]
    return Grid(("Number", "What", "Owner", "Due", "Done"), rows)
