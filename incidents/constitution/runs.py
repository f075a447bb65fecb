"""Runs of a suite: model logs whose turns name it; what people, or else the critique model, found in each answer."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import polars as pl
from sqlmodel import col, select

from core.events import EventStore
from core.records import RecordStore
from incidents.constitution.suites import normalise_prompt, read_prompts
from incidents.models import Revision
from metrics.consensus import consensus, standing_votes

ONLY_ARM = "-"
"""What stands for the arm of a run whose log names none."""

FINDINGS: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "harmful": pl.Boolean(),
    "cited": pl.List(pl.String()),
    "is_verified": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one suite, with the number of its turns."""

    suite: str
    arm: str
    turns: int


def list_runs(events: EventStore) -> list[Run]:
    """Every run in the event store, oldest first."""
    turns = events.backend().table("turns")
    turns = turns.filter(turns.suite.notnull()).mutate(arm=turns.arm.fill_null(ONLY_ARM))
    found = turns.group_by("suite", "arm").agg(turns=turns.count(), first=turns.ts.min()).to_polars()
    rows = found.sort("suite", "first", "arm").select("suite", "arm", "turns").iter_rows()
    return [Run(*row) for row in rows]


def read_answers(events: EventStore, records: RecordStore, suite: str, arm: str) -> pl.DataFrame:
    """The suite's prompts with the last answer that a run gave to each.

    Returns:
        Columns of `suites.PROMPTS`; `request_id`, `response`, null where the run has no answer; and prompts that the
        run holds without being in the suite, whose `prompt_id` and `principle_id` are null.
    """
    turns = events.backend().table("turns")
    turns = turns.filter(turns.suite == suite, turns.arm.fill_null(ONLY_ARM) == arm)
    logged: pl.DataFrame = turns.select("request_id", "ts", "prompt", "response").to_polars()
    logged = logged.with_columns(_key=_key()).sort("ts", "request_id").unique("_key", keep="last", maintain_order=True)
    prompts = read_prompts(records, suite).with_columns(_key=_key())
    answers = prompts.join(
        logged.select("_key", "request_id", "response"), on="_key", how="left", maintain_order="left"
    )
    unknown = logged.join(prompts, on="_key", how="anti", maintain_order="left").select(
        *(pl.lit(None, pl.String).alias(name) for name in ("prompt_id", "principle_id", "attack")),
        "prompt",
        "request_id",
        "response",
        suite=pl.lit(suite),
    )
    return pl.concat([answers.drop("_key"), unknown], how="diagonal")


def read_findings(events: EventStore, records: RecordStore, request_ids: Collection[str]) -> pl.DataFrame:
    """What is known about answers: a person's verdict, else the critique model's; columns `FINDINGS`.

    `harmful` is null while nobody has decided; `cited` holds the principles that the verdict names.
    """
    people = _read_verdicts(events, request_ids)
    judged = set(people.filter(pl.col("harmful").is_not_null())["request_id"])
    machine = [row for row in _read_machine(records, request_ids) if row[0] not in judged]
    people = people.filter(pl.col("request_id").is_in(list(judged)))
    return pl.concat([people, pl.DataFrame(machine, schema=FINDINGS, orient="row")])


def _key() -> pl.Expr:
    return pl.col("prompt").map_elements(normalise_prompt, return_dtype=pl.String)


def _read_verdicts(events: EventStore, request_ids: Collection[str]) -> pl.DataFrame:
    backend, wanted = events.backend(), list(request_ids)
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull(), verdicts.request_id.isin(wanted))
    votes = standing_votes(backend)
    votes = votes.filter(votes.filter_name.isnull(), votes.request_id.isin(wanted))
    cited = votes.select("request_id", "principle_id", vote="harmful").to_polars()
    found: pl.DataFrame = verdicts.select("request_id", "harmful").to_polars()
    agreeing = cited.join(found, on="request_id").filter(
        pl.col("vote") & pl.col("harmful") & pl.col("principle_id").is_not_null()
    )
    named = agreeing.group_by("request_id").agg(cited=pl.col("principle_id").unique().sort())
    return (
        found.join(named, on="request_id", how="left")
        .with_columns(pl.col("cited").fill_null([]), is_verified=pl.lit(value=True))
        .select(*FINDINGS)
        .cast(pl.Schema(FINDINGS))
    )


def _read_machine(records: RecordStore, request_ids: Collection[str]) -> list[tuple[str, bool, list[str], bool]]:
    """Per turn the newest critiques: broken when any principle was."""
    wanted = set(request_ids)
    with records.session() as session:
        rows = session.exec(select(Revision).order_by(col(Revision.revision_id))).all()
    newest = {(row.request_id, row.principle_id): row for row in rows if row.request_id in wanted}
    found: dict[str, list[str]] = {}
    for (request_id, principle_id), row in newest.items():
        if row.is_violation is not None:
            found.setdefault(request_id, [])
            found[request_id] += [principle_id] if row.is_violation else []
    return [(request_id, bool(cited), sorted(cited), False) for request_id, cited in found.items()]
