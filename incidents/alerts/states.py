"""The life of one alert: (state, breached?) -> state, counted in windows. Silencing is beside it, not in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from core.settings import AlertRule
from incidents.enums import AlertState

ALARMED = (AlertState.FIRING, AlertState.RECOVERING)
"""States of an alarm that was raised and is not over."""
# An alarm about something that can no longer be judged (a filter that was removed) ends after so many windows.
_BLIND_WINDOWS, _LONGEST_BLIND = 48, timedelta(days=48)


@dataclass(frozen=True, slots=True)
class Alert:
    """What the windows so far say about one subject of one rule.

    Attributes:
        state: Where it stands.
        since: End of the window in which it entered that state.
        count: Windows in a row that speak for leaving it.
        fired_at: End of the window in which it last began to fire; None before.
        breached_at: End of the last window that breached; None before.
        window_end: The last window that was folded in.
    """

    state: AlertState = AlertState.OK
    since: datetime | None = None
    count: int = 0
    fired_at: datetime | None = None
    breached_at: datetime | None = None
    window_end: datetime | None = None


def advance(alert: Alert, *, end: datetime, is_breached: bool | None, rule: AlertRule) -> Alert:
    """The alert after one more window.

    One that was folded in already changes nothing; neither does one that cannot tell, unless so many could not that
    the alarm has nothing left to stand on.
    """
    if alert.window_end is not None and end <= alert.window_end:
        return alert
    alert = replace(alert, window_end=end)
    if is_breached is None:
        told_at = max(filter(None, (alert.since, alert.breached_at)), default=end)
        is_blind = end - told_at > min(timedelta(minutes=rule.window_min * _BLIND_WINDOWS), _LONGEST_BLIND)
        return replace(alert, state=AlertState.OK, since=end, count=0) if is_blind else alert
    if is_breached:
        alert = replace(alert, breached_at=end)
    match alert.state:
        case AlertState.OK | AlertState.PENDING if is_breached:
            count = alert.count + 1
            if count >= rule.windows:
                return replace(alert, state=AlertState.FIRING, since=end, count=0, fired_at=end)
            since = alert.since if alert.state is AlertState.PENDING else end
            return replace(alert, state=AlertState.PENDING, since=since, count=count)
        case AlertState.PENDING:
            return replace(alert, state=AlertState.OK, since=end, count=0)
        case AlertState.FIRING | AlertState.RECOVERING if not is_breached:
            count = alert.count + 1
            if count >= rule.recover_windows:
                return replace(alert, state=AlertState.OK, since=end, count=0)
            since = alert.since if alert.state is AlertState.RECOVERING else end
            return replace(alert, state=AlertState.RECOVERING, since=since, count=count)
        case AlertState.RECOVERING:
            # It had not ended: the same alarm goes on, and nobody is told twice.
            return replace(alert, state=AlertState.FIRING, since=end, count=0)
        case AlertState.FIRING:
            return replace(alert, count=0)
        case _:
            return alert
