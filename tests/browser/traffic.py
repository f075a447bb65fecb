"""A fictional hour of traffic for the browser: refused turns to judge, and one turn that means harm."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from core.clock import isoformat, now
from core.settings import load_settings
from incidents.cases import open_cases
from incidents.people import SYSTEM
from ingest.load import load_records
from service.home import open_home

TURNS = 40
REFUSED_EVERY = 4
MEGABYTE = 1_048_576
HOSTILE = (
    "<script>window.pwned=1</script><img src=x onerror='window.pwned=1'> ![i](http://evil.example/i.png) "
    "=cmd|' /C calc'!A0 \u202etxt.exe \x1b[31m \x00 [l](javascript:alert(1)) $x^2$ :material/home: {{7*7}}"
)


def fill_home(home: Path) -> None:
    """Stores `TURNS` turns of two filters, every fourth of them refused, and the hostile ones; opens their cases."""
    at = now() - timedelta(minutes=30)
    turns = [make_turn(number, at) for number in range(TURNS)] + make_hostile_turns(at)
    checks = [check for number in range(TURNS) for check in make_checks(number, at)] + make_hostile_checks(at)
    with open_home(load_settings(home)) as opened:
        for key, records in (("model_log", turns), ("filter_log", checks)):
            load_records(opened.events, key, records, source="gateway", settings=opened.settings)
        open_cases(opened.records, opened.events, settings=opened.settings, actor=SYSTEM)


def make_turn(number: int, at: datetime) -> dict[str, Any]:
    """One turn; two turns make a conversation."""
    outcome: dict[str, Any] = {"outcome": "pass"}
    if number % REFUSED_EVERY == 0:
        outcome = {"outcome": "refusal", "final_text": f"I cannot help with that ({number})."}
    return {
        **make_ids(number, at),
        "turn_index": number % 2,
        "app": "tutor",
        "model": "atlas-2",
        "language": "en",
        "prompt": f"How do I shoot a portrait number {number} at dusk?",
        "response": f"Use a wide aperture and a slow shutter, take {number}.",
        **outcome,
    }


def make_checks(number: int, at: datetime) -> list[dict[str, Any]]:
    """The checks of one turn: a keyword list that refuses some, and a classifier that does not mind."""
    is_refused = number % REFUSED_EVERY == 0
    keyword = {
        **make_ids(number, at),
        "filter_name": "blocklist",
        "layer": "keyword",
        "triggered": is_refused,
        "decision": "block" if is_refused else "allow",
        "enforced": is_refused,
    }
    if is_refused:
        return [keyword | {"rule_id": "kw-113", "category": "violent_crimes", "matched_text": "shoot"}]
    score = {"score": 0.1 + number / 100, "threshold": 0.8, "triggered": False, "decision": "allow"}
    classifier = {**make_ids(number, at), "filter_name": "toxicity", "layer": "classifier", **score}
    return [keyword, classifier]


def make_ids(number: int, at: datetime) -> dict[str, Any]:
    """Time and identities of one turn, a second after the one before."""
    moment = isoformat(at + timedelta(seconds=number))
    return {"ts": moment, "request_id": f"r-{number:03d}", "conversation_id": f"c-{number // 2:03d}"}


def make_hostile_turns(at: datetime) -> list[dict[str, Any]]:
    """A turn whose every field attacks the reader, and one with a line of a megabyte."""
    ids = {"ts": isoformat(at), "conversation_id": f"c {HOSTILE}"}
    names = {"app": HOSTILE, "model": HOSTILE, "user_id": HOSTILE, "language": HOSTILE}
    refused = {"outcome": "refusal", "final_text": f"No. {HOSTILE}"}
    return [
        {**ids, **names, **refused, "request_id": "hostile", "prompt": HOSTILE, "response": f"Yes. {HOSTILE}"},
        {**ids, **refused, "request_id": "long", "prompt": HOSTILE + "A" * MEGABYTE, "response": "Yes."},
    ]


def make_hostile_checks(at: datetime) -> list[dict[str, Any]]:
    """Checks whose names attack the reader, one per hostile turn."""
    fired = {"triggered": True, "decision": "block", "enforced": True, "layer": "classifier", "score": 0.9}
    names = {"filter_name": HOSTILE, "rule_id": HOSTILE, "category": HOSTILE, "matched_text": HOSTILE}
    return [{"ts": isoformat(at), "request_id": request_id, **fired, **names} for request_id in ("hostile", "long")]


def append_lines(path: Path, records: Iterable[dict[str, Any]]) -> None:
    """Appends records to a log file, as a gateway would."""
    with path.open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(record) + "\n" for record in records)
