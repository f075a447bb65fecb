"""Writes `sample_logs/`: small files of each format, telling one day. `python -m ingest.demo.samples DIR`."""

from __future__ import annotations

import gzip
import io
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl
import zstandard

from ingest.demo.day import BLOCKED, DATE, TURNS, Turn
from ingest.demo.evaluations import write_archive, write_records

Record: TypeAlias = dict[str, Any]

_MODEL, _CLASSIFIER_VERSION, _RULESET = "aurora-2-mini", "1.4", "12"
_MODERATION = {"harassment": "harassment", "violence": "violence", "hate": "hate", "self-harm": "self-harm"}
_FAILED = 30
# Filter log rows move through the file types with the day, so that no file repeats another.
_FILTER_FILES = {
    "filter_log.jsonl": ("00:00", "11:00"),
    "filter_log.csv": ("11:00", "13:00"),
    "filter_log.parquet": ("13:00", "15:00"),
    "filter_log.jsonl.gz": ("15:00", "17:00"),
    "filter_log.jsonl.zst": ("17:00", "24:00"),
}
_FILTER_COLUMNS = (
    "ts request_id conversation_id turn_index layer stage filter_name filter_version rule_id category score threshold "
    "triggered decision enforced mode latency_ms outcome error matched_text user_id model"
)


def write_samples(folder: Path) -> list[Path]:
    """Writes every sample file into `folder`; same content each time.

    Returns:
        The files, in the order of the table in `sample_logs/README.md`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    morning = [turn for turn in TURNS if turn.time < "13:00"]
    afternoon = [turn for turn in TURNS if turn.time >= "13:00"]
    files = {
        "model_log.jsonl": _to_jsonl([_model_record(turn) for turn in TURNS]),
        **{name: _pack(name, _filter_records(*span)) for name, span in _FILTER_FILES.items()},
        "openai_moderation.jsonl": _to_jsonl([_moderation_record(turn) for turn in morning]),
        "openai_moderation.json": _to_array([_moderation_record(turn) for turn in afternoon]),
        "llama_guard.jsonl": _to_jsonl([_guard_record(turn) for turn in TURNS if turn.response]),
        "perspective.jsonl": _to_jsonl([_perspective_record(turn) for turn in afternoon]),
        "label_log.jsonl": _to_jsonl([record for turn in TURNS for record in _label_records(turn)]),
        "inspect_ai.eval": write_archive(),
        "inspect_ai.jsonl": _to_jsonl(write_records()),
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in files]


def _to_jsonl(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def _to_array(records: Sequence[Record]) -> bytes:
    return ("[\n" + ",\n".join(json.dumps(record, ensure_ascii=False) for record in records) + "\n]\n").encode()


def _pack(name: str, records: Sequence[Record]) -> bytes:
    """`records` in the file type that `name` ends with."""
    if name.endswith(".gz"):
        return gzip.compress(_to_jsonl(records), mtime=0)
    if name.endswith(".zst"):
        return zstandard.ZstdCompressor().compress(_to_jsonl(records))
    if name.endswith(".jsonl"):
        return _to_jsonl(records)
    frame = pl.DataFrame(records, infer_schema_length=None)
    if name.endswith(".csv"):
        return frame.write_csv().encode()
    target = io.BytesIO()
    frame.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ", time_unit="us")).write_parquet(target)
    return target.getvalue()


def _ids(turn: Turn) -> Record:
    return {"request_id": f"lib-{turn.number:03d}", "conversation_id": f"libc-{turn.conversation:02d}"}


def _ts(turn: Turn, after_ms: int) -> str:
    """The turn's time and some milliseconds, below a second."""
    return f"{DATE}T{turn.time}.{after_ms:03d}Z"


def _user(turn: Turn) -> str:
    return f"u-{turn.conversation:02d}"


def _is_toxic(turn: Turn) -> bool:
    return turn.toxicity is not None and turn.toxicity >= 0.8


