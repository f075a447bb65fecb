"""Random samples of traffic for review, so that error rates can be estimated without bias.

Population: turns in the query's window that some matching filter evaluated (without a filter, layer, stage, mode or
version in the query: all turns). Turns drawn before carry their probability already and are left out; they are a
random part of the traffic, so rates pooled over several draws stay unbiased, while totals must not be added up.
Turns that were judged but not drawn stay in the population, else the judged ones would be missing from the estimate:
their standing verdicts are restated with the probability of the draw, and where there is only an imported verdict, a person
judges again.

Strata: filter x triggered or passed x layer. Allocation: at least two turns per stratum where `n` and the stratum allow,
the rest in proportion to the square root of the stratum's size (Bankier 1988, power allocation with exponent 1/2), because
rare triggers and bulk passes both need a usable sample while no earlier variance is known for Neyman's rule. Within a
stratum: simple random sampling without replacement, by the order of a seeded hash, hence `pi = n_h / N_h`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from sqlmodel import Session, select

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
from incidents.priority import DRAWN_PRIORITY
from incidents.reviews import restate_votes
from incidents.views import add_event, get_row
from ingest.schema import get_data_version
from metrics.query import Query

_LEAST = 2
_TURN_FILTERS = ("model", "app", "language", "outcome", "suite", "arm")
# What decides whether a check belongs to the question, and what decides whether it counts as a trigger: rule and
# category are logged when a filter fires, so that asking for them must not remove the traffic that passed.
_CHECK_FILTERS = ("filter_name", "filter_version", "layer", "stage", "mode")
_TRIGGER_FILTERS = ("rule_id", "category")


@dataclass(frozen=True, slots=True)
class StratumSummary:
    """One stratum of a draw: its turns, how many were drawn, and with which probability."""

    name: str
    population: int
    drawn: int
    inclusion_probability: float


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What a draw did.

    Attributes:
        sample_id: Names the draw.
        population: Turns that could be drawn.
        drawn: Turns that were.
        opened: Cases opened or opened again for them; the others had one.
        restated: Verdicts that stood already and count towards estimates from now on.
        strata: In order of name.
    """

    sample_id: str
    population: int
    drawn: int
    opened: int
    restated: int
    strata: tuple[StratumSummary, ...]


def draw_sample(
    records: RecordStore,
    events: EventStore,
    query: Query,
    *,
    n: int,
    seed: int,
    settings: Settings,
    actor: Actor,
) -> SampleSummary:
    """Draws `n` turns, or all when there are fewer, stores their probabilities and puts them into the triage queue.

    The same population and seed give the same turns.

    Raises:
        UsageError: A filter cannot be applied to turns, nothing matches, or `n` does not reach one turn per stratum.
    """
    actor.require(Role.LEAD)
    at, upto = now(), get_data_version(events)
    with records.session() as session:
        known = _list_drawn(session)
    candidates = _rank_candidates(events, query, known=known, n=n, seed=seed, layers=settings.layers)
    sizes: dict[str, int] = dict(candidates.select("stratum", "size").unique().iter_rows())
    if not sizes:
        hint = "Widen the window or the filters."
        raise UsageError("Nothing to draw from", "no turn matches that was not drawn before", hint)
    allocation = allocate(sizes, n=n)
    is_chosen = pl.col("place") <= pl.col("stratum").replace_strict(allocation, return_dtype=pl.Int64)
    chosen = candidates.filter(is_chosen).sort("request_id").to_dicts()
    with change(records, actor=actor, at=at) as current:
        if _list_drawn(current.session) != known:
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
                seed=seed,
                # Strata of different draws are parts of different populations.
                stratum=f"{sample_id}/{row['stratum']}",
                stratum_size=row["size"],
                stratum_drawn=allocation[row["stratum"]],
                inclusion_probability=allocation[row["stratum"]] / row["size"],
            )
            for row in chosen
        ]
        current.session.add_all(draws)
        current.session.flush()
        reopened, restated = _join_existing(current, draws, opened)
        counts = {"drawn": len(draws), "population": sum(sizes.values()), "seed": seed}
        current.record("sample.draw", sample_id, counts)
    copy_evidence(records, events, settings=settings, actor=actor)
    return SampleSummary(
        sample_id=sample_id,
        population=sum(sizes.values()),
        drawn=len(draws),
        opened=len(opened) + reopened,
        restated=restated,
        strata=tuple(
            StratumSummary(name, sizes[name], allocation[name], allocation[name] / sizes[name])
            for name in sorted(sizes)
        ),
    )


