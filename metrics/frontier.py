"""The price of safety: how many benign turns are blocked for how much missed harm, at every point a team could choose."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from ibis.backends import BaseBackend

from metrics.confusion import sweep_errors
from metrics.estimate import RATE, Floats
from metrics.events import checks, fetch, turns
from metrics.funnel import STOPPING
from metrics.query import CHECK_DIMENSIONS, Query
from metrics.report import Report
from metrics.reviews import complete_design, fetch_verdicts, keep_labelled, number_groups
from metrics.scores import pick_thresholds
from metrics.sweep import Booleans, Sweep

_RATES = ("benign_blocked_rate", "missed_harm_rate")
_POINT = pl.Schema(
    {
        "point": pl.String(),
        "filter_name": pl.String(),
        "filter_version": pl.String(),
        "mode": pl.String(),
        "arm": pl.String(),
        "threshold": pl.Float64(),
        "reviewed": pl.Int64(),
        **dict.fromkeys(_RATES, RATE),
    }
)


@dataclass(frozen=True, slots=True)
class _Points:
    """Points that one set of reviewed turns gives.

    Attributes:
        point: version, threshold, arm or cascade.
        filter_name: The filter; None for the cascade.
        filter_version: Its version; None for the cascade and where none is logged.
        mode: How the version ran; None for the cascade.
        arm: The experiment arm; None = all traffic.
        inside: Which rows of the sample count.
        triggered: Rows by points.
        thresholds: One for each point; None where the point is what was decided.
    """

    point: str
    filter_name: str | None
    filter_version: str | None
    mode: str | None
    arm: str | None
    inside: Booleans
    triggered: Booleans
    thresholds: Floats | None = None


def compute(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """One row per group and point: the cascade and its arms first, then filters by name, thresholds rising."""
    verdicts = fetch_verdicts(backend).filter(
        pl.col("judged_filter").is_null(), pl.col("inclusion_probability").is_not_null()
    )
    facts = keep_labelled(backend, turns(backend, replace(query, by=tuple({*query.by, "arm"}))))
    columns = list(dict.fromkeys(["request_id", "conversation_id", "arm", *query.by]))
    reviewed = fetch(backend, facts.select(*columns)).join(verdicts.drop("judged_filter"), on="request_id")
    groups, numbered = number_groups(reviewed, query.by)
    sweep = Sweep(complete_design(numbered, verdicts))
    decided = _read_decisions(backend, query)
    stopped = decided.filter("stopped")["request_id"].unique()
    asked = _read_decisions(backend, query, is_filtered=True)
    parts = [
        _estimate(sweep, points, query).with_columns(group=pl.lit(group, dtype=pl.Int64))
        for group in sorted(set(sweep.rows["group"]) - {-1})
        for points in (*_cascade(sweep, group, stopped), *_filters(sweep, group, asked))
    ]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema={**_POINT, "group": pl.Int64()})
    rows = mark_frontier(rows)
    rows = groups.join(rows, on="group", how="inner", maintain_order="left_right")
    return rows.select(*query.by, *REPORT.columns)


def mark_frontier(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `on_frontier`: no other point of the same group and filter (or cascade) blocks and misses less.

    Null where a rate is. Points of equal rates are all on it.
    """
    numbered = rows.with_row_index("_place")
    # Rounded, so that equal shares are equal whatever the order of their sums.
    estimates = [pl.col(name).struct.field("estimate").round(12).alias(name) for name in _RATES]
    known = numbered.select("_place", "group", "filter_name", *estimates).drop_nulls(_RATES)
    compared = ["group", "filter_name"]
    # The least that is missed at each share blocked, and at any smaller one.
    least = known.group_by(*compared, "benign_blocked_rate").agg(least=pl.col("missed_harm_rate").min())
    least = least.sort("benign_blocked_rate").with_columns(
        before=pl.col("least").cum_min().shift(1).over(compared).fill_null(float("inf"))
    )
    missed = pl.col("missed_harm_rate")
    flagged = known.join(least, on=[*compared, "benign_blocked_rate"], nulls_equal=True).select(
        "_place", on_frontier=(missed == pl.col("least")) & (missed < pl.col("before"))
    )
    return numbered.join(flagged, on="_place", how="left", maintain_order="left").drop("_place")


def _read_decisions(backend: BaseBackend, query: Query, *, is_filtered: bool = False) -> pl.DataFrame:
    """Decided checks of labelled turns: request_id, filter_name, filter_version, mode, triggered, score, score_kind, stopped.

    Args:
        backend: The store.
        query: Window and filters.
        is_filtered: Whether its filters on checks apply; the cascade is made of all of them.
    """
    kept = query if is_filtered else replace(query, filters=query.without(*CHECK_DIMENSIONS))
    table = keep_labelled(backend, checks(backend, replace(kept, by=())))
    table = table.filter(table.status.isin(("ok", "undecided")))
    stopped = (table.triggered & table.enforced & table.decision.isin(STOPPING)).fill_null(False)
    return fetch(
        backend,
        table.select(
            *("request_id", "filter_name", "filter_version", "mode", "triggered", "score", "score_kind"),
            stopped=stopped,
        ),
    )


