"""Two filters, or two versions of one, on the same turns: where they differ, and who people side with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import ibis
import numpy as np
import polars as pl
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from core.errors import UsageError
from metrics.estimate import MEASURE, RATE
from metrics.events import checks, fetch
from metrics.paired import PairedCounts, compare_pairs
from metrics.query import TURN_DIMENSIONS, Query
from metrics.reliability import cohen_kappa
from metrics.report import Report
from metrics.reviews import add_conversation, complete_design, fetch_verdicts, keep_labelled
from metrics.survey import Ratio, estimate_rates

_SIDES = ("reference", "candidate")
_CELLS = ("both", "only_reference", "only_candidate", "neither")
_COMPARISON: dict[str, pl.DataType] = {
    "p_value": pl.Float64(),
    "difference": MEASURE,
    "cohen_kappa": pl.Float64(),
    "candidate_right": RATE,
    "verdict": pl.String(),
}


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """The paired table of every reference and candidate, a row per group; no row where nothing is paired.

    Raises:
        UsageError: A filter names a mode or version, which is what is compared.
    """
    sides = _sides(backend, query)
    pairs = _join(*sides)
    keys = [*query.by, *_SIDES]
    rows = fetch(backend, _tally(pairs, keys)).sort(keys, nulls_last=True)
    totals = [
        fetch(backend, side.group_by(*query.by, "pairing", name).agg(**{f"{name}_turns": side.count()}))
        for name, side in zip(_SIDES, sides, strict=True)
    ]
    for name, total in zip(_SIDES, totals, strict=True):
        rows = rows.join(total, on=[*query.by, "pairing", name], how="left", nulls_equal=True, maintain_order="left")
    rights = _candidate_right(backend, query, pairs, rows.select(keys))
    compared = [
        _compare(PairedCounts(*row), right, query)
        for row, right in zip(rows.select(_CELLS).rows(), rights, strict=True)
    ]
    unpaired = pl.col("reference_turns") + pl.col("candidate_turns") - 2 * pl.col("pairs")
    return pl.concat(
        [
            rows.select(*keys, "pairs", *_CELLS),
            pl.DataFrame(compared, schema=_COMPARISON),
            rows.select(unpaired=unpaired),
        ],
        how="horizontal",
    )


def list_disagreements(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Turns of the query's window that reference and candidate decided differently.

    Returns:
        request_id, reference, candidate (each `filter_name@version`), candidate_fired (else only the reference did).
    """
    pairs = _join(*_sides(backend, replace(query, by=())))
    apart = pairs.filter(pairs.reference_fired != pairs.candidate_fired)
    return fetch(backend, apart.select("request_id", "reference", "candidate", "candidate_fired")).sort("request_id")


def remark(_backend: BaseBackend, _query: Query) -> list[str]:
    """What decides the verdict."""
    return [
        "The verdict rests on reviewed disagreements: promote when the interval of candidate_right lies above one half, "
        "reject when below, else hold. Only disagreements need review."
    ]


def _sides(backend: BaseBackend, query: Query) -> tuple[Table, Table]:
    """Decided turns of the reference and of the candidate: by columns, request_id, pairing, its name, whether it fired."""
    if query.of("mode", "filter_version"):
        raise UsageError(
            "A comparison names its two sides itself", "mode or filter_version", "Name two with --pair instead."
        )
    if query.pair is None:
        return (
            _side(backend, replace(query, filters=(*query.filters, ("mode", "enforce"))), "reference"),
            _side(backend, replace(query, filters=(*query.filters, ("mode", "shadow"))), "candidate"),
        )
    first, second = (
        _side(backend, replace(query, filters=(*query.without("filter_name"), *_parse(name))), side).mutate(
            pairing=ibis.literal("named")
        )
        for name, side in zip(query.pair, _SIDES, strict=True)
    )
    return first, second


def _parse(name: str) -> tuple[tuple[str, str], ...]:
    filter_name, at, version = name.rpartition("@")
    if not at:
        return (("filter_name", name),)
    return (("filter_name", filter_name), ("filter_version", version))


def _side(backend: BaseBackend, query: Query, name: str) -> Table:
    table = checks(backend, query)
    table = table.filter(table.status == "ok", table.triggered.notnull(), table.filter_name.notnull())
    version = ibis.ifelse(table.filter_version.isnull(), "", ibis.literal("@") + table.filter_version)
    table = table.mutate(pairing=table.filter_name, **{name: table.filter_name + version})
    fired = f"{name}_fired"
    return table.group_by(*query.by, "request_id", "pairing", name).agg(
        **{fired: table.triggered.cast("int8").max() == 1}
    )


