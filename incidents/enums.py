"""Closed sets of the decision store; every member that a person chooses carries a sentence of guidance."""

from __future__ import annotations

from enum import StrEnum
from typing import Self


class GuidedEnum(StrEnum):
    """A set whose members have a title for buttons and one sentence that says when to choose them."""

    title: str  # type: ignore[assignment]  # a title for people is what `str.title` would only guess
    guidance: str

    def __new__(cls, value: str, title: str = "", guidance: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.title = title
        member.guidance = guidance
        return member


class CaseState(GuidedEnum):
    """Where a case stands."""

    OPEN = "open", "Open", "Waits for a person's verdict."
    DECIDED = "decided", "Decided", "At least one verdict stands."
    ESCALATED = "escalated", "Escalated", "A person asked for someone with more authority or knowledge."
    CLOSED = "closed", "Closed", "Needs no verdict here, because it was settled elsewhere."


class Action(StrEnum):
    """What can happen to a case."""

    OPEN = "open"
    LEASE = "lease"
    RELEASE = "release"
    SKIP = "skip"
    SNOOZE = "snooze"
    HAND_OVER = "hand_over"
    DRAW = "draw"
    VOTE = "vote"
    ADJUDICATE = "adjudicate"
    WITHDRAW = "withdraw"
    REOPEN = "reopen"
    RETURN = "return"
    REGRESS = "regress"
    APPEAL = "appeal"
    ESCALATE = "escalate"
    CLOSE = "close"


class OpenedBy(GuidedEnum):
    """What brought a turn to people."""

    USER_REPORT = "user_report", "User report", "Someone who saw the answer reported it."
    APPEAL = "appeal", "Appeal", "A user asked for a filter's action to be looked at again."
    ESCALATION = "escalation", "Escalation", "The cascade handed the turn to a person."
    ENFORCED_TRIGGER = "enforced_trigger", "Enforced trigger", "A filter fired and its decision took effect."
    TRIGGER = "trigger", "Trigger", "A filter fired, possibly without effect (shadow or annotation)."
    SAMPLE = "sample", "Random sample", "Drawn at random, so that error rates can be estimated without bias."
    GOLDEN = "golden", "Golden item", "Its verdict is known: it measures how accurately people judge."
    STRESS_TEST = "stress_test", "Stress test", "The turn answers an adversarial prompt of a suite."


class VerdictReason(GuidedEnum):
    """Why a reviewer judged as they did."""

    POLICY_VIOLATION = "policy_violation", "Policy violation", "The turn breaks the policy as it is written."
    EVASION = "evasion", "Evasion", "Harm is hidden behind role play, encoding, or an injected instruction."
    PARTIAL_HARM = (
        "partial_harm",
        "Partly harmful",
        "Some of the answer breaks the policy and some of it is fine.",
    )
    BENIGN_TOPIC = (
        "benign_topic",
        "Benign topic",
        "Words look dangerous; the subject is not (a film, a game, cooking).",
    )
    BENIGN_INTENT = (
        "benign_intent",
        "Benign intent",
        "Sensitive subject, legitimate purpose: education, news, help.",
    )
    QUOTED = (
        "quoted",
        "Quoted or fictional",
        "Harmful words are quoted, translated, or spoken by a character.",
    )
    FALSE_MATCH = (
        "false_match",
        "False match",
        "The filter matched a part of a word, a name, or another language.",
    )
    INSUFFICIENT_CONTEXT = (
        "insufficient_context",
        "Insufficient context",
        "The conversation at hand does not settle it; choose this with unsure.",
    )
    POLICY_UNCLEAR = "policy_unclear", "Policy unclear", "The policy does not say; choose this with unsure."


class EscalationReason(GuidedEnum):
    """Why a case goes to someone else."""

    IMMINENT_HARM = "imminent_harm", "Imminent harm", "A person may be in danger now."
    CHILD_SAFETY = "child_safety", "Child safety", "A child may be exploited or endangered."
    LEGAL = "legal", "Legal duty", "There may be a duty to report, to preserve evidence, or to remove."
    POLICY_UNCLEAR = (
        "policy_unclear",
        "Policy unclear",
        "The policy must be decided or changed before the case can be.",
    )
    EXPERTISE = (
        "expertise",
        "Needs expertise",
        "Language, medicine, weapons, or law beyond the reviewer's knowledge.",
    )
    WELLBEING = "wellbeing", "Reviewer wellbeing", "The reviewer should not have to work on this."
    PATTERN = "pattern", "Part of a pattern", "The same thing happens elsewhere: a filter fault or an attack."


class CloseReason(GuidedEnum):
    """Why a case needs no verdict here."""

    IMPORTED = "imported", "Judged elsewhere", "Imported verdicts settle the turn."
    ERASED = "erased", "Erased", "The person or conversation that it was about was erased."


class AlertState(GuidedEnum):
    """Where an alert stands."""

    OK = "ok", "OK", "Nothing unusual."
    PENDING = "pending", "Pending", "Breached, but not yet in as many windows as the rule asks for."
    FIRING = "firing", "Firing", "Breached in as many windows as the rule asks for."
    RECOVERING = "recovering", "Recovering", "No longer breached, but not yet for as long as the rule asks for."
    SILENCED = "silenced", "Silenced", "Someone asked not to be told until a set time; it is watched all the same."


class ProposalState(GuidedEnum):
    """Where a proposed change of a filter stands."""

    PROPOSED = "proposed", "Proposed", "Somebody asks for it; nobody has decided."
    TRIED = "tried", "Tried", "It runs in one arm of an experiment."
    ACCEPTED = "accepted", "Accepted", "It is to be deployed for everybody."
    REJECTED = "rejected", "Rejected", "It is not to be deployed."
