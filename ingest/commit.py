"""Several posts into the store in one transaction, with the outcome of each as if it had come alone.

Posts of one format and source are loaded as one batch, since a batch costs more than its rows do. Refused records are rare:
only when there are some is the transaction undone, and done again without the posts that must not be stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import pyarrow as pa

from core.errors import UnfitValueError
from core.events import Connection, EventStore
from core.settings import Settings
from ingest.batch import Batch
from ingest.intake import Post
from ingest.load import load_batch
from ingest.salvage import part_unfit


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a record was refused, and where it stands."""

    position: int
    field: str | None
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one post.

    Attributes:
        is_stored: Whether the records without fault are in the store now.
        accepted: Records that were new.
        duplicates: Records that were known already.
        ignored: Records that tell of no turn, check or verdict.
        rejections: Refused records, by reason.
        first: The first refused record.
    """

    is_stored: bool
    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejections: dict[str, int] = field(default_factory=dict)
    first: Refusal | None = None


class _Undo(Exception):  # noqa: N818  it says what to do, not what went wrong
    """Rolls the transaction back, because records of these posts were refused."""

    def __init__(self, refused: dict[int, Outcome]) -> None:
        self.refused = refused


def store_posts(events: EventStore, posts: Sequence[Post], *, settings: Settings) -> list[Outcome]:
    """Stores posts in one transaction; the outcomes are in the order of `posts`.

    A post with a refused record is left out whole, unless it is partial.
    """
    outcomes = {index: Outcome(is_stored=True) for index, post in enumerate(posts) if not post.read}
    alone = {index for index, post in enumerate(posts) if post.records.rejects.num_rows}
    while len(outcomes) < len(posts):
        left = [index for index in range(len(posts)) if index not in outcomes]
        groups = _group(posts, left, alone)
        try:
            outcomes |= events.write(partial(_store, posts=posts, groups=groups, settings=settings))
        except UnfitValueError:
            posts = [_part_unfit(events, post, settings) if index in left else post for index, post in enumerate(posts)]
            alone |= {index for index in left if posts[index].records.rejects.num_rows}
        except _Undo as undo:
            # A partial post is loaded by itself the next time, so that quarantine names places in its own body.
            alone |= undo.refused.keys()
            outcomes |= {index: outcome for index, outcome in undo.refused.items() if not posts[index].is_partial}
    return [outcomes[index] for index in range(len(posts))]


def _part_unfit(events: EventStore, post: Post, settings: Settings) -> Post:
    records = post.records
    batch = Batch(records.lines, records.rejects, post.source)
    parted = part_unfit(events, post.log_format, batch, settings=settings)
    return replace(post, records=replace(records, lines=parted.lines, rejects=parted.rejects))


def _group(posts: Sequence[Post], left: Sequence[int], alone: set[int]) -> list[list[int]]:
    groups: dict[tuple[str, str, int], list[int]] = {}
    for index in left:
        key = (posts[index].log_format.key, posts[index].source, index if index in alone else -1)
        groups.setdefault(key, []).append(index)
    return list(groups.values())


def _store(
    connection: Connection, posts: Sequence[Post], groups: Sequence[Sequence[int]], settings: Settings
) -> dict[int, Outcome]:
    outcomes: dict[int, Outcome] = {}
    refused: dict[int, Outcome] = {}
    for group in groups:
        members = [posts[index] for index in group]
        found = dict(zip(group, _load(connection, members, settings), strict=True))
        bad = {index: outcome for index, outcome in found.items() if outcome.rejections}
        if bad and (len(group) > 1 or not members[0].is_partial):
            refused |= bad
        outcomes |= found
    if refused:
        raise _Undo(refused)
    return outcomes


def _load(connection: Connection, members: Sequence[Post], settings: Settings) -> list[Outcome]:
    """Loads posts of one format and source as one batch; the lines of each follow on those of the one before."""
    offsets, tables, rejects = [0], [], []
    for post in members:
        lines, unreadable = post.records.lines, post.records.rejects
        tables.append(_shift(lines, offsets[-1]))
        rejects.append(_shift(unreadable, offsets[-1]))
        offsets.append(offsets[-1] + post.records.line_count + lines.num_rows)
    first = members[0]
    batch = Batch(pa.concat_tables(tables), pa.concat_tables(rejects), first.source)
    summary = load_batch(connection, first.log_format, batch, settings=settings)
    stored, yielding = (_count_lines(connection, table, offsets) for table in ("contributing", "yielding"))
    outcomes = []
    for post, start, end, accepted, told in zip(members, offsets, offsets[1:], stored, yielding, strict=False):
        rejections = _count_refused(connection, start, end) if summary.rejected else {}
        is_stored = post.is_partial or not rejections
        outcomes.append(
            Outcome(
                is_stored,
                accepted if is_stored else 0,
                told - accepted if is_stored else 0,
                post.read - told - sum(rejections.values()) if is_stored else 0,
                rejections,
                _find_first(connection, start, end) if rejections else None,
            )
        )
    return outcomes


def _count_lines(connection: Connection, table: str, offsets: Sequence[int]) -> list[int]:
    """How many lines of each post `table` names."""
    lines = np.unique(connection.execute(f"SELECT line_no FROM {table}").fetchnumpy()["line_no"])
    counts: list[int] = np.diff(np.searchsorted(lines, offsets, side="right")).tolist()
    return counts


def _shift(table: pa.Table, offset: int) -> pa.Table:
    if not offset:
        return table
    numbers = table.column("line_no").to_numpy() + offset
    return table.set_column(0, "line_no", pa.array(numbers, pa.int64()))


def _count_refused(connection: Connection, start: int, end: int) -> dict[str, int]:
    """Refused records by reason on the lines after `start` up to `end`."""
    return dict(
        connection.execute(
            "SELECT reason, count(*) FROM refused WHERE line_no > ? AND line_no <= ? GROUP BY 1 ORDER BY 1",
            [start, end],
        ).fetchall()
    )


def _find_first(connection: Connection, start: int, end: int) -> Refusal:
    number, name, reason, detail = connection.execute(
        "SELECT line_no, field, reason, detail FROM refused WHERE line_no > ? AND line_no <= ? "
        "ORDER BY line_no LIMIT 1",
        [start, end],
    ).fetchall()[0]
    return Refusal(number - start, name, reason, detail)
