"""The effective verdict on each judged turn, derived from votes that are never overwritten."""

from __future__ import annotations

from typing import Final

import ibis
from ibis.backends import BaseBackend
from ibis.expr.types import Table

from metrics.stale import mark_stale

# A user's report or appeal is a claim to be judged, not a judgement.
CLAIMS = ("user_report", "appeal")
# The reason of a vote that takes its reviewer's earlier one back.
WITHDRAWN = "withdrawn"
# The selection of a verdict that settles those of others, given by somebody who saw them.
ADJUDICATION: Final = "adjudication"
# Verdicts that settle a turn whatever others say: an adjudication, and the known verdict of a golden item.
REFERENCES = (ADJUDICATION, "golden")


def standing_votes(backend: BaseBackend) -> Table:
    """Each reviewer's latest vote on a turn, or on one filter's verdict about it; withdrawn ones are gone.

    Columns are those of `labels`, and `position`, which orders the votes on one thing from oldest to newest.
    """
    labels = backend.table("labels")
    votes = labels.filter(
        labels.request_id.notnull(),
        labels.selection.isnull() | labels.selection.notin(CLAIMS),
    )
    votes = votes.mutate(label_id=votes.label_id.cast("string"))
    newest_first = ibis.window(
        group_by=[votes.request_id, votes.filter_name, votes.reviewer],
        order_by=[votes.ts.desc(), votes.ingest_id.desc(), votes.label_id.desc()],
    )
    votes = votes.mutate(age=ibis.row_number().over(newest_first))
    votes = votes.filter(votes.age == 0, votes.reason.isnull() | (votes.reason != WITHDRAWN)).drop("age")
    oldest_first = ibis.window(
        group_by=[votes.request_id, votes.filter_name],
        order_by=[votes.ts.asc(), votes.ingest_id.asc(), votes.label_id.asc()],
    )
    return votes.mutate(position=ibis.row_number().over(oldest_first))


def consensus(backend: BaseBackend, *, with_stale: bool = False) -> Table:
    """One row per judged turn (`filter_name` null), and per turn and filter for verdicts about one filter.

    Votes that the policy has outdated (`metrics.stale`) do not count beside others, and a turn that has no other is left out.

    Args:
        backend: The event store.
        with_stale: Keep turns that have none but outdated votes, with what those say.

    Returns:
        request_id, conversation_id (as a label has it), filter_name, harmful (what the newest of `REFERENCES` says, else most
        reviewers who decided; null when tied or nobody decided), votes, harmful_votes, benign_votes, unsure_votes, is_contested (both sides have votes),
        is_adjudicated (a reference settles it), is_stale (all of its votes are outdated),
        category and severity (of the newest vote that agrees with the verdict), selection, stratum and
        inclusion_probability (of the newest vote drawn with a known probability, else of the newest),
        guideline_version (of the newest), last_label_at.
    """
    votes = mark_stale(backend, standing_votes(backend))
    on_thing = ibis.window(group_by=[votes.request_id, votes.filter_name])
    votes = votes.mutate(has_fresh=(~votes.is_stale).cast("int64").max().over(on_thing) == 1)
    votes = votes.filter(~votes.is_stale | (~votes.has_fresh if with_stale else False))
    is_drawn = votes.inclusion_probability.notnull()
    is_harmful = votes.harmful.fill_null(False)
    is_benign = (~votes.harmful).fill_null(False)
    is_reference = votes.selection.isin(REFERENCES).fill_null(False) & votes.harmful.notnull()
    newest = votes.position
    tally = votes.group_by("request_id", "filter_name").agg(
        votes=votes.count(),
        stale_votes=votes.is_stale.cast("int64").sum().cast("int64"),
        harmful_votes=is_harmful.cast("int64").sum().cast("int64"),
        benign_votes=is_benign.cast("int64").sum().cast("int64"),
        unsure_votes=votes.harmful.isnull().cast("int64").sum().cast("int64"),
        reference=votes.harmful.argmax(newest, where=is_reference),
        reference_category=votes.category.argmax(newest, where=is_reference & votes.category.notnull()),
        reference_severity=votes.severity.argmax(newest, where=is_reference & votes.severity.notnull()),
        conversation_id=votes.conversation_id.argmax(newest, where=votes.conversation_id.notnull()),
        harmful_category=votes.category.argmax(newest, where=is_harmful & votes.category.notnull()),
        benign_category=votes.category.argmax(newest, where=is_benign & votes.category.notnull()),
        harmful_severity=votes.severity.argmax(newest, where=is_harmful & votes.severity.notnull()),
        benign_severity=votes.severity.argmax(newest, where=is_benign & votes.severity.notnull()),
        any_selection=votes.selection.argmax(newest, where=votes.selection.notnull()),
        drawn_selection=votes.selection.fill_null("").argmax(newest, where=is_drawn),
        # Text instead of null, because the stratum must come from the same vote as the probability.
        stratum=votes.stratum.fill_null("").argmax(newest, where=is_drawn),
        inclusion_probability=votes.inclusion_probability.argmax(newest, where=is_drawn),
        guideline_version=votes.guideline_version.argmax(newest, where=votes.guideline_version.notnull()),
        last_label_at=votes.ts.max(),
    )
    majority = ibis.cases(
        (tally.harmful_votes > tally.benign_votes, ibis.literal(value=True)),
        (tally.harmful_votes < tally.benign_votes, ibis.literal(value=False)),
        else_=ibis.null("boolean"),
    )
    harmful = ibis.coalesce(tally.reference, majority)
    return tally.select(
        "request_id",
        "conversation_id",
        "filter_name",
        harmful=harmful,
        votes=tally.votes,
        harmful_votes=tally.harmful_votes,
        benign_votes=tally.benign_votes,
        unsure_votes=tally.unsure_votes,
        is_contested=(tally.harmful_votes > 0) & (tally.benign_votes > 0),
        is_adjudicated=tally.reference.notnull(),
        is_stale=tally.stale_votes > 0,
        category=ibis.coalesce(
            tally.reference_category,
            ibis.cases((harmful, tally.harmful_category), (~harmful, tally.benign_category), else_=ibis.null("string")),
        ),
        severity=ibis.coalesce(
            tally.reference_severity,
            ibis.cases((harmful, tally.harmful_severity), (~harmful, tally.benign_severity), else_=ibis.null("int32")),
        ),
        selection=ibis.coalesce(tally.drawn_selection.nullif(""), tally.any_selection),
        stratum=tally.stratum.nullif(""),
        inclusion_probability=tally.inclusion_probability,
        guideline_version=tally.guideline_version,
        last_label_at=tally.last_label_at,
    )