def _cascade(sweep: Sweep, group: int, stopped: pl.Series) -> list[_Points]:
    rows = sweep.rows
    inside = (rows["group"] == group).to_numpy()
    hit = rows["request_id"].is_in(stopped.implode()).to_numpy()[:, None]
    every = [_Points("cascade", None, None, None, None, inside, hit)]
    return every + [
        _Points("arm", None, None, None, arm, inside & (rows["arm"] == arm).fill_null(value=False).to_numpy(), hit)
        for arm in _list_arms(rows, inside)
    ]


def _filters(sweep: Sweep, group: int, decided: pl.DataFrame) -> list[_Points]:
    rows = sweep.rows
    is_group = (rows["group"] == group).to_numpy()
    found: list[_Points] = []
    named = decided.filter(pl.col("filter_name").is_not_null())
    for (name, version), part in named.sort("filter_name", "filter_version").group_by(
        "filter_name", "filter_version", maintain_order=True
    ):
        label = (str(name), None if version is None else str(version), _name_mode(part["mode"]))
        fired, is_decided = _match(rows, part.filter(pl.col("triggered").is_not_null()), pl.col("triggered").max())
        inside = is_group & is_decided
        hit = (fired == 1)[:, None]
        if inside.any():
            found.append(_Points("version", *label, None, inside, hit))
            found += [
                _Points("arm", *label, arm, inside & (rows["arm"] == arm).fill_null(value=False).to_numpy(), hit)
                for arm in _list_arms(rows, inside)
            ]
        scored = part.filter(pl.col("score").is_finite())
        if scored["score"].n_unique() > 1:
            score, has_score = _match(rows, scored, pl.col("score").max())
            kinds = scored["score_kind"].drop_nulls().unique().to_list()
            values = scored["score"].unique().sort().to_numpy()
            steps = pick_thresholds(values, kinds[0] if len(kinds) == 1 else None)
            inside = is_group & has_score
            if inside.any():
                found.append(_Points("threshold", *label, None, inside, score[:, None] >= steps, steps))
    return found


def _match(rows: pl.DataFrame, part: pl.DataFrame, value: pl.Expr) -> tuple[Floats, Booleans]:
    """`value` of each turn of the sample (NaN without one), and whether it has one."""
    values = part.group_by("request_id").agg(value.cast(pl.Float64).alias("value"))
    joined = rows.select("request_id").join(values, on="request_id", how="left", maintain_order="left")["value"]
    return joined.fill_null(float("nan")).to_numpy(), joined.is_not_null().to_numpy()


def _list_arms(rows: pl.DataFrame, inside: Booleans) -> list[str]:
    return [str(arm) for arm in rows.filter(pl.Series(inside))["arm"].drop_nulls().unique().sort()]


def _name_mode(modes: pl.Series) -> str | None:
    """How a version ran: in effect, if it ever did."""
    names = modes.drop_nulls().unique().sort().to_list()
    return "enforce" if "enforce" in names else (str(names[0]) if names else None)


def _estimate(sweep: Sweep, points: _Points, query: Query) -> pl.DataFrame:
    rates = sweep_errors(
        sweep, points.inside, points.triggered, min_sample=query.min_sample, confidence=query.confidence
    )
    many = points.triggered.shape[1]
    thresholds = [None] * many if points.thresholds is None else points.thresholds.tolist()
    return pl.DataFrame(
        {
            "point": [points.point] * many,
            "filter_name": [points.filter_name] * many,
            "filter_version": [points.filter_version] * many,
            "mode": [points.mode] * many,
            "arm": [points.arm] * many,
            "threshold": thresholds,
            "reviewed": [int(np.count_nonzero(points.inside))] * many,
            **{name: rates[name] for name in _RATES},
        },
        schema=_POINT,
    )


REPORT = Report(
    key="frontier",
    title="Trade-off frontier",
    unit="turn",
    better="lower",
    description="Benign turns blocked against harm missed, for the cascade and its experiment arms, and for every version, arm "
    "and threshold of every filter. The cascade blocks a turn when any enforced filter blocked, modified or escalated it; a "
    "filter when it triggered, in effect or in shadow. Among reviewed turns that the point decided about.",
    source="As `errors`; all points of a filter in one pass (`metrics.sweep`).",
    columns={
        "point": "cascade, arm (of the cascade where no filter is named), version (as it decided), or threshold (what-if)",
        "filter_name": "filter; null = the cascade as a whole",
        "filter_version": "its version",
        "mode": "how the version ran: enforce if it ever was in effect",
        "arm": "experiment arm; null = all traffic",
        "threshold": "score from which a turn would trigger; null = what was decided",
        "reviewed": "reviewed turns that the point decided about, unweighted",
        "benign_blocked_rate": "blocked / benign, among benign turns",
        "missed_harm_rate": "not blocked / harmful, among harmful turns",
        "on_frontier": "no other point of the same filter, or of the cascade, blocks fewer benign turns and misses less harm; "
        "null where a rate is",
    },
    dimensions=("model", "app", "language", "suite", "hour", "day"),
    compute=compute,
)
