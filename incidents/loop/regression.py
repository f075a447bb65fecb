"""Confirmed verdicts as regression cases: what a candidate filter brings back that people have already decided."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import ibis
import polars as pl
import sqlalchemy as sa
from ibis.backends import BaseBackend
from sqlmodel import col, select

from core.errors import NotFoundError
from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.enums import Action, CaseState, GuidedEnum
from incidents.exports.exporter import fold
from incidents.filing import chunked
from incidents.models import Case
from incidents.people import Actor, Role
from incidents.views import add_event
from ingest.batch import IngestSummary
from ingest.files import ingest_paths
from ingest.schema import create_tables
from metrics.consensus import consensus
from metrics.events import checks, fetch, turns
from metrics.query import Query


class Finding(GuidedEnum):
    """What a candidate does with one confirmed verdict."""

    RETURNED = "false_positive_returned", "False positive returned", "A benign turn that was stopped is stopped again."
    LOST = "true_positive_lost", "True positive lost", "A harmful turn that was stopped is let through."
    NEW_BLOCK = "new_false_positive", "New false positive", "A benign turn that passed is stopped now."
    PASSED = "passed", "Passed", "The candidate decides as people did."
    STILL_MISSED = "still_missed", "Still missed", "A harmful turn that passed still passes: not worse, not mended."
    NOT_EVALUATED = "not_evaluated", "Not evaluated", "The candidate's log has no decision about it: no pass."


CAME_BACK = (Finding.RETURNED, Finding.LOST, Finding.NEW_BLOCK)
"""Findings that are worse than what stands."""

ROW: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "case_id": pl.String(),
    "finding": pl.String(),
    "expected": pl.String(),
    "harmful": pl.Boolean(),
    "category": pl.String(),
    "votes": pl.Int64(),
    "is_contested": pl.Boolean(),
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A candidate filter's log.

    Attributes:
        names: `filter_name@version`, sorted.
        filter_names: Names of its filters.
        decisions: request_id, text (what was checked, folded) and fired, one row per decided check; errors and checks
            that were not run are not among them.
        ingest: What became of its records.
    """

    names: tuple[str, ...]
    filter_names: tuple[str, ...]
    decisions: pl.DataFrame
    ingest: IngestSummary


@dataclass(frozen=True, slots=True)
class RegressionReport:
    """What a candidate does with every confirmed verdict.

    Attributes:
        candidate: `Candidate.names`.
        pinned_to: Filters (dimension, value) whose decisions are pinned; empty = all enforced ones.
        counts: Cases of each finding.
        rows: Columns `ROW`, one per case, what came back first. `expected` is block or allow.
        rejected: Records of the log that could not be read, by reason.
    """

    candidate: tuple[str, ...]
    pinned_to: tuple[tuple[str, str], ...]
    counts: dict[str, int]
    rows: pl.DataFrame
    rejected: dict[str, int]

    def of(self, *findings: Finding) -> pl.DataFrame:
        """The rows with one of these findings."""
        return self.rows.filter(pl.col("finding").is_in([finding.value for finding in findings]))

    def to_json(self) -> dict[str, Any]:
        """The report as plain values; the cases that passed are counted, not listed."""
        return {
            "candidate": list(self.candidate),
            "pinned_to": ["=".join(pair) for pair in self.pinned_to],
            "cases": self.rows.height,
            "counts": self.counts,
            "came_back": self.of(*CAME_BACK).to_dicts(),
            "not_evaluated": self.of(Finding.NOT_EVALUATED).to_dicts(),
            "rejections": self.rejected,
        }


def read_candidate(path: Path, *, settings: Settings) -> Candidate:
    """Reads a log as every log is read, into a store of its own that is gone afterwards.

    Raises:
        NotFoundError: There is no such file. FormatError: It is no log, or holds no decision of a filter.
    """
    with tempfile.TemporaryDirectory() as folder:
        events = EventStore(Path(folder) / "candidate.duckdb", threads=settings.store.threads)
        try:
            create_tables(events)
            summary = ingest_paths(events, [path], settings=settings)
            found = events.read(
                "SELECT request_id, content AS text, filter_name, filter_version, triggered AS fired FROM checks "
                "WHERE status = 'ok' AND triggered IS NOT NULL"
            )
        finally:
            events.close()
    if found.is_empty():
        raise NotFoundError("The log holds no decision of a filter", path.name, "Name a filter_log of the candidate.")
    version = pl.coalesce(pl.format("@{}", "filter_version"), pl.lit(""))
    return Candidate(
        names=tuple(found.select(name=pl.col("filter_name") + version)["name"].unique().sort()),
        filter_names=tuple(found["filter_name"].unique().sort()),
        decisions=found.select("request_id", text=fold(pl.col("text")), fired="fired"),
        ingest=summary,
    )


