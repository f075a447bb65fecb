"""Ranking sets, blind tasks, orders with ties, agreement, and the pairs that follow from them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime
from pathlib import Path

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AccessError, ConflictError, FormatError, NotFoundError, UsageError
from core.settings import load_settings
from incidents.audit import find_tampering
from incidents.people import Actor, Role
from incidents.ranking.pairs import derive_pairs
from incidents.ranking.prompts import Prompt, load_prompts, parse_prompts, read_prompts
from incidents.ranking.ranks import Standing, Task, cast_ranking, list_standing, next_task
from ingest.load import load_records
from metrics.rank_agreement import average_ranks, estimate_concordance, estimate_rank_alpha
from service.home import Home, open_home
from tests.incidents_ranking.simulate import main, true_order
from tests.service.commands import run
from tests.stores import lay_out

SAMPLE = Path(__file__).parents[2] / "sample_rankings"
AT = datetime(2026, 3, 2, 9)
LEA, ANA, BEN = Actor("lea", Role.LEAD), Actor("ana", Role.REVIEWER), Actor("ben", Role.REVIEWER)
TWO = [Prompt("p1", "Why?", ("Because.", "So.", "Why not?")), Prompt("p2", "How?", ("Thus.", "Like so."))]
LIMITS = {"min_sample": 2, "confidence": 0.95}


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        load_prompts(opened.records, "s", TWO, actor=LEA, at=AT)
        yield opened


def order(prompt_id: str, rater: str, **ranks: int) -> Standing:
    return Standing(prompt_id, rater, ranks, "", AT)


def test_the_worked_example_is_what_the_simulation_writes(tmp_path: Path) -> None:
    main(tmp_path)
    for name in ("prompts.jsonl", "answers.jsonl"):
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes()


def test_worked_example_end_to_end_by_command(home: Home) -> None:
    prompts = run("ranking", "import", str(SAMPLE / "prompts.jsonl"), "--set", "money", "--json", home=home)
    assert prompts.document == {"ranking_set": "money", "added": 20, "known": 0}
    answers = str(SAMPLE / "answers.jsonl")
    assert run("ranking", "answers", "money", answers, "--json", home=home).document["rankings"] == 72
    assert run("ranking", "answers", "money", answers, "--json", home=home).document["rankings"] == 0
    document = run("ranking", "report", "money", "--json", home=home).document
    assert (document["prompts"], document["ranked"], document["raters"]["dana"]) == (20, 20, 12)
    alpha, concordance = document["krippendorff_alpha"], document["kendall_w"]
    assert 0.6 < alpha["low"] < alpha["estimate"] < alpha["high"] <= 1
    assert concordance["estimate"] > 0.8
    truth = {row["prompt_id"]: true_order(row) for row in map(json.loads, (SAMPLE / "prompts.jsonl").open())}
    rows = document["rows"]
    right = sum(truth[row["prompt_id"]][row["chosen"]] < truth[row["prompt_id"]][row["rejected"]] for row in rows)
    assert right / len(rows) > 0.97
    assert document["pairs"] == len(rows) > 80
    assert find_tampering(home.records) is None


def test_a_set_only_grows(home: Home) -> None:
    more = [*TWO, Prompt("p3", "Who?", ("Me.", "You."))]
    assert load_prompts(home.records, "s", more, actor=LEA, at=AT).added == 1
    assert [prompt.prompt_id for prompt in read_prompts(home.records, "s")] == ["p1", "p2", "p3"]
    with pytest.raises(ConflictError, match="p1"):
        load_prompts(home.records, "s", [Prompt("p1", "Why?", ("Another.", "So."))], actor=LEA, at=AT)
    with pytest.raises(AccessError):
        load_prompts(home.records, "s", more, actor=ANA, at=AT)


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ('{"prompt_id":"a","prompt":"x","responses":["y"]}', "line 2: it needs 2 to 9"),
        ('{"prompt_id":"a","prompt":"x","responses":["y","y"]}', "line 2: two responses have the same text"),
        ('{"prompt_id":"a","prompt":" ","responses":["y","z"]}', "line 2: prompt_id, prompt"),
        ('{"prompt_id":"ok","prompt":"x","responses":["y","z"]}', "line 2: its prompt_id is there twice"),
        ('{"prompt_id":"a","responses":["y","z"]}', "line 2"),
    ],
)
def test_a_prompt_that_cannot_be_ranked_is_named(line: str, fault: str) -> None:
    with pytest.raises(FormatError, match=fault):
        parse_prompts('{"prompt_id":"ok","prompt":"x","responses":["y","z"]}\n' + line)


def test_candidates_of_a_model_log_become_prompts(home: Home) -> None:
    turn = {"ts": "2026-03-02T09:00:00Z", "prompt": "Why?", "response": "Because."}
    rows = [
        turn | {"request_id": "r1", "candidates": ["So.", "Because.", {"text": "Why not?"}]},
        turn | {"request_id": "r2", "candidates": ["Because."]},
        turn | {"request_id": "r3"},
    ]
    load_records(home.events, "model_log", rows, source="m", settings=home.settings)
    summary = run("ranking", "candidates", "logged", "--json", home=home).document
    assert summary == {"ranking_set": "logged", "added": 1, "known": 0}
    (prompt,) = read_prompts(home.records, "logged")
    assert (prompt.request_id, [item.text for item in prompt.name_responses()]) == (
        "r1",
        ["Because.", "So.", "Why not?"],
    )


def test_a_task_is_blind_and_each_raters_order_is_their_own(home: Home) -> None:
    names = {field.name for field in fields(Task)}
    assert names == {"ranking_set", "prompt_id", "prompt", "responses", "ranked", "prompts"}
    wide = Prompt("wide", "Which?", tuple(f"Text {number}" for number in range(9)))
    load_prompts(home.records, "wide", [wide], actor=LEA, at=AT)
    raters = [Actor(f"rater {number}", Role.REVIEWER) for number in range(20)]
    orders = {next_task(home.records, "wide", actor=rater).responses for rater in raters}  # type: ignore[union-attr]
    assert len(orders) == 20
    assert all(len(set(order)) == 9 for order in orders)
    assert next_task(home.records, "wide", actor=ANA) == next_task(home.records, "wide", actor=ANA)


def test_raters_are_served_what_fewest_have_ranked_until_they_are_done(home: Home) -> None:
    seen = []
    while (task := next_task(home.records, "s", actor=ANA)) is not None:
        seen.append((task.prompt_id, task.ranked))
        ranks = {name: place for place, (name, _) in enumerate(task.responses, start=1)}
        cast_ranking(home.records, "s", task.prompt_id, ranks, actor=ANA, at=AT)
    assert {prompt_id for prompt_id, _ in seen} == {"p1", "p2"}
    assert [ranked for _, ranked in seen] == [0, 1]
    cast_ranking(home.records, "s", "p1", {"a": 1, "b": 1, "c": 2}, actor=BEN, at=AT)
    third = next_task(home.records, "s", actor=Actor("cy", Role.REVIEWER))
    assert third is not None
    assert third.prompt_id == "p2"
    with pytest.raises(NotFoundError):
        next_task(home.records, "none", actor=ANA)


def test_orders_are_whole_and_the_latest_counts(home: Home) -> None:
    with pytest.raises(UsageError, match="p1: c"):
        cast_ranking(home.records, "s", "p1", {"a": 1, "b": 2}, actor=ANA, at=AT)
    with pytest.raises(UsageError, match="z"):
        cast_ranking(home.records, "s", "p1", {"a": 1, "b": 2, "c": 3, "z": 4}, actor=ANA, at=AT)
    with pytest.raises(AccessError):
        cast_ranking(home.records, "s", "p2", {"a": 1, "b": 2}, actor=ANA, at=AT, rater="ben")
    cast_ranking(home.records, "s", "p1", {"a": 1, "b": 2, "c": 3}, actor=ANA, at=AT)
    cast_ranking(home.records, "s", "p1", {"a": 7, "b": 2, "c": 7}, rationale=" b leads ", actor=ANA, at=AT)
    (standing,) = list_standing(home.records, "s")
    assert (standing.ranks, standing.rationale) == ({"a": 2, "b": 1, "c": 2}, "b leads")
    assert find_tampering(home.records) is None


def test_ties_and_circles_give_no_pair() -> None:
    tied = [order("p", "ana", a=1, b=1, c=2), order("p", "ben", a=1, b=1, c=2)]
    assert [(pair.chosen, pair.rejected, pair.margin) for pair in derive_pairs(tied)] == [
        ("a", "c", 1.0),
        ("b", "c", 1.0),
    ]
    split = [order("p", "ana", a=1, b=2), order("p", "ben", a=2, b=1)]
    assert derive_pairs(split) == []
    leaning = [*split, order("p", "cy", a=1, b=2)]
    (pair,) = derive_pairs(leaning)
    assert (pair.chosen, pair.margin, pair.raters) == ("a", 0.333333, ("ana", "ben", "cy"))
    circle = [order("p", "ana", a=1, b=2, c=3), order("p", "ben", a=2, b=3, c=1), order("p", "cy", a=3, b=1, c=2)]
    assert derive_pairs(circle) == []


@given(
    st.integers(2, 5).flatmap(
        lambda size: st.lists(st.lists(st.integers(1, size), min_size=size, max_size=size), min_size=1, max_size=6)
    )
)
def test_pairs_never_run_in_a_circle_and_margins_are_shares(rows: list[list[int]]) -> None:
    orders = [order("p", f"r{n}", **dict(zip("abcde", row, strict=False))) for n, row in enumerate(rows)]
    pairs = derive_pairs(orders)
    beats = {(pair.chosen, pair.rejected) for pair in pairs}
    assert all(0 < pair.margin <= 1 for pair in pairs)
    reach = set(beats)
    for _ in range(5):
        reach |= {(one, last) for one, middle in reach for again, last in beats if middle == again}
    assert not any(one == last for one, last in reach)


def test_concordance_is_the_textbooks() -> None:
    # Two raters, four things: rank sums 2, 5, 5, 8, mean 5, scatter 18; W = 12 * 18 / (4 * 60).
    plain = np.array([[1, 2, 3, 4], [1, 3, 2, 4]], dtype=float)
    assert estimate_concordance([plain, plain], **LIMITS)["estimate"] == pytest.approx(0.9)
    tied = np.array([average_ranks([1, 1, 2]), average_ranks([1, 1, 2])])
    assert estimate_concordance([tied, tied], **LIMITS)["estimate"] == pytest.approx(1.0)
    assert estimate_concordance([plain], **LIMITS)["estimate"] is None


def test_alpha_is_that_of_the_reference_implementation() -> None:
    rng = np.random.default_rng(3)
    matrices = [np.array([average_ranks(list(rng.integers(1, 5, 4))) for _ in range(3)]) for _ in range(12)]
    found = estimate_rank_alpha(matrices, **LIMITS)
    units = np.concatenate(matrices, axis=1)
    expected = krippendorff.alpha(reliability_data=units, level_of_measurement="ordinal")
    assert found["estimate"] == pytest.approx(expected, abs=1e-9)
    assert found["low"] < found["estimate"] < found["high"]
    assert found["n"] == 12
