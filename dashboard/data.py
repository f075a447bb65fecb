"""What pages read: cached by the question and the data version, never by time alone.

    data.read(trigger_series, query, by="layer", bucket_s=300)    # any function of the event store
    data.report("errors", data.build_query(view, by=("filter_name",)))

New rows raise the data version, and so does what is removed: an answer is recomputed exactly when it can have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Concatenate, Literal, ParamSpec, TypeVar, cast
from zoneinfo import ZoneInfo

import polars as pl
import streamlit as st

from core.clock import now
from core.events import EventStore
from core.settings import AlertRule
from dashboard import lists
from dashboard.charts import markers
from dashboard.state import WINDOWS, View
from dashboard.theme import format_duration, format_time, format_window, get_zone
from incidents import cases
from incidents.alerts import attention, desk, reach
from incidents.alerts.kinds import KINDS
from incidents.changes import list_registered
from incidents.enums import AlertState, CaseState
from incidents.people import SYSTEM, Actor
from incidents.response.work import count_unacknowledged
from incidents.sampling import Plan, count_drawn, plan_sample
from incidents.views import CaseView
from ingest.schema import get_data_version, has_demo_data
from metrics import errors
from metrics.changes import list_changes, list_moments
from metrics.coverage import Counts, measure_coverage
from metrics.headline import Finding, Kind, Waiting, compute_headline
from metrics.query import Query
from metrics.report import ReportResult
from metrics.run import compute_rows, run_report
from service.home import Home, get_home
from service.jobs import find_moment

P = ParamSpec("P")
T = TypeVar("T")

HISTORIC_AFTER = timedelta(hours=24)
NOTHING_INGESTED = "Nothing has been ingested yet. Drop log files into the inbox, or upload one on Sources."
LEAST_COVERED = 0.9
MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Window:
    """The window of a view in absolute time, naive UTC; both ends None = everything stored.

    Attributes:
        since: Inclusive start.
        until: Exclusive end.
        newest: Time of the newest stored event; None in an empty store.
        is_historic: The end is the newest event, because that is long past.
    """

    since: datetime | None
    until: datetime | None
    newest: datetime | None
    is_historic: bool

    @property
    def length(self) -> timedelta | None:
        """How long it is; None when it is open."""
        return self.until - self.since if self.since and self.until else None


def home() -> Home:
    """The home that this process serves. Uncached: for decisions (`records`) and settings."""
    return get_home()


def zone() -> ZoneInfo:
    """The reader's time zone, as the browser tells it."""
    return get_zone(st.context.timezone)


def version() -> tuple[int, int]:
    """The data version, which new rows raise, and how often rows were removed. Costs a millisecond, so that it can be asked every second."""
    events = get_home().events
    return get_data_version(events), events.removals