def allocate(sizes: Mapping[str, int], *, n: int) -> dict[str, int]:
    """How many turns to draw from each stratum.

    Args:
        sizes: Turns per stratum, each at least 1.
        n: Turns to draw in all.

    Returns:
        At least 1 and at most its size for each stratum, `min(n, population)` in all.

    Raises:
        UsageError: `n` is below the number of strata, so that some turns could never be drawn.
    """
    if n < len(sizes):
        raise UsageError(
            "The sample is too small",
            f"{n} turns for {len(sizes)} strata",
            f"Draw at least {_LEAST * len(sizes)}.",
        )
    least = 1 if n < sum(min(_LEAST, size) for size in sizes.values()) else _LEAST
    drawn = {name: min(least, size) for name, size in sizes.items()}
    while (left := min(n, sum(sizes.values())) - sum(drawn.values())) > 0:
        open_strata = [name for name in sorted(sizes) if drawn[name] < sizes[name]]
        weight = sum(math.sqrt(sizes[name]) for name in open_strata)
        share = {name: left * math.sqrt(sizes[name]) / weight for name in open_strata}
        whole = {name: min(int(share[name]), sizes[name] - drawn[name]) for name in open_strata}
        if not any(whole.values()):
            for name in sorted(open_strata, key=lambda name: -share[name])[:left]:
                whole[name] = 1
        for name, count in whole.items():
            drawn[name] += count
    return drawn


def _rank_candidates(
    events: EventStore, query: Query, *, known: Sequence[str], n: int, seed: int, layers: Sequence[str]
) -> pl.DataFrame:
    """Up to `n` turns of each stratum in drawing order: request_id, conversation_id, ts, stratum, size, place."""
    values: dict[str, Any] = {"known": list(known), "n": n, "seed": str(seed), "layers": list(layers)}
    turn_conditions = ["turns.ts IS NOT NULL", *_window("turns", query, values)]
    check_conditions, trigger_conditions = ["status = 'ok'"], ["triggered"]
    for name, chosen in _group(query).items():
        condition = f"{name} IN (SELECT unnest(${name}::VARCHAR[]))"
        if name in _TURN_FILTERS:
            turn_conditions.append(f"turns.{condition}")
        elif name in _CHECK_FILTERS:
            check_conditions.append(f"checks.{condition}")
        elif name in _TRIGGER_FILTERS:
            trigger_conditions.append(f"checks.{condition}")
        else:
            valid = ", ".join((*_CHECK_FILTERS, *_TRIGGER_FILTERS, *_TURN_FILTERS))
            raise UsageError("A sample cannot be filtered by this", repr(name), f"Valid: {valid}.")
        values[name] = chosen
    is_asked = len(check_conditions) > 1
    statement = f"""
    WITH fired AS (
        SELECT request_id,
            coalesce(bool_or({" AND ".join(trigger_conditions)}), false) AS is_triggered,
            arg_min([filter_name, coalesce(layer, '')], [
                CASE WHEN {" AND ".join(trigger_conditions)} THEN 0 ELSE 1 END,
                coalesce(list_position($layers::VARCHAR[], layer), 99)
            ]) AS place
        FROM checks WHERE {" AND ".join(check_conditions)} GROUP BY request_id
    ), population AS (
        SELECT turns.request_id, turns.conversation_id, turns.ts, {_STRATUM_ASKED if is_asked else _STRATUM_ALL} AS stratum
        FROM turns {"JOIN" if is_asked else "LEFT JOIN"} fired USING (request_id)
        WHERE {" AND ".join(turn_conditions)} AND turns.request_id NOT IN (SELECT unnest($known::VARCHAR[]))
    )
    SELECT *, count(*) OVER (PARTITION BY stratum) AS size,
        row_number() OVER (PARTITION BY stratum ORDER BY md5($seed || ':' || request_id), request_id) AS place
    FROM population QUALIFY place <= $n
    """  # noqa: S608  column names from the allow-lists above, values as parameters
    return events.read(statement, values)


_VERDICT = "CASE WHEN coalesce(fired.is_triggered, false) THEN 'triggered' ELSE 'passed' END"
_STRATUM_ASKED = f"fired.place[1] || '/' || {_VERDICT} || '/' || fired.place[2]"
# Over all traffic, what passed is one stratum: no filter spoke against it.
_STRATUM_ALL = f"CASE WHEN {_VERDICT} = 'passed' THEN 'passed' ELSE {_STRATUM_ASKED} END"


def _window(table: str, query: Query, values: dict[str, Any]) -> list[str]:
    conditions = []
    if query.since is not None:
        conditions.append(f"{table}.ts >= $since")
        values["since"] = query.since
    if query.until is not None:
        conditions.append(f"{table}.ts < $until")
        values["until"] = query.until
    return conditions


def _group(query: Query) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, value in query.filters:
        grouped.setdefault(name, []).append(value)
    return grouped


def _list_drawn(session: Session) -> list[str]:
    return list(session.exec(select(Draw.request_id).order_by(Draw.request_id)))


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
        restated += restate_votes(current.session, case, draw, at=current.at)
        add_event(current, case, Action.DRAW, {"sample_id": draw.sample_id})
        reopened += case.state != before
    return reopened, restated
