"""Closed sets of incidents; each member carries a sentence that says when to choose it."""

from __future__ import annotations

from enum import StrEnum

from incidents.enums import GuidedEnum


class IncidentState(GuidedEnum):
    """Where an incident stands."""

    NEW = "new", "New", "Nobody has taken it up yet."
    TRIAGED = "triaged", "Triaged", "It is real, rated, and has an owner; work has not begun."
    ACTIVE = "active", "Active", "People work on it and users may still be affected."
    STABLE = "stable", "Stable", "Users are no longer affected; cause and lessons are open."
    CLOSED = "closed", "Closed", "Nothing is left to do but the follow-ups."


class IncidentAction(GuidedEnum):
    """What can happen to an incident."""

    OPEN = "open", "Open", "Begins an incident, from an alert, a case or by hand."
    ACKNOWLEDGE = "acknowledge", "Acknowledge", "You look at it: the escalation clock stops."
    TRIAGE = "triage", "Triage", "It is real: rate it and give it an owner."
    START = "start", "Start work", "Users may be affected: say what is happening."
    STABILISE = "stabilise", "Stabilise", "Users are no longer affected: say what was done."
    RESUME = "resume", "Resume", "It came back before it was closed."
    CLOSE = "close", "Close", "The cause is known and what is left are follow-ups."
    DISMISS = "dismiss", "Dismiss", "It is no incident."
    REGRESS = "regress", "Reopen", "It happened again after it was closed; the clocks start anew."
    RATE = "rate", "Change severity", "It is graver, or less grave, than it was thought to be."
    ASSIGN = "assign", "Assign", "Somebody takes on a duty."
    NOTE = "note", "Note", "Something that colleagues should know."
    DESCRIBE = "describe", "Describe", "Fills in a section of the postmortem or of an outward report."
    LINK = "link", "Link", "Ties a case, an alert, a filter or a rule to it."
    UNLINK = "unlink", "Unlink", "The tie was a mistake."
    ESCALATE = "escalate", "Escalate", "Nobody took it up in time: the next person is told."
    ADD_FOLLOW_UP = "add_follow_up", "Add follow-up", "Work that remains after the incident, with an owner and a date."
    FINISH_FOLLOW_UP = "finish_follow_up", "Finish follow-up", "The work is done."
    MARK_SERIOUS = "mark_serious", "Mark as possibly serious", "A duty to report may exist: its clock runs."
    UNMARK_SERIOUS = "unmark_serious", "Not serious after all", "No duty to report exists; say why."
    REPORT = "report", "Report made", "An outward report was exported."
    REMIND = "remind", "Reminder", "The report is due soon, or late: who answers for it is told."


class Severity(GuidedEnum):
    """How grave an incident is, mildest first; stored as its rank, 1 to 4."""

    LOW = "low", "Low", "Annoying; few users, nothing harmful went out, nothing urgent was stopped."
    MEDIUM = "medium", "Medium", "Many users are blocked wrongly, or a filter misses what others still catch."
    HIGH = "high", "High", "Harmful answers reach users, or a layer of the cascade is down."
    CRITICAL = "critical", "Critical", "People may be in danger, or the whole cascade fails open."

    @property
    def rank(self) -> int:
        """1 (low) to 4 (critical)."""
        return list(Severity).index(self) + 1

    @classmethod
    def of_rank(cls, rank: int) -> Severity:
        """The severity of a rank, 1 to 4."""
        return list(cls)[rank - 1]


class Resolution(GuidedEnum):
    """How an incident ended."""

    FILTER_CHANGED = "filter_changed", "Filter changed", "A rule, threshold or list was corrected."
    ROLLED_BACK = "rolled_back", "Rolled back", "A version was withdrawn."
    RETRAINED = "retrained", "Retrained", "A filter or model was trained on the decisions of this incident."
    POLICY_CHANGED = "policy_changed", "Policy changed", "What counts as harmful was decided anew."
    OUTSIDE = "outside", "Fixed outside", "The cause lay with a provider, a network or an attacker and has ended."
    ACCEPTED = "accepted", "Accepted", "The cause is known and stays: its harm is smaller than that of any remedy."


class Dismissal(GuidedEnum):
    """Why something is no incident."""

    FALSE_ALARM = "false_alarm", "False alarm", "What the alert or person saw did not happen."
    EXPECTED = "expected", "Expected", "It happened on purpose: a test, a launch, a planned change."
    DUPLICATE = "duplicate", "Duplicate", "Another incident covers it; name it in the reason."


class Duty(GuidedEnum):
    """What a person does in an incident."""

    OWNER = "owner", "Owner", "Answers for the incident from triage to the last follow-up."
    COMMANDER = "commander", "Commander", "Decides what is done next while it is active."
    SCRIBE = "scribe", "Scribe", "Keeps the timeline, so that the others can act."
    COMMS = "comms", "Communications", "Speaks to users, leadership and authorities."


class Source(GuidedEnum):
    """What an incident was opened from."""

    ALERT = "alert", "From an alert", "A rule over the filters fired."
    CASE = "case", "From a case", "A reviewer saw more than one turn's problem."
    HAND = "hand", "By hand", "Somebody noticed it elsewhere."


class LinkKind(GuidedEnum):
    """What can be tied to an incident."""

    ALERT = "alert", "Alert", "An alert of Weir."
    CASE = "case", "Case", "A case of the triage queue."
    FILTER = "filter", "Filter", "A filter that is at fault or affected."
    RULE = "rule", "Rule", "A rule of that filter."


class Section(GuidedEnum):
    """What people write about an incident; the first five make the postmortem, the others an outward report."""

    SUMMARY = "summary", "Summary", "What happened, in two sentences that a director understands."
    DETECTION = "detection", "Detection", "How it was noticed, and what should have noticed it earlier."
    CAUSE = "cause", "Cause", "Why it happened: conditions, not culprits."
    MITIGATION = "mitigation", "Mitigation", "What stopped the harm."
    LESSONS = "lessons", "Lessons", "What went well, what did not, where we were lucky."
    HARM = "harm", "Harm", "Who was or may have been harmed, and how."
    SYSTEM = "system", "AI system", "Name, version and registration of the AI system concerned."
    PROVIDER = "provider", "Provider", "Name and contact of the provider who must report."
    AUTHORITY = "authority", "Authority", "Market surveillance authority of the Member State where it occurred."
    CAUSAL_LINK = "causal_link", "Causal link", "Why the AI system did, or may have, led to the harm."
    CORRECTIVE_ACTION = (
        "corrective_action",
        "Corrective action",
        "Risk assessment, and what is done so that it does not recur.",
    )


class ReportKind(StrEnum):
    """The two outward reports of a possibly serious incident."""

    INITIAL = "initial"
    FOLLOW_UP = "follow-up"
