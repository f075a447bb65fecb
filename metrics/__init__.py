"""Canonical rows to numbers."""

from core.registry import Registry
from metrics import (
    agreement,
    appeals,
    changes,
    coverage,
    drift,
    errors,
    escalations,
    experiment,
    frontier,
    funnel,
    latency,
    layers,
    outcomes,
    overlap,
    prevalence,
    shadow,
    thresholds,
    transparency,
    triggers,
)
from metrics.report import Report

REPORTS: Registry[Report] = Registry(
    "report",
    triggers.REPORT,
    coverage.REPORT,
    errors.REPORT,
    prevalence.REPORT,
    escalations.REPORT,
    outcomes.REPORT,
    funnel.REPORT,
    overlap.REPORT,
    layers.REPORT,
    latency.REPORT,
    thresholds.REPORT,
    frontier.REPORT,
    shadow.REPORT,
    drift.REPORT,
    changes.REPORT,
    experiment.REPORT,
    agreement.REPORT,
    appeals.REPORT,
    transparency.REPORT,
)
