"""One run of the loop: train, decide in shadow over held-out traffic, ingest that log, report before and after."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core.clock import now
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.exports.files import to_lines
from incidents.loop.heldout import find_stage, read_heldout
from incidents.loop.measure import Verdict, decide, judge, measure, read_sample
from incidents.loop.training import KEEP, Classifier, Stage, TrainingSet, read_training_set, train
from incidents.people import Actor, Role
from ingest.batch import IngestSummary
from ingest.files import ingest_paths
from metrics.query import Query

NAME = "weir-loop"
"""Filter and source under which the classifier's decisions are stored."""

_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class LoopResult:
    """What a run did and found.

    Attributes:
        training: rows, harmful, benign, sha256 of the training file.
        candidate: `filter_name@version`, as `weir report shadow --pair` takes it.
        stage: What the classifier reads.
        threshold: From which score it fires.
        heldout: turns, and `excluded` turns by reason.
        counts: On all held-out turns, judged or not: what the rule stopped, and how many of those the second opinion
            `kept` and `released`; what the classifier `fired_elsewhere` on.
        reviewed: Held-out turns with a verdict from a random sample, on which the rates rest.
        rows: As `measure.measure`.
        verdicts: As `measure.judge`.
        log: The filter log that was written.
        ingest: What became of it.
    """

    training: dict[str, Any]
    candidate: str
    stage: str
    threshold: float
    heldout: dict[str, Any]
    counts: dict[str, int]
    reviewed: int
    rows: list[dict[str, Any]]
    verdicts: list[Verdict]
    log: Path
    ingest: IngestSummary

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        return {
            "training": self.training,
            "candidate": self.candidate,
            "stage": self.stage,
            "threshold": self.threshold,
            "heldout": self.heldout,
            "counts": self.counts,
            "reviewed": self.reviewed,
            "rows": self.rows,
            "verdicts": [asdict(verdict) for verdict in self.verdicts],
            "log": str(self.log),
            "ingest": self.ingest.to_json(),
        }


def run_loop(
    events: EventStore,
    records: RecordStore,
    folder: Path,
    query: Query,
    *,
    settings: Settings,
    actor: Actor,
    keep: float = KEEP,
    on_progress: Callable[[str, float], None] | None = None,
) -> LoopResult:
    """Trains on the split `train` of a `classifier` set and measures it where the rule decided.

    The log is written to `loop/` in the home and ingested like any other; it runs in shadow, so that no figure about
    enforced filters changes. The same set and store give the same log, which a second run does not store again.

    Args:
        events: Traffic and verdicts; the votes have been mirrored.
        records: Holds the audit.
        folder: The feedback set.
        query: Window, and filters that name the rule.
        settings: The home's.
        actor: Who asks.
        keep: As in `training.train`.
        on_progress: Called with what is being done and the share done.

    Raises:
        AccessError: The actor is no lead.
        UsageError, NotFoundError, ExportError: As `find_stage`, `read_training_set` and `train`.
    """
    actor.require(Role.LEAD)
    report = on_progress or (lambda _step, _share: None)
    stage = find_stage(events, query)
    report("training", 0.0)
    training = read_training_set(folder, stage=stage)
    classifier = train(training, stage=stage, keep=keep)
    report("deciding", 0.5)
    heldout = read_heldout(events, query, known=training.request_ids)
    turns = _classify(classifier, heldout.turns, stage)
    report("storing", 0.7)
    log = settings.home / "loop" / f"{NAME}-{classifier.version}.jsonl"
    _write(log, to_lines(_render(turns, classifier, stage)))
    with change(records, actor=actor, at=now()) as current:
        facts = {
            "turns": turns.height,
            "set_sha256": training.digest,
            "filters": [list(pair) for pair in query.filters],
        }
        current.record("loop.run", f"{NAME}@{classifier.version}", facts)
    summary = ingest_paths(events, [log], settings=settings, format_key="filter_log", source=NAME)
    report("measuring", 0.9)
    decided = decide(turns)
    sample = read_sample(events, decided)
    rows = measure(sample, query)
    return LoopResult(
        training=_describe(training),
        candidate=f"{NAME}@{classifier.version}",
        stage=stage,
        threshold=classifier.threshold,
        heldout={"turns": turns.height, "excluded": heldout.excluded},
        counts=_count(decided),
        reviewed=sample.filter(pl.col("group") == 0).height,
        rows=rows,
        verdicts=judge(rows),
        log=log,
        ingest=summary,
    )


def _classify(classifier: Classifier, turns: pl.DataFrame, stage: Stage) -> pl.DataFrame:
    """`turns` with `score` and `candidate_fired`."""
    text = pl.format("user: {}", "prompt") + pl.coalesce(pl.format("\n\nassistant: {}", "response"), pl.lit(""))
    texts = turns.select(pl.col("prompt") if stage == "input" else text).to_series()
    parts = [classifier.score(texts[start : start + _BATCH].to_list()) for start in range(0, len(texts), _BATCH)]
    scored = turns.with_columns(score=pl.Series(np.concatenate([np.zeros(0), *parts])))
    return scored.with_columns(candidate_fired=pl.col("score") >= classifier.threshold)


def _render(turns: pl.DataFrame, classifier: Classifier, stage: Stage) -> pl.DataFrame:
    """The filter log: what the classifier would do, without effect. Its time is the turn's, so that a replay is known."""
    fired = pl.col("candidate_fired")
    return turns.select(
        pl.col("ts").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
        "request_id",
        "conversation_id",
        layer=pl.lit("classifier"),
        stage=pl.lit(stage),
        filter_name=pl.lit(NAME),
        filter_version=pl.lit(classifier.version),
        score="score",
        threshold=pl.lit(classifier.threshold),
        triggered=fired,
        decision=pl.when(fired).then(pl.lit("block")).otherwise(pl.lit("allow")),
        enforced=pl.lit(value=False),
        mode=pl.lit("shadow"),
    )


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as part:
        part.write(content)
    Path(part.name).replace(path)


def _describe(training: TrainingSet) -> dict[str, Any]:
    harmful = int(training.is_harmful.sum())
    rows = len(training.texts)
    return {"rows": rows, "harmful": harmful, "benign": rows - harmful, "sha256": training.digest}


def _count(decided: pl.DataFrame) -> dict[str, int]:
    rule, candidate = pl.col("rule_fired"), pl.col("candidate_fired")
    counts = decided.select(
        rule_stopped=rule.sum(),
        kept=(rule & candidate).sum(),
        released=(rule & ~candidate).sum(),
        fired_elsewhere=(~rule & candidate).sum(),
    )
    return {name: int(count) for name, count in counts.row(0, named=True).items()}
