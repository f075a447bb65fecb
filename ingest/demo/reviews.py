"""What people say about turns: votes on a probability sample and on priority items, and users' claims."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import polars as pl

from ingest.demo.cascade import PRINCIPLES
from ingest.demo.texts import Writer, write_revision
from ingest.demo.traffic import Kind
from ingest.demo.world import CLASSIFIER, FILTERS, HAZARDS, KEYWORD, LAYERS, Booleans, Floats, Integers, Plan

REVIEWERS = (
    "ada",
    "bela",
    "chidi",
    "dana",
    "emre",
    "fumiko",
    "gita",
    "hugo",
    "ines",
    "jonas",
    "kofi",
    "lena",
)
# Turns drawn per thousand turns of traffic, by stratum; passed traffic keeps two, else no miss is seen.
_DRAWN_PER_MILLE = {
    f"{KEYWORD}@40": 4.0,
    f"{KEYWORD}@41": 4.0,
    CLASSIFIER: 6.0,
    "llama-guard-3": 4.0,
    "constitution-refiner": 4.0,
    "doubtful": 7.0,
    "clear": 11.0,
}
_DOUBTFUL_SCORE = 0.2
_PRIORITY_PER_MILLE = 4.0
_REPORT_RATES = (0.0008, 0.14)
_APPEAL_RATE = 0.06
_CRITIQUES = (
    "The response goes along with a request to hurt somebody.",
    "It gives the user what they asked for without naming the harm to others.",
    "The tone encourages the user; it should slow them down and offer another way.",
    "It treats a person's private life as material.",
    "No word of care for a user who may be in danger.",
)
GUIDELINES = ("g-3", "g-4")
LABEL_SCHEMA = pl.Schema(
    [
        ("ts", pl.Datetime("us")),
        ("request_id", pl.String),
        ("conversation_id", pl.String),
        ("reviewer", pl.String),
        ("harmful", pl.Boolean),
        ("category", pl.String),
        ("severity", pl.Int64),
        ("reason", pl.String),
        ("principle_id", pl.String),
        ("revision", pl.String),
        ("critique", pl.String),
        ("selection", pl.String),
        ("stratum", pl.String),
        ("inclusion_probability", pl.Float64),
        ("guideline_version", pl.String),
    ]
)


def assign_strata(turns: pl.DataFrame) -> pl.Series:
    """The stratum that each turn is drawn from: the filter that decided it, or the classifier's doubt.

    Blocklist triggers are split by version. Every turn belongs to exactly one stratum.
    """
    versioned = pl.format(f"{KEYWORD}@{{}}", "keyword_version")
    decided = pl.when(pl.col("decided_by") == KEYWORD).then(versioned).otherwise("decided_by")
    passed = pl.when(pl.col("doubt") >= _DOUBTFUL_SCORE).then(pl.lit("doubtful")).otherwise(pl.lit("clear"))
    return turns.select(stratum=pl.coalesce(decided, passed)).to_series()


def name_stratum(key: str) -> str:
    """The name that labels carry: filter, triggered or passed, layer."""
    name = key.split("@")[0]
    return f"{key}/triggered/{LAYERS[name]}" if name in FILTERS else f"{CLASSIFIER}/passed-{key}/{LAYERS[CLASSIFIER]}"


def review_turns(turns: pl.DataFrame, plan: Plan, writer: Writer, rng: np.random.Generator) -> pl.DataFrame:
    """Rows of a label log (`LABEL_SCHEMA`) in time order.

    Args:
        turns: Turns with truth, outcome, decided_by, doubt and keyword_version, in the writer's order.
        plan: No label is given after its end.
        writer: Writes revisions.
        rng: Source of chance.
    """
    strata = assign_strata(turns)
    sampled: list[Integers] = []
    probabilities: list[Floats] = []
    for key, per_mille in _DRAWN_PER_MILLE.items():
        members = np.flatnonzero((strata == key).to_numpy())
        count = min(len(members), max(2, round(per_mille * turns.height / 1000)))
        sampled.append(np.sort(rng.choice(members, size=count, replace=False)))
        probabilities.append(np.full(count, count / max(1, len(members))))
    sample = np.concatenate(sampled)
    names = [name_stratum(key) for key, drawn in zip(_DRAWN_PER_MILLE, sampled, strict=True) for _ in drawn]
    rows = _vote(turns, sample, plan, writer, rng, judges=3)
    rows = rows.with_columns(selection=pl.lit("sample")).join(
        pl.DataFrame({"row": sample, "stratum": names, "inclusion_probability": np.concatenate(probabilities)}),
        on="row",
    )

    urgent = np.flatnonzero(((turns["outcome"] == "human_escalation") | (turns["severity"] >= 4)).to_numpy())
    urgent = np.setdiff1d(urgent, sample)
    chosen = rng.choice(urgent, size=min(len(urgent), round(_PRIORITY_PER_MILLE * turns.height / 1000)), replace=False)
    priority = _vote(turns, np.sort(chosen), plan, writer, rng, judges=1).with_columns(selection=pl.lit("priority"))

    claims = _claim(turns, plan, rng)
    labels = pl.concat([rows, priority, claims], how="diagonal")
    labels = labels.with_columns(turns[labels["row"]].select("request_id", "conversation_id"))
    return labels.select(pl.col(name).cast(dtype) for name, dtype in LABEL_SCHEMA.items()).sort(
        "ts", "request_id", "reviewer"
    )


def _vote(
    turns: pl.DataFrame, rows: Integers, plan: Plan, writer: Writer, rng: np.random.Generator, *, judges: int
) -> pl.DataFrame:
    """Votes of up to `judges` reviewers on each of `rows`: two, and a third where they differ."""
    picked = turns[rows]
    count = len(rows)
    harmful: Booleans = picked["harmful"].to_numpy()
    odd = picked["kind"].is_in([Kind.AMBIGUOUS, Kind.DELICATE]).to_numpy()
    severity = picked["severity"].to_numpy()
    category = picked["category"].fill_null("").to_numpy()
    # Each reviewer has an eye and a leniency of their own; mild harm and dark subjects divide them.
    sensitivity = rng.uniform(0.86, 0.98, len(REVIEWERS))
    strictness = rng.uniform(0.005, 0.05, len(REVIEWERS))
    who = np.argsort(rng.random((count, len(REVIEWERS))), axis=1)[:, :judges]
    rate = np.where(
        harmful[:, None],
        sensitivity[who] - 0.12 * (severity == 1)[:, None],
        strictness[who] + 0.10 * odd[:, None],
    )
    says_harmful = rng.random((count, judges)) < rate
    unsure = rng.random((count, judges)) < (0.015 + 0.05 * odd)[:, None]
    casts = np.ones((count, judges), dtype=bool)
    if judges > 2:
        differ = (says_harmful[:, 0] != says_harmful[:, 1]) | unsure[:, 0] | unsure[:, 1]
        casts[:, 2] = differ | (rng.random(count) < 0.12)
    delay_h = rng.lognormal(2.2, 0.8, (count, judges))
    guesses = np.array(HAZARDS, dtype=object)[rng.integers(0, len(HAZARDS), (count, judges))]
    named = np.where(harmful[:, None] & (rng.random((count, judges)) < 0.88), category[:, None], guesses)
    felt = np.clip(np.maximum(severity, 1)[:, None] + rng.choice([-1, 0, 0, 0, 1], size=(count, judges)), 1, 4)
    writes = rng.random((count, judges)) < 0.6
    refused: Booleans = (picked["outcome"] == "refusal").to_numpy()
    kinds: list[str] = picked["kind"].to_list()
    tells = rng.random((count, judges))
    moments: list[datetime] = picked["ts"].to_list()
    votes = []
    for item, judge in zip(*np.nonzero(casts), strict=True):
        row = int(rows[item])
        said = None if unsure[item, judge] else bool(says_harmful[item, judge])
        moment = _before(moments[item] + timedelta(hours=float(delay_h[item, judge])), moments[item], plan)
        revises = judge == 0 and writes[item, judge] and (said is True or (said is False and bool(refused[item])))
        votes.append(
            {
                "row": row,
                "ts": moment,
                "reviewer": REVIEWERS[who[item, judge]],
                "harmful": said,
                "category": named[item, judge] if said else None,
                "severity": None if said is None else int(felt[item, judge]) if said else 0,
                "reason": _choose_reason(said, kinds[item], named[item, judge], float(tells[item, judge])),
                "principle_id": PRINCIPLES[named[item, judge]] if said else None,
                "revision": write_revision(row, writer, harmful=said) if revises and said is not None else None,
                "critique": _CRITIQUES[writer.choose(row, len(_CRITIQUES))] if revises and said else None,
                "guideline_version": GUIDELINES[moment >= plan.since + (plan.until - plan.since) / 2],
            }
        )
    return pl.DataFrame(
        votes,
        schema={"row": pl.Int64} | {k: v for k, v in LABEL_SCHEMA.items() if votes and k in votes[0]},
    )


def _choose_reason(said: bool | None, kind: str, category: str, chance: float) -> str | None:
    """Why a reviewer judged so (the verdict reasons of `incidents.enums`); None for an ordinary turn."""
    if said is None:
        return "insufficient_context" if chance < 0.6 else "policy_unclear"
    if said:
        if category == "prompt_attack":
            return "evasion"
        return "policy_violation" if chance < 0.85 else "partial_harm"
    if kind == Kind.AMBIGUOUS:
        return "benign_topic" if chance < 0.7 else "false_match"
    return "quoted" if kind == Kind.DELICATE else None


def _claim(turns: pl.DataFrame, plan: Plan, rng: np.random.Generator) -> pl.DataFrame:
    """Users' reports of what reached them, and their appeals against refusals: claims, not verdicts."""
    reached = turns["outcome"].is_in(["pass", "modified"]).to_numpy()
    harmful: Booleans = turns["harmful"].to_numpy()
    reports = reached & (rng.random(turns.height) < np.where(harmful, _REPORT_RATES[1], _REPORT_RATES[0]))
    refused: Booleans = (turns["outcome"] == "refusal").to_numpy()
    appeals = refused & ~harmful & (rng.random(turns.height) < _APPEAL_RATE)
    rows = np.flatnonzero(reports | appeals)
    certain = rng.random(len(rows)) < 0.4
    minutes = rng.exponential(20, len(rows))
    picked = turns[rows]
    moments = [
        _before(ts + timedelta(minutes=1 + float(minute)), ts, plan)
        for ts, minute in zip(picked["ts"].to_list(), minutes, strict=True)
    ]
    is_appeal = pl.Series(appeals[rows])
    return pl.DataFrame(
        {"row": rows, "ts": moments, "certain": certain}, schema_overrides={"ts": pl.Datetime("us")}
    ).select(
        "row",
        "ts",
        reviewer=pl.format("user:{}", picked["user_id"]),
        harmful=pl.when(is_appeal).then(pl.lit(value=False)).when("certain").then(pl.lit(value=True)),
        selection=pl.when(is_appeal).then(pl.lit("appeal")).otherwise(pl.lit("user_report")),
    )


def _before(moment: datetime, earliest: datetime, plan: Plan) -> datetime:
    """`moment`, or half-way between `earliest` and the end if it lies after the end; whole milliseconds."""
    if moment >= plan.until:
        moment = earliest + (plan.until - earliest) / 2
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
