"""Random samples of traffic for review, so that error rates can be estimated without bias.

A budget of reviews is laid out over strata (`incidents/strata.py`) so that it buys the narrowest interval for a target
(`metrics/planning.py`), and the turns are drawn at random within each stratum.

Draws add up. Within a stratum the turns with the lowest permanent random numbers are taken, so a turn is in the sample
when its number is below the highest threshold that any draw set for it, and the probability of that is the largest of the draws'
probabilities (but for a difference of the order of one in the turns drawn). A later draw therefore restates the verdicts of earlier drawn turns that it would have taken too, with its own
stratum and probability; what an earlier draw took at a higher rate keeps that one's. Drawing 50 twice is drawing 100.

Verdicts of an imported probability sample stay as they are; a turn drawn beside them gets the probability of being in
either. Turns that were judged but not drawn stay in the population, else the judged ones would be missing from the estimate:
their standing verdicts are restated with the probability of the draw, and where there is only an imported verdict, a person
judges again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import polars as pl
from sqlalchemy import func
from sqlmodel import Session, col, select

from core.clock import now
from core.errors import ConflictError, UsageError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import Change, change
from incidents.enums import Action, OpenedBy
from incidents.filing import NewCase, add_cases, copy_evidence, make_case_id
from incidents.models import Draw
from incidents.people import Actor, Role
from incidents.priority import DRAWN_PRIORITY, compute_drawn_priority
from incidents.reviews import restate_votes
from incidents.strata import form_strata, read_candidates
from incidents.views import add_event, get_row
from ingest.schema import get_data_version
from metrics import errors, prevalence
from metrics.planning import (
    BALANCED,
    TARGETS,
    Expected,
    Stratum,
    Target,
    allocate_more,
    expect_after,
    is_informed,
    weigh_reviews,
)
from metrics.query import Query
from metrics.reviews import fetch_verdicts

Reader: TypeAlias = Callable[[int], pl.DataFrame]
"""The home's seed to turns as `incidents.strata.read_candidates` gives them."""


