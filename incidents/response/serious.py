"""Incidents that may have to be reported: the clock from awareness, who must do what by when, and the two reports.

Source: Regulation (EU) 2024/1689, Article 3(49) (what a serious incident is), Article 26(5) (deployers inform the
provider), Article 73(2) to (6) (periods, incomplete first report, investigation). Kinds and periods are settings, since
other law has others. Whether a duty exists is for people to decide; nothing is sent anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from core.errors import UsageError
from core.settings import Settings
from core.settings_response import SeriousKind
from incidents.response.document import Block, Document, Facts, Heading, Line, Missing, Quote
from incidents.response.enums import Duty, IncidentAction, LinkKind, ReportKind, Section
from incidents.response.impact import Impact
from incidents.response.life import Life
from incidents.response.postmortem import describe_impact, describe_timeline
from incidents.response.timeline import TimelineItem
from incidents.response.words import say_moment
from incidents.response.work import IncidentView

DISCLAIMER = (
    "A working paper out of Weir's records, not legal advice. Nothing was sent: whoever answers for reporting checks it "
    "and hands it in."
)
# What the first report should hold as far as it is known; the second must hold all.
_INITIAL = (
    Section.SYSTEM,
    Section.PROVIDER,
    Section.AUTHORITY,
    Section.SUMMARY,
    Section.HARM,
    Section.CAUSAL_LINK,
    Section.MITIGATION,
)
_FOLLOW_UP = (*_INITIAL, Section.CAUSE, Section.CORRECTIVE_ACTION)
SECTIONS = _FOLLOW_UP
NOBODY = "nobody yet"


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that the duty to report asks for.

    Attributes:
        what: What is to be done.
        who: Who does it here: a person, or "nobody yet".
        due_at: By when at the latest, naive UTC; None = as `when` says.
        is_done: Weir's records say that it was.
        source: Where the law says so.
        when: The time of a task without a date.
    """

    what: str
    who: str
    due_at: datetime | None
    is_done: bool
    source: str
    when: str = ""


def get_kind(settings: Settings, name: str) -> SeriousKind:
    """The kind of a name.

    Raises:
        UsageError: The settings know no such kind; the hint lists them.
    """
    for kind in settings.serious:
        if kind.name == name:
            return kind
    raise UsageError(
        "Not a kind of serious incident", repr(name), f"Valid: {', '.join(k.name for k in settings.serious)}."
    )


def find_deadline(life: Life, kind: SeriousKind) -> datetime:
    """When the report is due at the latest. Periods count in whole days from awareness.

    Raises:
        ValueError: The incident is not marked.
    """
    if life.aware_at is None:
        raise ValueError("the incident is not marked as possibly serious")
    return life.aware_at + timedelta(days=kind.days)


def find_reporter(life: Life) -> str:
    """Who reports: the person for communications, else the owner, else `NOBODY`."""
    return life.people.get(Duty.COMMS) or life.owner or NOBODY


def list_tasks(view: IncidentView, kind: SeriousKind) -> list[Task]:
    """Who must do what by when."""
    life = view.life
    deadline = find_deadline(life, kind)
    owner = life.owner or NOBODY
    comms = find_reporter(life)
    reported = list_reports(view)
    written = life.sections
    return [
        Task(
            "Change nothing in the AI system that could affect a later evaluation of the causes before the authority knows",
            life.people.get(Duty.COMMANDER, owner),
            None,
            ReportKind.INITIAL in reported,
            "Article 73(6)",
            "until it is reported",
        ),
        Task(
            "A deployer informs the provider immediately",
            comms,
            life.aware_at,
            Section.PROVIDER in written,
            "Article 26(5)",
        ),
        Task(
            "Establish whether the AI system did, or is reasonably likely to have, caused it",
            owner,
            deadline,
            Section.CAUSAL_LINK in written,
            kind.article,
        ),
        Task(
            "Report to the market surveillance authority of the Member State where it occurred; an incomplete report is "
            "better than a late one",
            comms,
            deadline,
            ReportKind.INITIAL in reported,
            f"{kind.article}, 73(5)",
        ),
        Task(
            "Investigate, assess the risk, and correct",
            owner,
            deadline,
            Section.CORRECTIVE_ACTION in written,
            "Article 73(6)",
        ),
        Task(
            "Complete the report", comms, None, ReportKind.FOLLOW_UP in reported, "Article 73(5)", "once all is known"
        ),
    ]


def build_report(
    view: IncidentView,
    report: ReportKind,
    timeline: Sequence[TimelineItem],
    impact: Impact,
    *,
    settings: Settings,
    at: datetime,
) -> Document:
    """The initial or the follow-up report: what is known, and what is missing.

    Raises:
        UsageError: The incident is not marked as possibly serious.
    """
    life = view.life
    if life.serious_kind is None or life.aware_at is None:
        raise UsageError("There is nothing to report", f"incident {view.number} is not marked as possibly serious", "")
    kind = get_kind(settings, life.serious_kind)
    deadline = find_deadline(life, kind)
    sections = _INITIAL if report is ReportKind.INITIAL else _FOLLOW_UP
    facts = [
        ("Kind", kind.title),
        ("Aware since", say_moment(life.aware_at)),
        ("Report due", f"{say_moment(deadline)}, {kind.days} days after awareness ({kind.article})"),
        ("Began", say_moment(life.started_at)),
        ("Users safe since", say_moment(life.mitigated_at)),
        ("State", life.state.title),
        (
            "Filters and rules concerned",
            ", ".join([*life.linked(LinkKind.FILTER), *life.linked(LinkKind.RULE)]) or "none linked",
        ),
        ("Answers for it", life.owner or NOBODY),
        ("Speaks to the authority", find_reporter(life)),
        ("Earlier reports", ", ".join(list_reports(view)) or "none"),
    ]
    known: list[Block] = []
    missing: list[Block] = []
    for section in sections:
        text = life.sections.get(section)
        if text:
            known += [Heading(section.title), Quote(text)]
        else:
            missing.append(Missing(f"{section.title}. {section.guidance}"))
    blocks: list[Block] = [
        Line(DISCLAIMER),
        Facts(facts),
        *known,
        Heading("What the logs say"),
        Facts(describe_impact(impact)),
        Heading("What is missing"),
        *(missing or [Line("Nothing that this report should hold.")]),
    ]
    if report is ReportKind.FOLLOW_UP:
        blocks += [Heading("What happened, in order"), describe_timeline(timeline)]
    return Document(
        title=f"{report.value.capitalize()} report of a possibly serious incident: {view.number}, {life.title}",
        blocks=blocks,
        foot=f"Written by Weir on {say_moment(at)} from version {life.version} of the incident. Times are UTC.",
    )


def list_reports(view: IncidentView) -> list[ReportKind]:
    """Reports exported since the incident was last marked."""
    reports: list[ReportKind] = []
    for entry in view.entries:
        if entry.action is IncidentAction.MARK_SERIOUS:
            reports = []
        elif entry.action is IncidentAction.REPORT:
            reports.append(ReportKind(entry.payload["report"]))
    return reports
