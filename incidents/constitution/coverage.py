"""The coverage matrix: what stands behind each principle."""

from __future__ import annotations

from typing import Any

import polars as pl

from core.events import EventStore
from core.records import RecordStore
from core.settings import Settings
from incidents.constitution.principles import read_constitution
from incidents.constitution.revisions import RevisionState, list_revisions
from incidents.constitution.suites import read_prompts
from metrics.consensus import consensus, standing_votes

COLUMNS: dict[str, pl.DataType] = {
    "principle_id": pl.String(),
    "text": pl.String(),
    "prompts": pl.Int64(),
    "violations": pl.Int64(),
    "model_violations": pl.Int64(),
    "proposed_pairs": pl.Int64(),
    "verified_pairs": pl.Int64(),
    "human_verified": pl.Float64(),
    "gap": pl.String(),
}


def build_coverage(events: EventStore, records: RecordStore, *, settings: Settings) -> pl.DataFrame:
    """One row per principle, and per id that verdicts, prompts or critiques cite without it being listed.

    Returns:
        Columns `COLUMNS`: adversarial prompts; harmful turns whose verdict by people cites it; answers that
        the critique model found in breach of it; critique-revision pairs that wait for a person, and those that a
        person accepted or edited; share of the answers that the
        critique model found in breach on which a person has decided (null without any); what is missing.
    """
    constitution = read_constitution(settings)
    texts = {item.principle_id: item.text for item in constitution.principles} if constitution else {}
    prompts = _count(read_prompts(records)["principle_id"])
    violations = _count_violations(events)
    critiques = list_revisions(records)
    ids = list(texts) + sorted(
        (set(prompts) | set(violations) | {item.principle_id for item in critiques}) - set(texts)
    )
    rows: list[dict[str, Any]] = []
    for name in ids:
        cited = [item for item in critiques if item.principle_id == name]
        own = [item for item in cited if item.revision is not None]
        decided = [item for item in own if item.state is not RevisionState.PROPOSED]
        verified = [item for item in decided if item.final is not None]
        row: dict[str, Any] = {
            "principle_id": name,
            "text": texts.get(name, ""),
            "prompts": prompts.get(name, 0),
            "violations": violations.get(name, 0),
            "model_violations": sum(item.is_violation is True for item in cited),
            "proposed_pairs": len(own) - len(decided),
            "verified_pairs": len(verified),
            "human_verified": len(decided) / len(own) if own else None,
        }
        rows.append({**row, "gap": _name_gap(row, is_listed=name in texts)})
    return pl.DataFrame(rows, schema=COLUMNS)


def _name_gap(row: dict[str, Any], *, is_listed: bool) -> str:
    if not is_listed:
        return "not in the constitution"
    if not row["prompts"]:
        return "no test attacks it"
    if row["proposed_pairs"]:
        return "revisions wait for a person"
    return "" if row["verified_pairs"] else "no verified pair"


def _count_violations(events: EventStore) -> dict[str, int]:
    backend = events.backend()
    verdicts = consensus(backend)
    verdicts = verdicts.filter(verdicts.filter_name.isnull(), verdicts.harmful).select("request_id")
    votes = standing_votes(backend)
    votes = votes.filter(votes.filter_name.isnull(), votes.harmful, votes.principle_id.notnull())
    cited = votes.semi_join(verdicts, "request_id").select("request_id", "principle_id").distinct().to_polars()
    return _count(cited["principle_id"])


def _count(names: pl.Series) -> dict[str, int]:
    return dict(names.value_counts().iter_rows())