@dataclass(frozen=True, slots=True)
class StratumSummary:
    """One stratum of a draw: its turns, how many were drawn, and with which probability."""

    name: str
    population: int
    drawn: int
    inclusion_probability: float


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What a draw did, or would do.

    Attributes:
        sample_id: Names the draw; None when nothing was drawn.
        target: The rate whose interval it makes narrow, or "balanced".
        allocation: "neyman" where earlier reviews told variances, else "power".
        population: Turns that the sample stands for, those drawn before included.
        drawn: Turns drawn.
        opened: Cases opened or opened again for them; the others had one.
        restated: Verdicts that stood already and count with this draw's probability from now on.
        strata: In order of name.
        expected: The intervals to expect once everything drawn is judged.
    """

    sample_id: str | None
    target: str
    allocation: Literal["neyman", "power"]
    population: int
    drawn: int
    opened: int
    restated: int
    strata: tuple[StratumSummary, ...]
    expected: tuple[Expected, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """A draw that has not been made.

    Attributes:
        turns: Turns that the draw concerns: request_id, conversation_id, ts, stratum, size, drawn (of the stratum),
            probability, earlier (probability by earlier draws; null = not drawn before), is_chosen.
        strata: What the traffic consists of, with what is known from earlier reviews.
        allocation: Turns to draw of each stratum.
        known: Every turn drawn before, with its probability.
        seed: The home's seed.
        worth: What the reviews that are there are worth (`metrics.planning.weigh_reviews`).
        summary: What it would do.
    """

    turns: pl.DataFrame
    strata: tuple[Stratum, ...]
    allocation: Mapping[str, int]
    known: Mapping[str, float]
    seed: int
    worth: Mapping[Target, float]
    summary: SampleSummary


def plan_sample(
    records: RecordStore,
    events: EventStore,
    query: Query,
    *,
    n: int,
    settings: Settings,
    target: str = BALANCED,
    seed: int | None = None,
    read: Reader | None = None,
) -> Plan:
    """Lays out a draw of `n` turns, or of all when there are fewer, without drawing.

    Args:
        records: The decision store.
        events: The event store.
        query: Window and filters of the traffic in question.
        n: Turns to draw.
        settings: For the layers.
        target: One of `metrics.planning.TARGETS`, or "balanced".
        seed: Of the permanent random numbers. All draws of a home share the one of the first, so that they add up.
        read: Where turns come from; None = all of the query's traffic.

    Raises:
        UsageError: The target is unknown, a filter cannot be applied to turns, nothing matches, `n` does not reach one turn per
            stratum, or the seed is another one.
    """
    if target != BALANCED and target not in TARGETS:
        raise UsageError("Unknown target", repr(target), f"Valid: {', '.join((BALANCED, *TARGETS))}.")
    with records.session() as session:
        known = _list_drawn(session)
        first = session.exec(select(Draw.seed).order_by(col(Draw.drawn_at)).limit(1)).first()
    if None not in (first, seed) and first != seed:
        raise UsageError("Another seed", f"{seed}", f"All draws of a home share the first one's: use {first}.")
    seed = first if first is not None else seed or 0
    verdicts = _list_verdicts(events, query)
    kept = [*known, *verdicts["request_id"].to_list()]
    found = read(seed) if read else read_candidates(events, query, kept=kept, n=n, seed=seed, layers=settings.layers)
    earlier = pl.DataFrame(
        {"request_id": list(known), "earlier": list(known.values())},
        schema={"request_id": pl.String, "earlier": pl.Float64},
    )
    turns = form_strata(found, n=n).join(earlier, on="request_id", how="left", maintain_order="left")
    turns = turns.join(verdicts, on="request_id", how="left", maintain_order="left")
    strata = _describe_strata(turns)
    if not any(stratum.left for stratum in strata):
        hint = "Widen the window or the filters."
        raise UsageError("Nothing to draw from", "no turn matches that was not drawn before", hint)
    allocation = allocate_more(strata, n=n, target=target)
    turns = choose_turns(turns, allocation)
    chosen = turns.filter("is_chosen").group_by("stratum").agg(pl.col("probability").first())
    probabilities = dict(chosen.iter_rows())
    worth = (
        weigh_reviews(strata, _read_widths(events, query), confidence=query.confidence) if is_informed(strata) else {}
    )
    expected = expect_after(strata, allocation, confidence=query.confidence, worth=worth)
    summary = SampleSummary(
        sample_id=None,
        target=target,
        allocation="neyman" if is_informed(strata) else "power",
        population=sum(stratum.size for stratum in strata),
        drawn=sum(allocation.values()),
        opened=0,
        restated=0,
        strata=tuple(
            StratumSummary(stratum.name, stratum.size, allocation[stratum.name], probabilities[stratum.name])
            for stratum in strata
            if stratum.name in allocation
        ),
        expected=tuple(expected.values()),
    )
    return Plan(turns, strata, allocation, known, seed, worth, summary)


def draw_sample(
    records: RecordStore,
    events: EventStore,
    query: Query,
    *,
    n: int,
    settings: Settings,
    actor: Actor,
    target: str = BALANCED,
    seed: int | None = None,
    read: Reader | None = None,
) -> SampleSummary:
    """Draws what `plan_sample` lays out, stores the probabilities and puts the turns into the triage queue.

    The same population and seed give the same turns.

    Raises:
        UsageError: As `plan_sample`.
        ConflictError: Somebody else drew meanwhile.
    """
    actor.require(Role.LEAD)
    at, upto = now(), get_data_version(events)
    plan = plan_sample(records, events, query, n=n, settings=settings, target=target, seed=seed, read=read)
    chosen = plan.turns.filter("is_chosen").sort("request_id").to_dicts()
    again = plan.turns.filter(pl.col("earlier") <= pl.col("probability")).sort("request_id").to_dicts()
    with change(records, actor=actor, at=at) as current:
        if _list_drawn(current.session) != plan.known:
            raise ConflictError("Another sample was drawn meanwhile", "", "Draw again.")
        sample_id = f"s{len(set(current.session.exec(select(Draw.sample_id).distinct()))) + 1}"
        new = [NewCase(row["request_id"], row["conversation_id"], row["ts"], OpenedBy.SAMPLE) for row in chosen]
        opened = set(add_cases(current, new, seen=upto))
        draws = [
            Draw(
                request_id=row["request_id"],
                sample_id=sample_id,
                case_id=make_case_id(row["request_id"]),
                drawn_at=at,
                drawn_by=actor.name,
                seed=plan.seed,
                **_place(row, sample_id),
            )
            for row in chosen
        ]
        current.session.add_all(draws)
        current.session.flush()
        reopened, restated = _join_existing(current, draws, opened)
        restated += sum(_restate(current, row, sample_id) for row in again)
        counts = {"drawn": len(draws), "population": plan.summary.population, "seed": plan.seed, "target": target}
        current.record("sample.draw", sample_id, counts)
    copy_evidence(records, events, settings=settings, actor=actor)
    return replace(plan.summary, sample_id=sample_id, opened=len(opened) + reopened, restated=restated)


def _place(row: Mapping[str, Any], sample_id: str) -> dict[str, Any]:
    """What a draw says about a turn. Strata of different draws are parts of different populations."""
    return {
        "stratum": f"{sample_id}/{row['stratum']}",
        "stratum_size": row["size"],
        "stratum_drawn": row["drawn"],
        "inclusion_probability": row["probability"],
    }


def _describe_strata(turns: pl.DataFrame) -> tuple[Stratum, ...]:
    """The strata with what is known of them from earlier reviews, in order of name."""
    weight = 1 / pl.col("judged_probability")
    rows = (
        turns.group_by("stratum", "is_triggered")
        .agg(
            pl.col("size").first(),
            drawn=pl.col("earlier").count(),
            reviewed=pl.col("harmful").count(),
            share=weight.filter("harmful").sum() / weight.sum(),
        )
        .sort("stratum")
    )
    return tuple(
        Stratum(
            name=row["stratum"],
            size=row["size"],
            is_triggered=row["is_triggered"],
            drawn=row["drawn"],
            reviewed=row["reviewed"],
            harmful=row["share"] * row["reviewed"] if row["reviewed"] else 0.0,
        )
        for row in rows.iter_rows(named=True)
    )


def choose_turns(turns: pl.DataFrame, allocation: Mapping[str, int]) -> pl.DataFrame:
    """`turns`, in drawing order within their strata, with is_chosen, drawn and probability; those out of reach are gone."""
    is_new = pl.col("earlier").is_null()
    wanted = pl.col("stratum").replace_strict(allocation, default=0, return_dtype=pl.Int64)
    left = pl.col("size") - is_new.not_().sum().over("stratum")
    rows = turns.with_columns(
        # Numbers below the threshold are those before the last chosen one; a stratum without any left is taken whole.
        is_chosen=is_new & (is_new.cum_sum().over("stratum") <= wanted),
        is_whole=left <= wanted,
    )
    threshold = pl.col("number").filter("is_chosen").max().over("stratum")
    rows = rows.with_columns(is_below=pl.col("is_whole") | (pl.col("number") <= threshold).fill_null(value=False))
    # Imports beside the draw: how likely a turn of the stratum was in one of theirs.
    outside = is_new & pl.col("judged_probability").is_not_null()
    imported = pl.col("judged_probability").filter(outside).len().over("stratum") / (
        (1 / pl.col("judged_probability")).filter(outside).sum().over("stratum")
    )
    fraction = pl.col("drawn") / pl.col("size")
    return (
        rows.with_columns(
            drawn=pl.when("is_whole")
            .then("size")
            .otherwise((pl.col("is_chosen") | (~is_new & pl.col("is_below"))).sum().over("stratum"))
        )
        .with_columns(probability=fraction + (1 - fraction) * imported.fill_nan(0).fill_null(0).clip(0, 1))
        .filter(pl.col("is_chosen") | (~is_new & pl.col("is_below")))
    )


def _read_widths(events: EventStore, query: Query) -> dict[Target, float]:
    """Today's interval of each target, high minus low, where there is one."""
    whole = replace(query, by=())
    rates: dict[str, dict[str, float | None]] = {}
    for module in (errors, prevalence):
        rates |= module.compute(events.backend(), whole).row(0, named=True)
    widths: dict[Target, float] = {}
    for target in TARGETS:
        low, high = rates[target]["low"], rates[target]["high"]
        if low is not None and high is not None:
            widths[target] = high - low
    return widths


