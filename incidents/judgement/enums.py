"""Closed sets of judgement quality and wellness."""

from __future__ import annotations

from enum import StrEnum

from incidents.enums import GuidedEnum


class Purpose(GuidedEnum):
    """Why a case that needs no first review is put before a person; the person is not told."""

    SECOND = "second", "Second review", "A set share of decided cases is judged once more by somebody else."
    AUDIT = "audit", "Senior audit", "A share of cases that one person judged is judged once more by a lead."
    GOLDEN = "golden", "Golden item", "The verdict is known: the answer measures accuracy and changes no label."
    CALIBRATION = "calibration", "Calibration round", "Everybody judges the set; the answers are compared afterwards."


class AssignmentState(StrEnum):
    """What became of a case that was put before a person."""

    HELD = "held"
    DONE = "done"
    PASSED = "passed"


class Dispute(GuidedEnum):
    """On what the verdicts on a case differ, gravest first."""

    VERDICT = "verdict", "Verdict", "Harmful, benign and unsure are not the same answer."
    CATEGORY = "category", "Category", "All say harmful, under different categories."
    SEVERITY = "severity", "Severity", "All say harmful, with severities at least two steps apart."
