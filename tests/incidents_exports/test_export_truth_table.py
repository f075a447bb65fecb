"""Every row of the truth table in docs/exports.md, through real stores."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from export_world import SPLIT, World, open_world, question

from incidents.exports import EXPORTS
from incidents.exports.exporter import REFUSALS
from incidents.exports.feedback import FeedbackSet, Recipe, derive
from metrics.query import Query

DOCS = Path(__file__).parents[2] / "docs" / "exports.md"


@dataclass(frozen=True)
class Row:
    """One line of the table; `number` names its turn."""

    number: int
    verdict: str
    outcome: str
    answer: str
    shown: str
    revision: str
    desirable: str
    undesirable: str
    pair: str

    @property
    def request_id(self) -> str:
        return f"turn-{self.number}"

    def text(self, name: str) -> str:
        return f"The {name} of {self.request_id}"


def read_table() -> list[Row]:
    lines = DOCS.read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    rows = [row for row in cells if len(row) == 8 and row[0] in {"harmful", "benign"}]
    return [Row(number, *row) for number, row in enumerate(rows)]


TABLE = read_table()


def add_turn(world: World, row: Row) -> None:
    facts: dict[str, Any] = {
        "response": row.text("answer") if row.answer == "yes" else None,
        "outcome": None if row.outcome == "not logged" else row.outcome,
        "final_text": row.text("other") if row.shown == "other" else None,
    }
    world.turn(row.request_id, **facts)
    if row.shown == "blocked":
        world.check(row.request_id, triggered=True, decision="block", enforced=True, stage="output")
    world.vote(
        row.request_id,
        row.verdict == "harmful",
        revision=row.text("revision") if row.revision == "yes" else None,
        critique="It is rude." if row.shown.endswith("faulted") else None,
    )


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, FeedbackSet]]:
    world = open_world(tmp_path_factory.mktemp("table"))
    for row in TABLE:
        add_turn(world, row)
    events = world.load()
    yield {name: derive(events, Recipe(EXPORTS[name], Query(), SPLIT, 1)) for name in ("trl-kto", "trl-preference")}
    events.close()


def get_texts(feedback: FeedbackSet, request_id: str) -> list[dict[str, Any]]:
    rows = feedback.rows.filter(request_id=request_id).select("training").unnest("training").to_dicts()
    return [
        {name: value[-1]["content"] if isinstance(value, list) else value for name, value in row.items()}
        for row in rows
    ]


def test_the_table_is_whole() -> None:
    cases = {(row.verdict, row.outcome, row.answer, row.shown, row.revision) for row in TABLE}
    assert len(cases) == len(TABLE)
    outcomes = {"pass", "safe_completion", "refusal", "human_escalation", "modified", "error", "not logged"}
    assert {(row.verdict, row.outcome) for row in TABLE} == {
        (verdict, outcome) for verdict in ("harmful", "benign") for outcome in outcomes
    }


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.number}-{row.verdict}-{row.outcome}-{row.shown}")
def test_kto(row: Row, sets: dict[str, FeedbackSet]) -> None:
    expected = [
        {"prompt": question(row.request_id), "completion": row.text(name), "label": label}
        for name, label in ((row.desirable, True), (row.undesirable, False))
        if name != "-" and name not in REFUSALS
    ]
    assert get_texts(sets["trl-kto"], row.request_id) == expected


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.number}-{row.verdict}-{row.outcome}-{row.shown}")
def test_preference(row: Row, sets: dict[str, FeedbackSet]) -> None:
    expected = []
    if row.pair not in REFUSALS:
        chosen, rejected = row.pair.split(" > ")
        prompt = question(row.request_id)
        expected = [{"prompt": prompt, "chosen": row.text(chosen), "rejected": row.text(rejected)}]
    assert get_texts(sets["trl-preference"], row.request_id) == expected


@pytest.mark.parametrize(("name", "column"), [("trl-kto", "desirable"), ("trl-preference", "pair")])
def test_refusals_are_counted(name: str, column: str, sets: dict[str, FeedbackSet]) -> None:
    reasons = [getattr(row, column) for row in TABLE if getattr(row, column) in REFUSALS]
    assert sets[name].refused == {reason: reasons.count(reason) for reason in sorted(set(reasons))}
