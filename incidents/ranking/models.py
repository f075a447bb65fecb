"""Tables of the ranking of responses, beside those of `incidents.models`. Rankings are only ever added to."""

from __future__ import annotations

import sqlalchemy as sa
from pydantic import NaiveDatetime
from sqlmodel import Field

from incidents.models import Record


class RankingPrompt(Record, table=True):
    """One prompt whose responses people rank."""

    __tablename__ = "ranking_prompts"

    ranking_set: str = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True)
    request_id: str | None
    prompt: str = Field(sa_type=sa.Text)
    position: int
    loaded_at: NaiveDatetime


class RankingResponse(Record, table=True):
    """One response to a prompt that people rank."""

    __tablename__ = "ranking_responses"

    ranking_set: str = Field(primary_key=True)
    prompt_id: str = Field(primary_key=True)
    response_id: str = Field(primary_key=True)
    model: str | None
    text: str = Field(sa_type=sa.Text)


class Ranking(Record, table=True):
    """One person's order of a prompt's responses; a later one of theirs counts in its place."""

    __tablename__ = "rankings"
    __table_args__ = (sa.Index("ix_rankings_ranking_set_prompt_id", "ranking_set", "prompt_id"),)

    ranking_id: int | None = Field(default=None, primary_key=True)
    ranking_set: str
    prompt_id: str
    rater: str
    ranked_at: NaiveDatetime
    ranks: str = Field(sa_type=sa.Text)
    rationale: str = Field(sa_type=sa.Text)
