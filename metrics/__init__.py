"""Canonical rows to numbers."""

from core.registry import Registry
from metrics import errors, escalations, funnel, latency, outcomes, prevalence, triggers
from metrics.report import Report

REPORTS: Registry[Report] = Registry(
    "report",
    triggers.REPORT,
    errors.REPORT,
    prevalence.REPORT,
    escalations.REPORT,
    outcomes.REPORT,
    funnel.REPORT,
    latency.REPORT,
)
