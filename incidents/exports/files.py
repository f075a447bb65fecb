"""A feedback set as bytes: training files, provenance, and the hashes that the manifest pins."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from io import BytesIO

import polars as pl

from incidents.exports.feedback import FeedbackSet

PROVENANCE = "provenance.jsonl"

# U+007F to U+009F, line and paragraph separators and bidirectional controls, as UTF-8. JSON allows them raw,
# but they break lines for `str.splitlines`, reorder what a person reads, and drive a terminal. They occur
# only inside strings.
_UNSAFE = re.compile(rb"\x7f|\xc2[\x80-\x9f]|\xe2\x80[\x8e\x8f\xa8-\xae]|\xe2\x81[\xa6-\xa9]")


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of rows."""

    name: str
    content: bytes
    rows: int

    @property
    def sha256(self) -> str:
        """Hash of the content, as hexadecimal digits."""
        return hashlib.sha256(self.content).hexdigest()


def split_file(name: str) -> str:
    """The file that holds a split."""
    return f"{name}.jsonl"


def render_splits(feedback: FeedbackSet) -> list[DataFile]:
    """The training files, one per split, in the split's order; only the exporter's columns."""
    files = []
    for name in feedback.recipe.split:
        rows = feedback.training_rows(name)
        files.append(DataFile(split_file(name), to_lines(rows), rows.height))
    return files


def render_provenance(feedback: FeedbackSet, splits: list[DataFile], case_ids: pl.DataFrame) -> DataFile:
    """Where each row comes from, in the order of the training files: line n of a split is its row n, from 0.

    Args:
        feedback: The set.
        splits: Its rendered training files.
        case_ids: request_id and case_id, one row per case.
    """
    pseudonyms = pl.DataFrame(
        {"reviewers": list(feedback.reviewers), "pseudonym": list(feedback.reviewers.values())},
        schema={"reviewers": pl.String, "pseudonym": pl.String},
    )
    parts = []
    for name, file in zip(feedback.recipe.split, splits, strict=True):
        hashes = [hashlib.sha256(line).hexdigest() for line in file.content.split(b"\n")[:-1]]
        rows = feedback.rows.filter(split=name).with_row_index("row")
        parts.append(rows.with_columns(row_sha256=pl.Series(hashes, dtype=pl.String)))
    rows = pl.concat(parts)
    names = (
        rows.select("split", "row", "reviewers")
        .explode("reviewers")
        .join(pseudonyms, on="reviewers", how="left", maintain_order="left")
        .group_by("split", "row", maintain_order=True)
        .agg(reviewers="pseudonym")
    )
    rows = rows.drop("reviewers").join(names, on=["split", "row"], how="left", maintain_order="left")
    rows = rows.join(case_ids, on="request_id", how="left", maintain_order="left")
    votes = pl.col("votes")
    # Only sets with pairs out of rankings have a margin to tell.
    margin = ["margin"] if "margin" in rows.columns else []
    provenance = rows.select(
        "split",
        "row",
        "row_sha256",
        "request_id",
        "context_ids",
        "conversation_id",
        "component",
        "case_id",
        "kind",
        "origin",
        "harmful",
        pl.struct(
            harmful=(pl.col("harmful_votes") / votes).round(6),
            benign=(pl.col("benign_votes") / votes).round(6),
            unsure=(pl.col("unsure_votes") / votes).round(6),
        ).alias("label_distribution"),
        "votes",
        "is_contested",
        "category",
        "severity",
        "reasons",
        "principle_ids",
        "reviewers",
        "label_ids",
        "selection",
        "stratum",
        "inclusion_probability",
        "weight",
        *margin,
        "guideline_version",
        pl.col("last_label_at").dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"),
    )
    return DataFile(PROVENANCE, to_lines(provenance), provenance.height)


def to_lines(rows: pl.DataFrame) -> bytes:
    """`rows` as JSON lines: UTF-8, one line per row however a reader splits lines, inert in a terminal."""
    buffer = BytesIO()
    rows.write_ndjson(buffer)
    return _UNSAFE.sub(_escape, buffer.getvalue())


def _escape(match: re.Match[bytes]) -> bytes:
    return f"\\u{ord(match.group().decode()):04x}".encode()
