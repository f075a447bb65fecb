"""The documentation says what the code says. `python tests/test_docs.py` rewrites the generated part."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ingest.schema import TABLES, Table

DOCS = Path(__file__).parents[1] / "docs"
DATA_MODEL = DOCS / "data-model.md"
BEGIN = "<!-- tables: written by `python tests/test_docs.py` from ingest/schema.py -->\n"
SUMMED = "as in the rows that are summed"
END = "<!-- end of tables -->\n"
ADRS = sorted((DOCS / "adr").glob("[0-9]*.md"))


def render_tables() -> str:
    """The canonical tables as Markdown."""
    return "\n".join(_render(table) for table in TABLES)


def _render(table: Table) -> str:
    rows = [f"| `{column.name}` | {column.type} | {column.meaning or SUMMED} |" for column in table.columns]
    head = [f"### `{table.name}`", table.meaning, "", "| column | type | meaning |", "|---|---|---|"]
    return "\n".join([*head, *rows]) + "\n"


def split_page(page: str) -> tuple[str, str, str]:
    """What stands before, between and after the markers."""
    before, rest = page.split(BEGIN)
    tables, after = rest.split(END)
    return before + BEGIN, tables, END + after


def test_data_model_holds_the_canonical_tables() -> None:
    assert split_page(DATA_MODEL.read_text())[1] == render_tables()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_canonical_column_is_documented(table: Table) -> None:
    section = DATA_MODEL.read_text().split(f"### `{table.name}`\n")[1].split("\n### ")[0]
    documented = re.findall(r"^\| `(\w+)` \| (\w+) \|", section, re.MULTILINE)
    assert documented == [(column.name, column.type) for column in table.columns]


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.name[:4]) for path in ADRS] == list(range(1, len(ADRS) + 1))
    assert len(ADRS) >= 14


@pytest.mark.parametrize("path", ADRS, ids=lambda path: path.stem)
def test_each_decision_is_one_page_with_its_parts(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert lines[0].startswith(f"# {int(path.name[:4])}. ")
    assert [line for line in lines if line.startswith("## ")] == ["## Context", "## Decision", "## Consequences"]
    assert len(lines) <= 40


def test_links_between_pages_lead_somewhere() -> None:
    for page in DOCS.rglob("*.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


if __name__ == "__main__":
    first, _, last = split_page(DATA_MODEL.read_text())
    DATA_MODEL.write_text(first + render_tables() + last)