def _outcome(turn: Turn) -> str:
    if (turn.word and turn.word.decision == "block") or _is_toxic(turn):
        return "refusal"
    if turn.number == _FAILED:
        return "error"
    if turn.refined:
        return "modified" if turn.refined[0] == "modify" else "human_escalation"
    return "pass"


def _model_record(turn: Turn) -> Record:
    outcome = _outcome(turn)
    final_text = BLOCKED if outcome == "refusal" else turn.refined[1] if turn.refined else None
    return {
        "ts": _ts(turn, 0),
        **_ids(turn),
        "turn_index": turn.index,
        "model": _MODEL,
        "app": "library-chat",
        "user_id": _user(turn),
        "language": turn.language,
        "prompt": turn.prompt,
        "response": turn.response,
        "final_text": final_text,
        "outcome": outcome,
        "finish_reason": "error" if outcome == "error" else "stop",
        "latency_ms": 420.0 + 10 * turn.number,
    }


def _filter_records(since: str, until: str) -> list[Record]:
    """Rows of the blocklist, the classifier and, where it ran, the refining layer."""
    return [record for turn in TURNS if since <= turn.time < until for record in _turn_checks(turn)]


def _turn_checks(turn: Turn) -> list[Record]:
    common = {**_ids(turn), "turn_index": turn.index, "mode": "enforce", "user_id": _user(turn), "model": _MODEL}
    word = turn.word
    records: list[Record] = [
        {
            "ts": _ts(turn, 1),
            "layer": "keyword",
            "stage": "input",
            "filter_name": "word-list",
            "filter_version": _RULESET,
            "rule_id": word.rule if word else None,
            "category": word.category if word else None,
            "triggered": word is not None,
            "decision": word.decision if word else "allow",
            "enforced": word is not None and word.decision == "block",
            "matched_text": word.text if word else None,
            "latency_ms": 0.3,
        }
    ]
    if word is None or word.decision != "block":
        failed, toxic = turn.toxicity is None, _is_toxic(turn)
        records.append(
            {
                "ts": _ts(turn, 3),
                "layer": "classifier",
                "stage": "input",
                "filter_name": "tox-clf",
                "filter_version": _CLASSIFIER_VERSION,
                "category": None if failed else turn.category,
                "score": turn.toxicity,
                "threshold": 0.8,
                "triggered": None if failed else toxic,
                "decision": "error" if failed else "block" if toxic else "allow",
                "enforced": toxic,
                "error": "timeout" if failed else None,
                "latency_ms": 500.0 if failed else 20.0 + turn.number,
            }
        )
    if turn.refined:
        records.append(
            {
                "ts": _ts(turn, 700),
                "layer": "refinement",
                "stage": "output",
                "filter_name": "house-rules",
                "filter_version": "3",
                "rule_id": "rule-privacy" if turn.refined[0] == "modify" else "rule-care",
                "category": turn.category,
                "triggered": True,
                "decision": turn.refined[0],
                "enforced": True,
                "latency_ms": 310.0,
            }
        )
    records[-1]["outcome"] = _outcome(turn)
    return [{name: (common | record).get(name) for name in _FILTER_COLUMNS.split()} for record in records]


def _moderation_record(turn: Turn) -> Record:
    """A request and response of the moderation endpoint; a score from 0.5 on counts as flagged here."""
    names = (
        "harassment",
        "harassment/threatening",
        "hate",
        "hate/threatening",
        "illicit",
        "illicit/violent",
        "self-harm",
        "self-harm/intent",
        "self-harm/instructions",
        "sexual",
        "sexual/minors",
        "violence",
        "violence/graphic",
    )
    top = _MODERATION.get(turn.category)
    scores = dict.fromkeys(names, 0.0001)
    if top:
        # This provider is the more careful one about self-harm.
        scores[top] = round(min(0.99, (turn.toxicity or 0.02) * (2 if top == "self-harm" else 0.95)), 4)
    categories = {name: score >= 0.5 for name, score in scores.items()}
    return {
        "timestamp": _ts(turn, 150),
        **_ids(turn),
        "direction": "input",
        "latency_ms": 150 + turn.number,
        "request": {"model": "omni-moderation-latest", "input": turn.prompt},
        "response": {
            "id": f"modr-lib-{turn.number:03d}",
            "model": "omni-moderation-2024-09-26",
            "results": [{"flagged": any(categories.values()), "categories": categories, "category_scores": scores}],
        },
    }