def _list_verdicts(events: EventStore, query: Query) -> pl.DataFrame:
    """Verdicts of probability samples on the turn, or on the one filter asked for: request_id, harmful, judged_probability."""
    named = query.alternatives().get("filter_name", ())
    about_turn = pl.col("judged_filter").is_null()
    fits = about_turn | (pl.col("judged_filter") == named[0]) if len(named) == 1 else about_turn
    return (
        fetch_verdicts(events.backend())
        .filter(fits, pl.col("inclusion_probability").is_not_null())
        .sort(about_turn)
        .unique("request_id", keep="first", maintain_order=True)
        .select("request_id", "harmful", judged_probability="inclusion_probability")
    )


def count_drawn(records: RecordStore) -> int:
    """Turns drawn so far, in all draws."""
    with records.session() as session:
        return int(session.exec(select(func.count()).select_from(Draw)).one())


def _list_drawn(session: Session) -> dict[str, float]:
    """Every turn drawn before, with its probability."""
    return dict(session.exec(select(Draw.request_id, Draw.inclusion_probability).order_by(Draw.request_id)).all())


def _restate(current: Change, row: Mapping[str, Any], sample_id: str) -> int:
    """Gives a turn drawn before the place that this draw has for it; returns how many verdicts follow."""
    draw = current.session.get_one(Draw, row["request_id"])
    for name, value in _place(row, sample_id).items():
        setattr(draw, name, value)
    current.session.add(draw)
    return restate_votes(current.session, get_row(current.session, draw.case_id), draw, at=current.at)


def _join_existing(current: Change, draws: Sequence[Draw], opened: set[str]) -> tuple[int, int]:
    """Marks the cases of drawn turns; returns how many were opened again, how many verdicts restated."""
    reopened = restated = 0
    for draw in draws:
        case = get_row(current.session, draw.case_id)
        case.is_drawn = True
        current.session.add(case)
        if draw.request_id in opened:
            continue
        before = case.state
        case.priority = max(case.priority, DRAWN_PRIORITY)
        if case.opened_by == OpenedBy.GOLDEN.value:
            # It waits for people now like any drawn turn, and must not say that its verdict is known.
            drawn = compute_drawn_priority()
            case.opened_by, case.priority, case.priority_reason = OpenedBy.SAMPLE.value, drawn.value, drawn.reason
            case.category = case.severity_hint = case.doubt = case.exposure = None
        restated += restate_votes(current.session, case, draw, at=current.at)
        add_event(current, case, Action.DRAW, {"sample_id": draw.sample_id})
        reopened += case.state != before
    return reopened, restated
