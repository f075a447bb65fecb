"""The dataset card: README.md with the front matter that dataset hubs read.

Format: the Hugging Face dataset card (formats.md section 8.4). Front matter values are written as JSON, which
is YAML. Logged names appear in code spans with everything escaped that Markdown, HTML or a terminal could act
on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from incidents.exports.exporter import REFUSALS
from incidents.exports.feedback import FeedbackSet
from incidents.exports.files import PROVENANCE, DataFile, split_file
from incidents.exports.leakage import Leakage
from incidents.exports.manifest import MANIFEST, describe_query, suggest_weights
from incidents.exports.shapes import describe_feature

CARD = "README.md"

WARNING = (
    "This set holds text that people judged harmful, beside text they judged benign. Keep it where only "
    "people who need it for safety work can read it. Undesirable and rejected completions are there to be "
    "unlearned: never train on them as answers to imitate."
)
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LANGUAGE = re.compile(r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")
_UNSAFE = re.compile(r"[^A-Za-z0-9 .,:;/@+_=-]")
_MAX_NAME_CHARS = 120


def build_card(feedback: FeedbackSet, splits: Sequence[DataFile]) -> bytes:
    """The card as UTF-8."""
    exporter = feedback.recipe.exporter
    return "\n".join(
        [
            "---",
            *(f"{key}: {json.dumps(value)}" for key, value in _front_matter(feedback, splits).items()),
            "---",
            "",
            f"# {exporter.title}",
            "",
            exporter.description,
            "",
            f"> **Content warning.** {WARNING}",
            "",
            *_rows_section(feedback),
            *_refusals_section(feedback),
            *_making_section(feedback),
        ]
    ).encode()


def _front_matter(feedback: FeedbackSet, splits: Sequence[DataFile]) -> dict[str, Any]:
    exporter = feedback.recipe.exporter
    # A reader refuses a split without rows, so an empty one is a file but not declared.
    filled = [(name, file) for name, file in zip(feedback.recipe.split, splits, strict=True) if file.rows]
    tags = feedback.rows["language"].drop_nulls().unique().sort().to_list()
    languages = [tag for tag in tags if _LANGUAGE.match(tag)]
    size = sum(len(file.content) for _, file in filled)
    return {
        "pretty_name": f"Weir feedback set: {exporter.title}",
        **({"language": languages} if languages else {}),
        "license": "other",
        "license_name": "internal-use",
        "task_categories": [exporter.task],
        "tags": ["trust-and-safety", "human-feedback", exporter.key, "not-for-all-audiences"],
        "annotations_creators": ["expert-generated"],
        "source_datasets": ["original"],
        "size_categories": [next((label for limit, label in _SIZES if feedback.rows.height < limit), "1M<n<10M")],
        "extra_gated_prompt": WARNING,
        "configs": [
            {
                "config_name": "default",
                "data_files": [{"split": name, "path": split_file(name)} for name, _ in filled],
            }
        ],
        "dataset_info": {
            "features": [describe_feature(name, dtype) for name, dtype in exporter.columns.items()],
            "splits": [
                {"name": name, "num_bytes": len(file.content), "num_examples": file.rows} for name, file in filled
            ],
            "download_size": size,
            "dataset_size": size,
        },
    }


def _rows_section(feedback: FeedbackSet) -> list[str]:
    kinds = feedback.recipe.exporter.kinds
    balance = feedback.balance()
    lines = [
        "## Rows",
        "",
        f"| split | rows | {' | '.join(kinds)} |",
        "|---|---:|" + "---:|" * len(kinds),
        *(
            f"| {name} | {sum(counts.values())} | {' | '.join(str(counts[kind]) for kind in kinds)} |"
            for name, counts in balance.items()
        ),
        "",
    ]
    weights = suggest_weights(feedback)
    if weights:
        values = ", ".join(f"`{name}={value:g}`" for name, value in weights.items())
        lines += [f"Suggested loss weights for the first split: {values}.", ""]
    return lines


def _refusals_section(feedback: FeedbackSet) -> list[str]:
    if not feedback.refused:
        return ["## Left out", "", "Nothing was refused.", ""]
    return [
        "## Left out",
        "",
        "| reason | turns or rows | meaning |",
        "|---|---:|---|",
        *(f"| {reason} | {count} | {REFUSALS[reason].guidance} |" for reason, count in feedback.refused.items()),
        "",
    ]


def _making_section(feedback: FeedbackSet) -> list[str]:
    recipe = feedback.recipe
    query = describe_query(recipe.query)
    filters = [f"{name}={value}" for name, value in query["filters"]]
    shares = ", ".join(f"{name} {share:g}" for name, share in recipe.split.items())
    guidelines = feedback.rows["guideline_version"].drop_nulls().unique().sort().to_list()
    versions = [
        f"{entry['filter_name']}@{entry['filter_version'] or 'unversioned'}" for entry in feedback.filter_versions
    ]
    contested = "taken by majority" if recipe.takes_contested else "refused"
    return [
        "## How it was made",
        "",
        f"- Turns: from {query['since'] or 'the first'} to {query['until'] or 'the last'}, "
        f"filters {_codes(filters)}; {feedback.judged} judged turns.",
        f"- Labels: majority of the reviewers' latest votes, contested turns {contested}. "
        f"`{PROVENANCE}` has every row's votes, their distribution, and pseudonyms of the reviewers.",
        f"- Guideline versions: {_codes(guidelines)}.",
        f"- Filters that checked these turns: {_codes(versions)}.",
        f"- Split: {shares}, seed {recipe.seed}. Conversations, users and near-duplicate prompts are never torn apart, "
        "and what an earlier set held out is never trained on.",
        f"- Leakage: {_describe_leakage(feedback.leakage)}",
        "- Personal data: rows with an e-mail address, phone or card number or public IP address were "
        "refused; other personal data may remain.",
        f"- Hashes, limits and versions: `{MANIFEST}`. The same store, query and seed give the same bytes.",
        "",
    ]


def _describe_leakage(leakage: Leakage) -> str:
    found = (
        f"{leakage.conversations} conversations, {leakage.users} users, {leakage.prompts} prompts and "
        f"{leakage.near_duplicates} groups of near-duplicates in more than one split; {leakage.held_out_before} training rows "
        f"with what an earlier set held out. {leakage.components} groups, the largest of {leakage.largest_component} rows."
    )
    if leakage.kept_held_out:
        found += f" {leakage.kept_held_out} rows are held out because an earlier set held out what they belong with."
    if leakage.held_out_after_training:
        found += f" {leakage.held_out_after_training} held-out rows trained an earlier set: test only models that are trained anew."
    return found


def _codes(names: Iterable[str]) -> str:
    return ", ".join(_code(name) for name in names) or "none"


def _code(name: str) -> str:
    """A logged name as an inert code span: anything unusual becomes its code point."""
    plain = _UNSAFE.sub(lambda match: f"U+{ord(match.group()):04X}", name[:_MAX_NAME_CHARS])
    return f"`{plain or ' '}`"