def _join(reference: Table, candidate: Table) -> Table:
    other = candidate.select("request_id", "pairing", "candidate", "candidate_fired")
    joined = reference.inner_join(other, ["request_id", "pairing"])
    return joined.filter(joined.reference != joined.candidate)


def _tally(pairs: Table, keys: list[str]) -> Table:
    one, other = pairs.reference_fired, pairs.candidate_fired
    cells = {
        "both": one & other,
        "only_reference": one & ~other,
        "only_candidate": ~one & other,
        "neither": ~one & ~other,
    }
    return pairs.group_by(*keys, "pairing").agg(
        pairs=pairs.count(), **{name: flag.cast("int64").sum().cast("int64") for name, flag in cells.items()}
    )


def _candidate_right(backend: BaseBackend, query: Query, pairs: Table, keys: pl.DataFrame) -> list[Any]:
    """Per row of `keys`, the share of reviewed disagreements in which people side with the candidate."""
    apart = keep_labelled(backend, pairs.filter(pairs.reference_fired != pairs.candidate_fired))
    verdicts = fetch_verdicts(backend).filter(
        pl.col("judged_filter").is_null(), pl.col("inclusion_probability").is_not_null()
    )
    numbered = keys.with_columns(group=pl.int_range(pl.len(), dtype=pl.Int64))
    sample = (
        fetch(backend, add_conversation(backend, apart, query))
        .join(verdicts, on="request_id")
        .join(numbered, on=keys.columns, nulls_equal=True)
        .with_columns(
            conversation_id=pl.coalesce("conversation_id", "label_conversation_id"),
            right=pl.col("candidate_fired") == pl.col("harmful"),
            judged=pl.lit(value=True),
        )
        .drop("label_conversation_id", "judged_filter")
    )
    rates = estimate_rates(
        complete_design(sample, verdicts),
        {"right": Ratio("right", "judged")},
        groups=keys.height,
        min_sample=query.min_sample,
        confidence=query.confidence,
    )
    return rates["right"].to_list()


def _compare(counts: PairedCounts, right: Any, query: Query) -> dict[str, Any]:
    change = compare_pairs(counts, confidence=query.confidence)
    kappa = cohen_kappa(np.array([[counts.both, counts.only_before], [counts.only_after, counts.neither]]))
    return {
        "p_value": change.p_value,
        "difference": {
            "estimate": change.estimate,
            "low": change.low,
            "high": change.high,
            "method": "newcombe-paired",
            "n": counts.pairs,
        },
        "cohen_kappa": None if np.isnan(kappa) else kappa,
        "candidate_right": right,
        "verdict": _judge(right),
    }


def _judge(right: Any) -> str:
    if right["estimate"] is None:
        return "hold"
    if right["low"] > 0.5:
        return "promote"
    return "reject" if right["high"] < 0.5 else "hold"


REPORT = Report(
    key="shadow",
    title="Shadow",
    unit="turn",
    better="neither",
    description="Two filters, or versions, that decided about the same turns. Without `--pair`, what runs in shadow "
    "against what is enforced, per filter name; a turn fired when any check of that side on it did.",
    source="Exact McNemar test; Newcombe (1998), paired, method 10; Cohen (1960); `candidate_right` as in `errors`.",
    columns={
        "reference": "filter and version that is compared with",
        "candidate": "filter and version that would replace it",
        "pairs": "turns that both decided about",
        "both": "turns that both triggered on",
        "only_reference": "turns that only the reference triggered on",
        "only_candidate": "turns that only the candidate triggered on",
        "neither": "turns that neither triggered on",
        "p_value": "exact test of equal trigger rates",
        "difference": "candidate's trigger rate minus the reference's, with its interval",
        "cohen_kappa": "agreement of the two beyond chance; null when both always say the same one thing",
        "candidate_right": "reviewed disagreements in which people side with the candidate / reviewed disagreements",
        "verdict": "promote, hold or reject, by the interval of candidate_right",
        "unpaired": "turns that only one of the two decided about; left out",
    },
    dimensions=(*TURN_DIMENSIONS, "hour", "day"),
    compute=compute,
    remark=remark,
)
