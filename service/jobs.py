"""The recurring work of a running server."""

from __future__ import annotations

from datetime import datetime, timedelta

from core.clock import now
from core.events import Connection, EventStore
from core.scheduler import Job, JobRun
from incidents.alerts.watch import GRACE, evaluate_alerts
from incidents.audit_log import HEADS, note_head
from incidents.judgement.guidelines import mirror_versions
from incidents.judgement.offers import plan_waiting
from incidents.notify.outbox import collect_messages
from incidents.notify.sending import send_due
from incidents.opening import open_cases
from incidents.people import SYSTEM
from incidents.response.escalation import advance_escalations
from incidents.response.recurrence import reopen_recurring
from incidents.response.reminders import remind_of_reports
from incidents.reviews import mirror_votes
from ingest.inbox import Inbox
from ingest.judged import refresh_judged
from ingest.policies import refresh_policies
from ingest.rollups import compact_rollups
from ingest.schema import get_data_version, has_demo_data
from service.home import Home
from service.retention import apply_retention

JOB_RUN_DAYS = 7


def build_jobs(home: Home) -> list[Job]:
    """All jobs of a home, in the order in which they first run."""
    settings = home.settings
    inbox = Inbox(settings.inbox, loads=home.loads)
    opener = _CaseOpener(home)

    def ingest() -> str:
        summary = inbox.ingest_new(home.events, settings=settings)
        if not summary.read:
            return ""
        return (
            f"{summary.read} records read: {summary.turns} turns, {summary.checks} checks, {summary.labels} labels, "
            f"{summary.duplicates} known already, {summary.rejected} rejected"
        )

    def mirror() -> str:
        plan_waiting(home.records, settings=settings, at=now())
        mirror_versions(home.records, home.events, at=now())
        count = mirror_votes(home.records, home.events, settings=settings)
        return f"{count} verdicts copied to the event store" if count else ""

    def watch() -> str:
        firings = evaluate_alerts(home.records, home.events, settings=settings, at=find_moment(home.events, at=now()))
        return f"{len(firings)} alerts began to fire" if firings else ""

    def reopen() -> str:
        reopened = reopen_recurring(home.records, at=now())
        return f"incidents reopened: {', '.join(map(str, reopened))}" if reopened else ""

    def escalate() -> str:
        taken = advance_escalations(home.records, settings=settings, at=now())
        reminded = remind_of_reports(home.records, settings=settings, at=now())
        counts = {"escalation steps taken": taken, "reminders of reports": reminded}
        return ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    def notify() -> str:
        made = collect_messages(home.records, settings=settings, at=now())
        tried = send_due(home.records, settings=settings, at=now())
        counts = {"made": made, "sent": tried.sent, "failed": tried.failed}
        return (
            f"messages: {', '.join(f'{n} {name}' for name, n in counts.items() if n)}" if any(counts.values()) else ""
        )

    def note() -> str:
        return "head of the audit log noted" if note_head(home.records, settings.home / HEADS, at=now()) else ""

    def retain() -> str:
        aged = apply_retention(home, actor=SYSTEM, at=now())
        counts = {"texts": sum(aged.texts.values()), "rows": sum(aged.rows.values()), "files": len(aged.files)}
        return f"aged out: {', '.join(f'{n} {name}' for name, n in counts.items() if n)}" if aged else ""

    return [
        Job("ingest", settings.ingest.interval_s, ingest),
        Job("verdicts", 2.0, mirror),
        Job("cases", 2.0, opener.run),
        Job("alerts", 15.0, watch),
        Job("incidents", 5.0, reopen),
        Job("escalation", 5.0, escalate),
        Job("notifications", 2.0, notify),
        Job("at hand", 15.0, lambda: refresh_at_hand(home.events)),
        Job("audit", 300.0, note),
        Job("retention", settings.retention.interval_s, retain),
        Job("housekeeping", 600.0, lambda: keep_house(home)),
    ]


class _CaseOpener:
    """Opens cases when, and only when, the data version has moved."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._version = -1

    def run(self) -> str:
        version = get_data_version(self._home.events)
        if version == self._version:
            return ""
        count = open_cases(self._home.records, self._home.events, settings=self._home.settings, actor=SYSTEM)
        self._version = version
        return f"{count} cases opened" if count else ""


def find_moment(events: EventStore, *, at: datetime) -> datetime:
    """The moment that alerts are judged at: the present one, or the end of simulated traffic, which does not go on."""
    if not has_demo_data(events):
        return at
    last: datetime | None = events.read("SELECT max(minute) AS last FROM check_rollup").item()
    return at if last is None else min(at, last + timedelta(minutes=1) + GRACE)


def refresh_at_hand(events: EventStore) -> str:
    """Brings up to date what is kept in memory, so that nobody who opens a page waits for the first reading."""
    refresh_judged(events)
    refresh_policies(events)
    return ""


def keep_house(home: Home) -> str:
    """Sums up old rollup rows, forgets old job runs, and writes the log into the file."""

    def work(connection: Connection) -> int:
        connection.execute("DELETE FROM job_runs WHERE started_at < ?", [now() - timedelta(days=JOB_RUN_DAYS)])
        return compact_rollups(connection, before=now() - timedelta(hours=1))

    saved = home.events.write(work)
    home.events.checkpoint()
    return f"{saved} rollup rows saved" if saved else ""


def record_run(home: Home, run: JobRun) -> None:
    """Stores a job's outcome for the Sources page."""
    home.events.write(
        lambda connection: connection.execute(
            "INSERT INTO job_runs VALUES (?, ?, ?, ?, ?)",
            [run.key, run.started_at, run.seconds, run.message, run.error],
        )
    )
