"""A case's evidence as plain values: who said what in which turn, and what each filter made of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from dashboard.text import plain
from dashboard.theme import OUTCOME_TITLES
from ingest.crosswalk import HAZARDS

ROLE_TITLES = {
    "system": "System",
    "developer": "Developer",
    "user": "User",
    "assistant": "Model",
    "tool": "Tool",
    "shown": "What the user saw",
}
# How `incidents.evidence` marks a text that it kept only in part.
_CUT = re.compile(r"\n\[cut here: ([\d,]{1,20}) of ([\d,]{1,20}) characters kept\]\Z")
CHECK_SCHEMA = {
    "Layer": pl.String,
    "Filter": pl.String,
    "Verdict": pl.String,
    "Score / threshold": pl.String,
    "Action": pl.String,
    "Category": pl.String,
}


@dataclass(frozen=True, slots=True)
class Message:
    """One logged text.

    Attributes:
        role: "user", "assistant", "system"... as logged, or "shown" for what filters made of a response.
        text: The text as kept in the case.
        total: Characters that were logged; more than those of `text` when the case keeps only its beginning.
    """

    role: str
    text: str
    total: int

    @property
    def title(self) -> str:
        """The role for a heading; a role that is not a known one is logged text, so it is not repeated."""
        return ROLE_TITLES.get(self.role, "Other")


@dataclass(frozen=True, slots=True)
class TurnView:
    """One turn of the conversation.

    Attributes:
        request_id: Identity of the turn.
        position: Place in the conversation, 1 first.
        outcome: How it ended, in words; "" when not logged.
        messages: Its texts in order.
        is_flagged: The case is about this turn.
    """

    request_id: str
    position: int
    outcome: str
    messages: tuple[Message, ...]
    is_flagged: bool


def list_turns(evidence: Mapping[str, Any], *, request_id: str) -> list[TurnView]:
    """The conversation's turns in the order that the evidence has them; `request_id` is the flagged one."""
    turns: Sequence[Mapping[str, Any]] = evidence.get("turns") or ()
    return [
        TurnView(
            request_id=str(turn["request_id"]),
            position=position,
            outcome=OUTCOME_TITLES.get(turn.get("outcome") or "") or _words(turn.get("outcome")),
            messages=tuple(_list_messages(turn)),
            is_flagged=turn["request_id"] == request_id,
        )
        for position, turn in enumerate(turns, start=1)
    ]


def _list_messages(turn: Mapping[str, Any]) -> list[Message]:
    prompt, response, shown = (turn.get(name) for name in ("prompt", "response", "final_text"))
    messages = _parse_messages(turn.get("messages"))
    if not messages and prompt:
        messages = [_build_message("user", prompt)]
    if response:
        messages.append(_build_message("assistant", response))
    if shown and shown != response:
        messages.append(_build_message("shown", shown))
    return messages


def _build_message(role: str, text: str) -> Message:
    mark = _CUT.search(text)
    if mark is None:
        return Message(role, text, len(text))
    kept = text[: mark.start()]
    return Message(role, kept, max(len(kept), int(mark[2].replace(",", "") or 0)))


def _parse_messages(logged: str | None) -> list[Message]:
    """The messages of a log that had a list; none when they were cut short or are not a list of texts."""
    try:
        items = json.loads(logged or "[]")
    except json.JSONDecodeError:
        return []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        return []
    texts = [(str(item.get("role", "user")), _content_text(item.get("content"))) for item in items]
    return [Message(role, text, len(text)) for role, text in texts]


def _content_text(content: object) -> str:
    if isinstance(content, str):
        return content
    return "" if content is None else json.dumps(content, ensure_ascii=False)


def tabulate_checks(evidence: Mapping[str, Any]) -> pl.DataFrame:
    """One row per check of the flagged turn, in cascade order (schema `CHECK_SCHEMA`)."""
    checks: Sequence[Mapping[str, Any]] = evidence.get("checks") or ()
    rows = [
        (
            _words(check.get("layer")),
            _filter_title(check),
            _verdict(check),
            _score(check),
            _action(check),
            _words(check.get("category")),
        )
        for check in checks
    ]
    return pl.DataFrame(rows, schema=CHECK_SCHEMA, orient="row")


def list_matches(evidence: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Pairs (filter, text that matched) of the checks that logged one."""
    checks: Sequence[Mapping[str, Any]] = evidence.get("checks") or ()
    return [(_filter_title(check), check["matched_text"]) for check in checks if check.get("matched_text")]


def list_reports(evidence: Mapping[str, Any]) -> list[str]:
    """One sentence per user report or appeal, without the reporter's words."""
    reports: Sequence[Mapping[str, Any]] = evidence.get("reports") or ()
    return [
        f"{_words(report.get('selection')).capitalize()}: "
        + (HAZARDS.get(report.get("category") or "") or plain(report.get("category")) or "no category named")
        for report in reports
    ]


def _filter_title(check: Mapping[str, Any]) -> str:
    name, version, rule = (check.get(key) for key in ("filter_name", "filter_version", "rule_id"))
    title = f"{name}@{version}" if version else str(name)
    return plain(f"{title} {rule}" if rule else title)


def _verdict(check: Mapping[str, Any]) -> str:
    status = check.get("status")
    if status == "error":
        return "failed"
    if status == "not_run":
        return "not run"
    triggered = check.get("triggered")
    if triggered is None:
        return "no verdict"
    return "triggered" if triggered else "clear"


def _score(check: Mapping[str, Any]) -> str:
    score, threshold = check.get("score"), check.get("threshold")
    if score is None:
        return ""
    return f"{score:.3g}" if threshold is None else f"{score:.3g} / {threshold:.3g}"


def _action(check: Mapping[str, Any]) -> str:
    decision = check.get("decision") or ""
    if check.get("mode") == "shadow":
        return f"{decision} (shadow)".strip()
    if decision not in ("", "allow", "skipped", "error") and not check.get("enforced"):
        return f"{decision} (no effect)"
    return str(decision)


def _words(value: str | None) -> str:
    return plain((value or "").replace("_", " "))
