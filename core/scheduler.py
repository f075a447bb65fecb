"""One background scheduler; every run's outcome is handed to a recorder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger

from core.clock import now
from core.errors import StoreFullError

log = structlog.get_logger()
# A tick that finds the last one still at work is skipped by design, which is no warning.
logging.getLogger("apscheduler").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Job:
    """A recurring piece of work.

    Attributes:
        key: Stable id, shown on the Sources page.
        every_s: Interval in seconds.
        run: Does the work; returns a sentence on what was done, or "" when there was nothing to do.
    """

    key: str
    every_s: float
    run: Callable[[], str]


@dataclass(frozen=True, slots=True)
class JobRun:
    """The outcome of one run; `error` is "" on success."""

    key: str
    started_at: datetime
    seconds: float
    message: str
    error: str


class _Every(BaseTrigger):  # type: ignore[misc]  # APScheduler has no types
    """Fires a fixed time after it last fired.

    APScheduler's own trigger lists every tick that a clock set forward has passed over, billions where it starts in 1970.
    """

    def __init__(self, seconds: float) -> None:
        self.interval = timedelta(seconds=seconds)

    def get_next_fire_time(self, _previous_fire_time: datetime | None, now: datetime) -> datetime:
        """One interval from now."""
        return now + self.interval


class _Scheduler(BackgroundScheduler):  # type: ignore[misc]  # APScheduler has no types
    """Goes on when the clock is set back, where APScheduler would wait until it has caught up.

    The wait between two looks is never longer than the shortest interval, and does not follow the clock.
    """

    def _process_jobs(self) -> float | None:
        moment, jobs = datetime.now(self.timezone), self.get_jobs()
        for job in jobs:
            if job.next_run_time - moment > job.trigger.interval:
                job.modify(next_run_time=moment)
        wait_s: float | None = super()._process_jobs()
        # APScheduler reads the clock once more for the wait: set back in between, it would be decades.
        shortest_s = min((job.trigger.interval.total_seconds() for job in jobs), default=0.0)
        return wait_s if wait_s is None else min(wait_s, shortest_s)


def build_scheduler(jobs: list[Job], record: Callable[[JobRun], None]) -> BackgroundScheduler:
    """A scheduler that is not started yet.

    Args:
        jobs: Each runs at most once at a time; missed ticks coalesce into one.
        record: Called after each run that did something or failed.
    """
    scheduler = _Scheduler(
        timezone="UTC",
        # However late it seems to be: after a clock was set forward, every job does.
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
    )
    for job in jobs:
        scheduler.add_job(
            run_job,
            _Every(job.every_s),
            args=[job, record],
            id=job.key,
            next_run_time=datetime.now(scheduler.timezone),
        )
    return scheduler


def run_job(job: Job, record: Callable[[JobRun], None]) -> None:
    """Runs `job` once. A failure is recorded and logged, never raised: the next tick tries again."""
    started_at, started = now(), time.perf_counter()
    message = error = ""
    try:
        message = job.run()
    except StoreFullError as failure:
        # Nor could its outcome be stored; a trace each quarter of a second would fill what is left.
        log.warning("job failed", job=job.key, error=failure.sentence())
        return
    except Exception as failure:  # the boundary for jobs
        error = str(failure) or type(failure).__name__
        log.exception("job failed", job=job.key)
    if message or error:
        record(JobRun(job.key, started_at, time.perf_counter() - started, message, error))
