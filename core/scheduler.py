"""One background scheduler; every run's outcome is handed to a recorder."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from core.clock import now

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


def build_scheduler(jobs: list[Job], record: Callable[[JobRun], None]) -> BackgroundScheduler:
    """A scheduler that is not started yet.

    Args:
        jobs: Each runs at most once at a time; missed ticks coalesce into one.
        record: Called after each run that did something or failed.
    """
    scheduler = BackgroundScheduler(
        timezone="UTC",
        job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": 60},
    )
    for job in jobs:
        scheduler.add_job(
            run_job,
            IntervalTrigger(seconds=job.every_s, timezone="UTC"),
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
    except Exception as failure:  # the boundary for jobs
        error = str(failure) or type(failure).__name__
        log.exception("job failed", job=job.key)
    if message or error:
        record(JobRun(job.key, started_at, time.perf_counter() - started, message, error))
