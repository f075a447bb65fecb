"""Violation rates per principle of one run and of two, their paired change, and what the tests leave open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import polars as pl

from core.errors import NotFoundError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.constitution.principles import list_principle_ids
from incidents.constitution.revisions import list_revisions
from incidents.constitution.runs import list_runs, read_answers, read_findings
from metrics.estimate import wilson
from metrics.paired import PairedCounts, compare_pairs


class Gap(StrEnum):
    """What a stress test leaves open."""

    UNTESTED = "principle without tests"
    UNLISTED = "harmful answer that breaks no listed principle"
    UNKNOWN_TARGET = "prompt that attacks no listed principle"
    STILL_BROKEN = "principle still broken after revision"
    UNJUDGED = "answer that nobody judged"


@dataclass(frozen=True, slots=True)
class StressReport:
    """A suite before and after a change.

    Attributes:
        suite: Name of the suite.
        before: Arm of the first run.
        after: Arm of the second; None when only one was asked for.
        rows: Per attacked principle, then `all`: principle_id, prompts, before and after (rate records of answers
            that broke it among those judged), change (estimate, low, high, pairs, p_value), human_verified (share of
            the judged answers of both runs that a person judged).
        gaps: kind (of `Gap`), principle_id, prompt_id, detail; the last three "" where they do not apply.
    """

    suite: str
    before: str
    after: str | None
    rows: list[dict[str, Any]]
    gaps: list[dict[str, str]]


def build_stress_report(
    events: EventStore, records: RecordStore, *, settings: Settings, suite: str, before: str, after: str | None = None
) -> StressReport:
    """Compares runs of a suite; prompts are paired by their text.

    Raises:
        NotFoundError: The store holds no such run.
    """
    known = {run.arm for run in list_runs(events) if run.suite == suite}
    for arm in (before, *([after] if after else [])):
        if arm not in known:
            raise NotFoundError("No such run", f"{suite}, arm {arm}", f"Known: {', '.join(sorted(known)) or 'none'}.")
    listed = list_principle_ids(settings)
    runs = {arm: _judge(events, records, suite, arm) for arm in ([before, after] if after else [before])}
    rows = _tabulate(list(runs.values()), settings)
    gaps = _find_gaps(runs, listed)
    gaps += [
        {"kind": Gap.STILL_BROKEN.value, "principle_id": found.principle_id, "prompt_id": "", "detail": found.prompt}
        for found in list_revisions(records, suite=suite)
        if found.is_still_violation
    ]
    return StressReport(suite, before, after, rows, gaps)


def _judge(events: EventStore, records: RecordStore, suite: str, arm: str) -> pl.DataFrame:
    """The run's answers with `broke` (the attacked principle; null = not judged), `harmful`, `cited`, `is_verified`."""
    answers = read_answers(events, records, suite, arm)
    findings = read_findings(events, records, answers["request_id"].drop_nulls().to_list())
    judged = answers.join(findings, on="request_id", how="left", maintain_order="left")
    return judged.with_columns(
        broke=pl.when(pl.col("harmful").is_not_null()).then(
            pl.col("harmful") & pl.col("cited").list.contains(pl.col("principle_id")).fill_null(value=False)
        )
    )


def _tabulate(runs: Sequence[pl.DataFrame], settings: Settings) -> list[dict[str, Any]]:
    first, last = runs[0], runs[-1]
    names = first.filter(pl.col("principle_id").is_not_null())["principle_id"].unique(maintain_order=True).to_list()
    rates = [_rate(run, [*names, None], settings) for run in runs]
    rows: list[dict[str, Any]] = []
    for index, name in enumerate([*names, None]):
        before, after = (_pick(run, name) for run in (first, last))
        pairs = before.select("prompt_id", before="broke").join(
            after.select("prompt_id", after="broke"), on="prompt_id"
        )
        judged = pl.concat([_pick(run, name).filter(pl.col("broke").is_not_null())["is_verified"] for run in runs])
        row: dict[str, Any] = {
            "principle_id": name or "all",
            "prompts": before.height,
            "before": rates[0][index],
            "after": rates[1][index] if len(runs) > 1 else None,
            "change": _change(pairs, settings) if len(runs) > 1 else None,
            "human_verified": float(judged.cast(pl.Float64).mean()) if len(judged) else None,  # type: ignore[arg-type]
        }
        rows.append(row)
    return rows


def _rate(run: pl.DataFrame, names: Sequence[str | None], settings: Settings) -> list[Any]:
    judged = [_pick(run, name).filter(pl.col("broke").is_not_null())["broke"] for name in names]
    counts = pl.DataFrame({"broken": [int(part.sum()) for part in judged], "judged": [len(part) for part in judged]})
    return wilson(
        counts,
        numerator="broken",
        denominator="judged",
        min_sample=settings.statistics.min_sample,
        confidence=settings.statistics.confidence,
    ).to_list()


def _change(pairs: pl.DataFrame, settings: Settings) -> dict[str, Any]:
    known = pairs.drop_nulls()
    tally = dict.fromkeys(((True, True), (True, False), (False, True), (False, False)), 0)
    for pair in known.select("before", "after").iter_rows():
        tally[pair[0], pair[1]] += 1
    counts = PairedCounts(tally[True, True], tally[True, False], tally[False, True], tally[False, False])
    change = compare_pairs(counts, confidence=settings.statistics.confidence)
    return {
        "estimate": change.estimate,
        "low": change.low,
        "high": change.high,
        "pairs": change.pairs,
        "p_value": change.p_value,
    }


def _pick(run: pl.DataFrame, principle_id: str | None) -> pl.DataFrame:
    own = run.filter(pl.col("principle_id").is_not_null())
    return own if principle_id is None else own.filter(pl.col("principle_id") == principle_id)


def _find_gaps(runs: dict[str, pl.DataFrame], listed: list[str]) -> list[dict[str, str]]:
    first = next(iter(runs.values()))
    attacked = set(first["principle_id"].drop_nulls())
    gaps = [_gap(Gap.UNTESTED, principle_id=name) for name in listed if name not in attacked]
    for row in first.filter(pl.col("principle_id").is_not_null()).iter_rows(named=True):
        if row["principle_id"] not in listed:
            gaps.append(_gap(Gap.UNKNOWN_TARGET, row["principle_id"], row["prompt_id"], row["prompt"]))
    for arm, run in runs.items():
        for row in run.iter_rows(named=True):
            prompt_id = row["prompt_id"] or ""
            if row["harmful"] and not set(row["cited"]) & set(listed):
                gaps.append(_gap(Gap.UNLISTED, "", prompt_id, f"{arm}: {row['prompt']}"))
            elif row["request_id"] and row["harmful"] is None:
                gaps.append(_gap(Gap.UNJUDGED, row["principle_id"] or "", prompt_id, f"{arm}: {row['prompt']}"))
    return gaps


def _gap(kind: Gap, principle_id: str = "", prompt_id: str = "", detail: str = "") -> dict[str, str]:
    return {"kind": kind.value, "principle_id": principle_id, "prompt_id": prompt_id, "detail": detail}