def _guard_record(turn: Turn) -> Record:
    unsafe = "unsafe" in turn.guard
    return {
        "timestamp": _ts(turn, 650),
        **_ids(turn),
        "model": "meta-llama/Llama-Guard-3-8B",
        "role_checked": "Agent",
        "input": [{"role": "user", "content": turn.prompt}, {"role": "assistant", "content": turn.response}],
        "output": turn.guard,
        "unsafe_prob": 0.93 if unsafe else 0.01,
        "latency_ms": 180 + turn.number,
    }


def _perspective_record(turn: Turn) -> Record:
    """A request with thresholds, so that attributes below theirs are absent; Portuguese has no THREAT here."""
    asked = {"TOXICITY": {"scoreThreshold": 0.5}, "INSULT": {"scoreThreshold": 0.5}}
    response: Record = {"attributeScores": {}, "languages": [turn.language], "clientToken": f"lib-{turn.number:03d}"}
    if turn.language == "pt":
        asked["THREAT"] = {"scoreThreshold": 0.5}
        message = "Attribute THREAT does not support request languages: pt"
        details = [{"errorType": "LANGUAGE_NOT_SUPPORTED_BY_ATTRIBUTE"}]
        response = {"error": {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": details}}
    else:
        for name, factor in (("TOXICITY", 1.0), ("INSULT", 0.8)):
            value = round((turn.toxicity or 0.0) * factor, 4)
            if value >= 0.5:
                response["attributeScores"][name] = {"summaryScore": {"value": value, "type": "PROBABILITY"}}
    return {
        "timestamp": _ts(turn, 90),
        **_ids(turn),
        "direction": "input",
        "latency_ms": 80 + turn.number,
        "request": {
            "comment": {"text": turn.prompt},
            "languages": [turn.language],
            "requestedAttributes": asked,
            "clientToken": f"lib-{turn.number:03d}",
        },
        "response": response,
    }


def _stratum(turn: Turn) -> str:
    return "stopped" if _outcome(turn) == "refusal" else "refined" if turn.refined else "passed"


def _inclusion_probability(stratum: str) -> float:
    """Drawn turns of the stratum over all of them."""
    turns = [turn for turn in TURNS if _stratum(turn) == stratum]
    return sum(any(vote.selection == "sample" for vote in turn.votes) for turn in turns) / len(turns)


def _label_records(turn: Turn) -> list[Record]:
    stratum = _stratum(turn)
    return [
        {
            "ts": f"2026-03-03T{8 + position:02d}:{turn.number:02d}:00Z",
            **_ids(turn),
            "reviewer": vote.reviewer,
            "harmful": vote.harmful,
            "category": vote.category,
            "severity": vote.severity,
            "reason": vote.reason,
            "revision": vote.revision,
            "critique": vote.critique,
            "selection": vote.selection,
            "stratum": stratum if vote.selection == "sample" else None,
            "inclusion_probability": _inclusion_probability(stratum) if vote.selection == "sample" else None,
            "guideline_version": None if vote.reviewer.startswith("user:") else "g-1",
        }
        for position, vote in enumerate(turn.votes)
    ]


if __name__ == "__main__":
    for written in write_samples(Path(sys.argv[1])):
        sys.stdout.write(f"{written}\n")
