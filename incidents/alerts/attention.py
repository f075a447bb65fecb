"""Alerts that fire as what needs a person: one finding for each group, most urgent first."""

from __future__ import annotations

from collections.abc import Sequence

from core.clock import EPOCH
from incidents.alerts.desk import AlertView
from incidents.enums import AlertState
from metrics.headline import Finding, Kind, Name

URGENCY = (
    "no_data",
    "no_turns",
    "source_stopped",
    "silence",
    "fail_open",
    "error_share",
    "wrong_blocks",
    "rate_change",
    "coverage",
    "latency",
    "score_drift",
    "escalation_backlog",
)
"""Kinds of alerts by how soon a person should look: nothing is screened, then harm goes out, then people are stopped."""
# What the Overview finds in its own window, that an alert about the same filter says already.
_SAID_BY_ALERTS = (Kind.STOPPED, Kind.SILENT, Kind.MOVED)


def describe_firing(views: Sequence[AlertView]) -> list[Finding]:
    """A finding for each group of alerts that fire unsilenced: its most urgent alert, and how many more there are."""
    groups: dict[str, list[AlertView]] = {}
    for view in views:
        if view.state is AlertState.FIRING:
            groups.setdefault(view.group_id or view.alert_id, []).append(view)
    ordered = [sorted(group, key=_urgency) for group in groups.values()]
    return [
        _describe(group, place, len(ordered))
        for place, group in enumerate(sorted(ordered, key=lambda g: _urgency(g[0])))
    ]


def put_first(alerts: Sequence[Finding], others: Sequence[Finding]) -> list[Finding]:
    """Alerts, then what else was found and no alert says already."""
    filters = {finding.filter_name for finding in alerts}
    sources = {finding.source for finding in alerts if finding.source is not None}
    has_backlog = any(finding.alert_kind == "escalation_backlog" for finding in alerts)
    return [
        *alerts,
        *(
            finding
            for finding in others
            if not (finding.kind in _SAID_BY_ALERTS and finding.filter_name in filters)
            and not (finding.kind is Kind.WAITING and has_backlog)
            and not (finding.kind is Kind.LAGGING and finding.source in sources)
        ),
    ]


def _urgency(view: AlertView) -> tuple[int, float, str]:
    fired_at = view.fired_at or EPOCH
    # A rule says more precisely than its filter what moved, so it comes first among alerts of one kind.
    return URGENCY.index(view.kind) * 2 + (view.rule_id is None), -(fired_at - EPOCH).total_seconds(), view.alert_id


def _describe(group: Sequence[AlertView], place: int, groups: int) -> Finding:
    view, more = group[0], len(group) - 1
    subject: tuple[str | Name, ...] = ("all filters",)
    if view.filter_name:
        subject = (Name(view.filter_name),)
        if view.rule_id:
            subject = ("rule ", Name(view.rule_id), " of ", *subject)
    if view.source:
        subject = ("source ", Name(view.source))
    if view.kind == "escalation_backlog":
        subject = ()
    beside = f" (and {more} more {'alert' if more == 1 else 'alerts'})" if more else ""
    return Finding(
        kind=Kind.ALERT,
        parts=(*subject, f" {view.sentence}{beside}" if subject else f"{view.sentence}{beside}"),
        filter_name=view.filter_name,
        rule_id=view.rule_id,
        source=view.source,
        evidence=view.evidence,
        weight=float(groups - place),
        alert_kind=view.kind,
    )