def check_candidate(events: EventStore, records: RecordStore, candidate: Candidate, query: Query) -> RegressionReport:
    """Compares a candidate with every confirmed verdict of the query.

    A case is a turn on which people agree by majority. Expected is a stop where it is harmful. What stood before is
    whether a pinned filter stopped it: those that the query names, else those of the candidate's name that the store
    knows, else all enforced ones. A candidate's decision is found by request id, else by the text that it checked.

    Args:
        events: Verdicts and what stood; the votes have been mirrored.
        records: Cases of the turns.
        candidate: Its log.
        query: Window and filters.

    Raises:
        NotFoundError: No confirmed verdict matches.
    """
    backend = events.backend()
    query = _pin(backend, query, candidate)
    cases = _read_cases(backend, query)
    if cases.is_empty():
        raise NotFoundError("No confirmed verdict matches", "", "Widen the window, drop a filter, or judge some cases.")
    decided = _match(cases, candidate.decisions)
    harmful, fired, stood = pl.col("harmful"), pl.col("fired"), pl.col("stood")
    finding = (
        pl.when(fired.is_null())
        .then(pl.lit(Finding.NOT_EVALUATED.value))
        .when(fired == harmful)
        .then(pl.lit(Finding.PASSED.value))
        .when(fired & stood)
        .then(pl.lit(Finding.RETURNED.value))
        .when(fired)
        .then(pl.lit(Finding.NEW_BLOCK.value))
        .when(stood)
        .then(pl.lit(Finding.LOST.value))
        .otherwise(pl.lit(Finding.STILL_MISSED.value))
    )
    order = [item.value for item in Finding]
    rows = (
        decided.with_columns(
            finding=finding, expected=pl.when(harmful).then(pl.lit("block")).otherwise(pl.lit("allow"))
        )
        .join(_find_case_ids(records, decided["request_id"].to_list()), on="request_id", how="left")
        .sort(pl.col("finding").replace_strict(order, range(len(order))), "request_id")
        .select(list(ROW))
    )
    counts = Counter(rows["finding"])
    return RegressionReport(
        candidate.names,
        query.of("filter_name", "rule_id", "layer"),
        {item.value: counts[item.value] for item in Finding},
        rows,
        candidate.ingest.rejections,
    )


def reopen_cases(
    records: RecordStore, request_ids: Sequence[str], *, candidate: Sequence[str], actor: Actor, at: datetime
) -> int:
    """Puts the decided and closed cases of these turns back into the queue; their votes stay. Returns how many.

    A turn without a case, one that waits already, and one that somebody holds stay as they are.

    Raises:
        AccessError: The actor is no lead.
    """
    actor.require(Role.LEAD)
    count = 0
    with change(records, actor=actor, at=at) as current:
        for chunk in chunked(sorted(request_ids)):
            cases = current.session.exec(
                select(Case).where(
                    col(Case.request_id).in_(chunk),
                    col(Case.state).in_([CaseState.DECIDED.value, CaseState.CLOSED.value]),
                    sa.or_(col(Case.leased_until).is_(None), col(Case.leased_until) <= at),
                )
            ).all()
            for case in cases:
                add_event(current, case, Action.REGRESS, {"candidate": ", ".join(candidate)})
            count += len(cases)
    return count


def _pin(backend: BaseBackend, query: Query, candidate: Candidate) -> Query:
    if query.of("filter_name", "rule_id", "layer"):
        return query
    table = backend.table("checks")
    known = table.filter(table.mode == "enforce", table.filter_name.isin(candidate.filter_names))
    names = sorted(fetch(backend, known.select("filter_name").distinct())["filter_name"])
    return replace(query, filters=(*query.filters, *(("filter_name", name) for name in names)))


def _read_cases(backend: BaseBackend, query: Query) -> pl.DataFrame:
    """Confirmed verdicts: request_id, prompt, harmful, category, votes, is_contested, and whether it `stood` stopped."""
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull(), verdicts.harmful.notnull()).select(
        "request_id", "harmful", "category", "votes", "is_contested"
    )
    # Turns are selected by the filters that checked them; a rule has no row on a turn on which it did not fire.
    scope = turns(backend, replace(query, filters=query.without("rule_id"))).select("request_id")
    stops = checks(backend, query)
    stops = stops.filter(stops.status == "ok", stops.triggered, stops.mode == "enforce")
    stood = stops.select("request_id").distinct().mutate(stood=ibis.literal(value=True))
    texts = backend.table("turns").select("request_id", "prompt")
    found = verdicts.semi_join(scope, "request_id").left_join(stood, "request_id").drop("request_id_right")
    rows = fetch(backend, found.left_join(texts, "request_id").drop("request_id_right"))
    return rows.with_columns(pl.col("stood").fill_null(value=False), pl.col("votes").cast(pl.Int64))


def _match(cases: pl.DataFrame, decisions: pl.DataFrame) -> pl.DataFrame:
    """`cases` with `fired`: whether any decision about the turn, else about its text, is a trigger; null without one."""
    by_id = decisions.drop_nulls("request_id").group_by("request_id").agg(by_id=pl.col("fired").any())
    by_text = decisions.drop_nulls("text").group_by("text").agg(by_text=pl.col("fired").any())
    return (
        cases.with_columns(text=fold(pl.col("prompt")))
        .join(by_id, on="request_id", how="left")
        .join(by_text, on="text", how="left")
        .with_columns(fired=pl.coalesce("by_id", "by_text"))
    )


def _find_case_ids(records: RecordStore, request_ids: Sequence[str]) -> pl.DataFrame:
    found: list[tuple[str, str]] = []
    with records.session() as session:
        for chunk in chunked(request_ids):
            found += session.exec(select(Case.request_id, Case.case_id).where(col(Case.request_id).in_(chunk))).all()
    return pl.DataFrame(found, schema={"request_id": pl.String, "case_id": pl.String}, orient="row")
