"""Pairs out of rankings as feedback sets take them: each like a judged turn with a better and a worse answer."""

from __future__ import annotations

from datetime import datetime

import polars as pl
import sqlalchemy as sa
from sqlmodel import select

from core.records import RecordStore
from incidents.exports.exporter import MESSAGES
from incidents.ranking.models import Ranking
from incidents.ranking.pairs import derive_pairs, find_texts
from incidents.ranking.prompts import list_sets, read_prompts
from incidents.ranking.ranks import list_standing

SCHEMA: dict[str, pl.DataType] = {
    "request_id": pl.String(),
    "ts": pl.Datetime("us"),
    "conversation_id": pl.String(),
    "prompt": pl.String(),
    "messages": MESSAGES,
    "context_ids": pl.List(pl.String),
    "good": pl.String(),
    "bad": pl.String(),
    "reviewers": pl.List(pl.String),
    "votes": pl.Int64(),
    "margin": pl.Float64(),
    "last_label_at": pl.Datetime("us"),
}


def read_ranked(records: RecordStore) -> pl.DataFrame:
    """One row per pair of every ranking set, in order.

    Returns:
        Columns `SCHEMA`: `request_id` names set, prompt and both responses; `conversation_id` is that of the prompt, so that
        its pairs stay in one split; `ts` when a person first ranked the prompt, `last_label_at` when last; `reviewers` whose
        orders the pair rests on; `margin` as `pairs.Pair.margin`.
    """
    rows = []
    for name in list_sets(records):
        prompts, standing = read_prompts(records, name), list_standing(records, name)
        asked, texts = {prompt.prompt_id: prompt for prompt in prompts}, find_texts(prompts)
        times: dict[str, list[datetime]] = {}
        for item in standing:
            times.setdefault(item.prompt_id, []).append(item.ranked_at)
        for pair in derive_pairs(standing):
            prompt = asked[pair.prompt_id]
            rows.append(
                {
                    "request_id": f"ranking:{name}:{pair.prompt_id}:{pair.chosen}>{pair.rejected}",
                    "ts": min(times[pair.prompt_id]),
                    "conversation_id": f"ranking:{name}:{pair.prompt_id}",
                    "prompt": prompt.prompt,
                    "messages": [{"role": "user", "content": prompt.prompt}],
                    "context_ids": [prompt.request_id] if prompt.request_id else [],
                    "good": texts[pair.prompt_id, pair.chosen],
                    "bad": texts[pair.prompt_id, pair.rejected],
                    "reviewers": list(pair.raters),
                    "votes": len(pair.raters),
                    "margin": pair.margin,
                    "last_label_at": max(times[pair.prompt_id]),
                }
            )
    return pl.DataFrame(rows, schema=SCHEMA)


def count_rankings(records: RecordStore) -> int:
    """Rankings cast so far, outdated ones included: a new one changes what `read_ranked` gives."""
    with records.session() as session:
        return session.exec(select(sa.func.count()).select_from(Ranking)).one()