def read(function: Callable[Concatenate[EventStore, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
    """`function(events, ...)`, cached until new data arrives. Arguments must be hashable, results picklable."""
    current = get_home()
    name = f"{function.__module__}.{function.__qualname__}"
    answer = _read(str(current.settings.home), version(), name, args, kwargs, _function=function)
    return cast(T, answer)


def forget() -> None:
    """Drops what `read` remembers: after a change of rows that are stored already, which raises no data version."""
    _read.clear()


@st.cache_data(ttl=3600, max_entries=1000, show_spinner=False)
def _read(
    home_path: str,  # noqa: ARG001 - part of the cache key
    data_version: tuple[int, int],  # noqa: ARG001 - part of the cache key
    name: str,  # noqa: ARG001 - part of the cache key
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    _function: Callable[..., object],
) -> object:
    return _function(get_home().events, *args, **kwargs)


def report(name: str, query: Query) -> ReportResult:
    """One report, cached."""
    return read(run_report, name, query)


def rows(name: str, query: Query) -> pl.DataFrame:
    """The rows of one report, cached, for pages that have the window's coverage from `coverage`."""
    return read(compute_rows, name, query)


def coverage(query: Query) -> tuple[Counts, pl.DataFrame]:
    """How complete the query's window is, and filter by filter; the same for every question about it."""
    return read(measure_coverage, Query(since=query.since, until=query.until))


def is_demo() -> bool:
    """Whether the store holds simulated traffic."""
    return read(has_demo_data)


def newest_event() -> datetime | None:
    """Time of the newest stored turn or check (naive UTC), disregarding ones that claim to lie ahead."""
    return read(lists.find_newest_event)


def resolve_window(view: View) -> Window:
    """The view's window in absolute time.

    Ends are whole minutes, so that rollups answer and one answer serves for a minute. When the newest event is more
    than a day old, windows count back from it: a month-old sample would otherwise show nothing.
    """
    return resolve(view, newest=newest_event(), at=now())


def resolve(view: View, *, newest: datetime | None, at: datetime) -> Window:
    """`resolve_window` for a given newest event and present moment."""
    if view.window == "custom":
        return Window(view.since, view.until, newest, is_historic=False)
    length = WINDOWS[view.window]
    if length is None:
        return Window(None, None, newest, is_historic=False)
    is_historic = newest is not None and at - newest > HISTORIC_AFTER
    end = newest if newest is not None and is_historic else at
    until = end.replace(second=0, microsecond=0) + MINUTE
    return Window(until - length, until, newest, is_historic)


def build_query(view: View, *, by: tuple[str, ...] = (), filters: tuple[tuple[str, str], ...] = ()) -> Query:
    """The view's window and filters as a question; `filters` are added to the view's."""
    window = resolve_window(view)
    statistics = get_home().settings.statistics
    return Query(
        by=by,
        since=window.since,
        until=window.until,
        filters=(*view.filters(), *filters),
        min_sample=statistics.min_sample,
        confidence=statistics.confidence,
    )


def build_previous(query: Query) -> Query | None:
    """The same question about the window just before; None when the window is open."""
    if query.since is None or query.until is None:
        return None
    return replace(query, since=query.since - (query.until - query.since), until=query.since)


def choose_period(view: View) -> Literal["hour", "day"]:
    """The time column that gives a sensible number of points over the view's window."""
    length = resolve_window(view).length
    return "hour" if length is not None and length <= timedelta(days=3) else "day"


def previous_label(view: View) -> str:
    """What changes are measured against: `prior 24 h`; "" when there is nothing to compare with."""
    window = resolve_window(view)
    if not view.compare or window.length is None or not is_comparable(window, oldest=read(lists.find_oldest_event)):
        return ""
    return f"prior {format_window(window.length)}"


def is_comparable(window: Window, *, oldest: datetime | None) -> bool:
    """Whether the store reaches back over most of the window before: a remnant of it would compare with nothing."""
    if window.since is None or window.length is None or oldest is None:
        return False
    return oldest <= window.since - window.length * LEAST_COVERED


def explain_empty(view: View) -> str:
    """Why a question about this view has no rows, as a sentence with what to do about it."""
    window = resolve_window(view)
    if window.newest is None:
        return NOTHING_INGESTED
    newest = format_time(window.newest, zone())
    if view.filters():
        return f"The filters of the bar leave nothing. The newest event is of {newest}."
    return f"Nothing was logged in this window. The newest event is of {newest}: choose a longer window."


def count_waiting() -> dict[str, int]:
    """Things that wait for a person, by page key; shown in the navigation."""
    home_path = str(get_home().settings.home)
    counts = _count_cases(home_path)
    waiting = counts.get(CaseState.OPEN.value, 0) + counts.get(CaseState.ESCALATED.value, 0)
    firing = sum(view.state is AlertState.FIRING for view in list_alerts())
    return {"triage": waiting, "incidents": firing + _count_new_incidents(home_path)}


def list_escalated(actor: Actor) -> list[CaseView]:
    """Cases that the cascade or a reviewer handed to a person and that still wait, without their texts; at most 200."""
    return cases.list_escalated(get_home().records, actor=actor)


def describe_waiting(escalated: list[CaseView]) -> str:
    """How many escalated cases wait and how old the oldest is, as a phrase."""
    if not escalated:
        return "none waits"
    oldest = min(case.escalated_at or case.opened_at for case in escalated)
    return f"{len(escalated)} waiting, oldest {format_duration((now() - oldest).total_seconds())}"


def find_what_needs_a_person(query: Query, escalated: list[CaseView]) -> list[Finding]:
    """The findings on top of the Overview, most urgent first. The moment is a whole minute, so that one answer serves it."""
    at = now().replace(second=0, microsecond=0)
    is_new = not is_comparable(Window(query.since, query.until, None, False), oldest=read(lists.find_oldest_event))
    free = [case.escalated_at or case.opened_at for case in escalated if not case.is_held(at)]
    waiting = Waiting(len(free), max(0.0, (at - min(free)).total_seconds())) if free else None
    findings = read(compute_headline, query, at=at, waiting=waiting)
    others = [finding for finding in findings if not (is_new and finding.kind is Kind.MOVED)]
    names = query.alternatives().get("filter_name")
    alerts = [
        view
        for view in list_alerts()
        if (query.until is None or (view.fired_at or at) <= query.until)
        and (names is None or view.filter_name is None or view.filter_name in names)
    ]
    return attention.put_first(attention.describe_firing(alerts), others)


def list_alerts() -> list[desk.AlertView]:
    """Every alert, those that are over included; at most two seconds old."""
    return _list_alerts(str(get_home().settings.home))


def list_markers(query: Query) -> pl.DataFrame:
    """Changes and alarms of the query's window for a chart over time (`charts.markers.SCHEMA`), at most a minute old."""
    names = query.alternatives().get("filter_name")
    alarms = [
        (view.fired_at, f"{view.filter_name or 'all filters'}: {KINDS[view.kind].title.lower()}", "alarm")
        for view in list_alerts()
        if view.fired_at is not None
        and (query.since is None or view.fired_at >= query.since)
        and (query.until is None or view.fired_at <= query.until)
        and (names is None or view.filter_name in names)
    ]
    changes = [
        (row["at"], label_change(row), "change")
        for row in _list_moments(str(get_home().settings.home), query).iter_rows(named=True)
    ]
    return pl.DataFrame([*alarms, *changes], schema=markers.SCHEMA, orient="row")


def list_filter_changes(query: Query) -> pl.DataFrame:
    """The changes of the query's window, seen or registered, with rates before and after."""
    return read(list_changes, query, noted=tuple(list_registered(get_home().records)))


def label_change(row: Mapping[str, Any]) -> str:
    """A change in a few words: `blocklist 41`, `rule kw-113`, or the note."""
    match row["what"]:
        case "rule":
            return f"rule {row['name']}"
        case "registered":
            return str(row["name"])
        case _:
            return row["name"] if row["to"] == row["name"] else f"{row['name']} {row['to']}"


@st.cache_data(ttl=60, max_entries=100, show_spinner=False)
def _list_moments(home_path: str, query: Query) -> pl.DataFrame:  # noqa: ARG001 - part of the cache key
    """Behind by at most a minute: what is new is looked for in all that is stored, which a live page need not repeat."""
    return list_moments(get_home().events, query, noted=tuple(list_registered(get_home().records)))


def describe_last_alarm() -> str:
    """When the last alarm was raised, as a sentence; "" if none ever was."""
    fired = [view.fired_at for view in list_alerts() if view.fired_at]
    return f"Last alarm {format_duration((now() - max(fired)).total_seconds())} ago." if fired else ""


def list_reach(rules: Sequence[AlertRule]) -> pl.DataFrame:
    """What rules about rates can see at today's volume (`incidents.alerts.reach`), at most ten minutes old."""
    return _list_reach(str(get_home().settings.home), repr(rules), _rules=rules)


@st.cache_data(ttl=600, max_entries=4, show_spinner=False)
def _list_reach(home_path: str, key: str, *, _rules: Sequence[AlertRule]) -> pl.DataFrame:  # noqa: ARG001 - part of the cache key
    current = get_home()
    at = find_moment(current.events, at=now())
    return reach.list_reach(current.records, current.events, rules=_rules, at=at)


def judge_before(query: Query) -> dict[str, Any] | None:
    """`metrics.errors.judge` of the window before; None when the window is open."""
    previous = build_previous(query)
    return None if previous is None else _judge_past(str(get_home().settings.home), previous)


def plan_reviews(query: Query, *, n: int, target: str) -> Plan:
    """What drawing `n` turns for the target would do, and what the traffic consists of; without the turns themselves.

    Raises:
        UsageError: Nothing can be drawn, or `n` does not reach every stratum.
    """
    current = get_home()
    return _plan_reviews(str(current.settings.home), version(), count_drawn(current.records), query, n, target)


@st.cache_data(ttl=3600, max_entries=100, show_spinner=False)
def _plan_reviews(
    home_path: str,  # noqa: ARG001 - part of the cache key
    data_version: tuple[int, int],  # noqa: ARG001 - part of the cache key
    drawn: int,  # noqa: ARG001 - part of the cache key
    query: Query,
    n: int,
    target: str,
) -> Plan:
    current = get_home()
    plan = plan_sample(current.records, current.events, query, n=n, target=target, settings=current.settings)
    # The turns themselves may be many, and no page shows them.
    return replace(plan, turns=plan.turns.clear(), known={})


@st.cache_data(ttl=60, max_entries=100, show_spinner=False)
def _judge_past(home_path: str, query: Query) -> dict[str, Any]:  # noqa: ARG001 - part of the cache key
    """About a window that has ended, at most a minute behind late rows and verdicts, so that live pages need not ask again."""
    return errors.judge(get_home().events.backend(), query)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _count_cases(home_path: str) -> dict[str, int]:  # noqa: ARG001 - part of the cache key
    return cases.count_by_state(get_home().records, actor=SYSTEM)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _list_alerts(home_path: str) -> list[desk.AlertView]:  # noqa: ARG001 - part of the cache key
    return desk.list_alerts(get_home().records, actor=SYSTEM, at=now(), with_ok=True)


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _count_new_incidents(home_path: str) -> int:  # noqa: ARG001 - part of the cache key
    return count_unacknowledged(get_home().records, actor=SYSTEM)
