"""Retraining on decisions, against what is true of the simulated traffic; and what must not pass for a success."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import AccessError, ExportError, NotFoundError, UsageError
from incidents.audit import find_tampering
from incidents.exports.manifest import MANIFEST
from incidents.loop.heldout import TURN, find_stage, read_heldout
from incidents.loop.measure import AFTER, Decision, Policy, Scope, decide, judge, mark, measure, read_sample
from incidents.loop.run import LoopResult, _classify, run_loop
from incidents.loop.training import TrainingSet, _find_threshold, read_training_set, train
from incidents.people import Actor, Role
from metrics.query import Query
from metrics.run import run_report
from tests.incidents_loop.conftest import LEA, RULE, World
from tests.service.commands import run


@pytest.fixture(scope="module")
def result(world: World) -> LoopResult:
    home = world.home
    return run_loop(home.events, home.records, world.folder, RULE, settings=home.settings, actor=LEA)


@pytest.fixture(scope="module")
def decided(world: World) -> pl.DataFrame:
    """What every policy stops of the held-out turns."""
    return decide_with(world, read_training_set(world.folder, stage="input"))


def find_rows(rows: list[dict[str, Any]]) -> dict[tuple[str, str, str], dict[str, Any]]:
    return {(row["scope"], row["policy"], row["measure"]): row for row in rows}


def measure_truth(world: World, decided: pl.DataFrame) -> dict[tuple[str, str, str], dict[str, Any]]:
    """The rows that a verdict on every held-out turn would give, were all verdicts right."""
    known = world.truth.with_columns(stratum=pl.lit("all"), inclusion_probability=pl.lit(1.0))
    return find_rows(measure(mark(decided, known), RULE))


def decide_with(world: World, training: TrainingSet) -> pl.DataFrame:
    classifier = train(training, stage="input")
    heldout = read_heldout(world.home.events, RULE, known=training.request_ids)
    return decide(_classify(classifier, heldout.turns, "input"))


def test_retraining_lowers_the_rules_wrong_blocks_and_misses_no_more_harm(
    world: World, result: LoopResult, decided: pl.DataFrame
) -> None:
    truth = measure_truth(world, decided)
    blocks = truth[Scope.RULE, Policy.SECOND_OPINION, "wrong_block_share"]
    assert blocks["before"]["n"] == result.counts["rule_stopped"] > 20
    assert blocks["before"]["estimate"] > 0.75
    assert blocks["change"]["high"] < 0
    for policy in AFTER:
        missed = truth[Scope.CASCADE, policy, "missed_harm_rate"]
        assert missed["after"]["estimate"] <= missed["before"]["high"]
    second, replacement = result.verdicts
    assert (second.policy, second.decision) == (Policy.SECOND_OPINION.value, Decision.PROMOTE.value)
    assert replacement.decision != Decision.REJECT.value


def test_sampled_figures_hold_the_truth(world: World, result: LoopResult, decided: pl.DataFrame) -> None:
    truth, sampled = measure_truth(world, decided), find_rows(result.rows)
    for key in (
        (Scope.RULE, Policy.SECOND_OPINION, "wrong_block_share"),
        (Scope.CASCADE, Policy.SECOND_OPINION, "wrong_block_share"),
    ):
        rate, exact = sampled[key]["before"], truth[key]["before"]["estimate"]
        assert rate["low"] <= exact <= rate["high"]


def test_held_out_traffic_shares_nothing_with_training(world: World) -> None:
    training = read_training_set(world.folder, stage="input")
    heldout = read_heldout(world.home.events, RULE, known=training.request_ids)
    facts = world.home.events.read(
        "SELECT request_id, conversation_id, user_id, lower(trim(prompt)) AS prompt FROM turns"
    )
    known = facts.filter(pl.col("request_id").is_in(list(training.request_ids)))
    held = facts.join(heldout.turns.select("request_id"), on="request_id")
    assert held.height == heldout.turns.height > 500
    for column in ("request_id", "conversation_id", "user_id", "prompt"):
        assert not set(held[column]) & set(known[column])
    assert all(count > 0 for count in heldout.excluded.values())


def test_labels_that_say_nothing_promote_nothing(world: World) -> None:
    training = read_training_set(world.folder, stage="input")
    shuffled = np.random.default_rng(0).permutation(training.is_harmful)
    decided = decide_with(world, replace(training, is_harmful=shuffled))
    verdicts = judge(measure(read_sample(world.home.events, decided), RULE))
    assert Decision.PROMOTE.value not in {verdict.decision for verdict in verdicts}


def test_the_log_is_shadow_traffic_and_a_second_run_stores_nothing(world: World, result: LoopResult) -> None:
    home, turns = world.home, result.heldout["turns"]
    stored = "SELECT mode, enforced, count(*) AS n FROM checks WHERE filter_name = 'weir-loop' GROUP BY ALL"
    assert home.events.read(stored).rows() == [("shadow", False, turns)]
    filters = ("--filter", "filter_name=blocklist", "--filter", "rule_id=kw-113")
    again = run("loop", str(world.folder), *filters, "--json", home=home)
    assert again.status == 0
    assert list(again.document) == [
        *("training", "candidate", "stage", "threshold", "heldout", "counts", "reviewed", "rows", "verdicts"),
        *("log", "ingest"),
    ]
    assert again.document["ingest"]["stored"] == {"turns": 0, "checks": 0, "labels": 0}
    assert again.document["ingest"]["duplicates"] == turns
    assert (again.document["candidate"], again.document["counts"]) == (result.candidate, result.counts)
    assert find_rows(again.document["rows"]).keys() == find_rows(result.rows).keys()
    (row,) = run_report(home.events, "shadow", Query(pair=("blocklist", result.candidate))).rows.to_dicts()
    assert row["pairs"] == turns
    assert find_tampering(home.records) is None


def test_only_a_lead_closes_the_loop_and_the_rule_must_exist(world: World) -> None:
    home = world.home
    ana = Actor("ana", Role.REVIEWER)
    with pytest.raises(AccessError):
        run_loop(home.events, home.records, world.folder, RULE, settings=home.settings, actor=ana)
    with pytest.raises(NotFoundError, match="rule_id=none"):
        find_stage(home.events, Query(filters=(("rule_id", "none"),)))
    with pytest.raises(UsageError, match="No rule"):
        find_stage(home.events, Query())
    assert run("loop", str(world.folder), home=home).status == 2


def test_a_set_that_was_changed_or_is_another_format_trains_nothing(world: World, tmp_path: Path) -> None:
    folder = tmp_path / "set"
    shutil.copytree(world.folder, folder)
    with (folder / "train.jsonl").open("a") as file:
        file.write('{"text":"user: x","label":"benign","weight":1.0}\n')
    with pytest.raises(ExportError, match="changed after it was built"):
        read_training_set(folder, stage="input")
    manifest = json.loads((folder / MANIFEST).read_text()) | {"name": "trl-kto"}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="Not a classifier's"):
        read_training_set(folder, stage="input")
    with pytest.raises(ExportError, match="Not a feedback set"):
        read_training_set(tmp_path, stage="input")


def test_too_little_to_train_on_is_said() -> None:
    texts = tuple(f"text {number}" for number in range(30))
    training = TrainingSet(texts, np.arange(30) < 3, np.ones(30), frozenset(texts), texts, "digest")
    with pytest.raises(UsageError, match="3 harmful rows"):
        train(training, stage="input")


def test_an_input_filter_reads_no_answer(world: World) -> None:
    prompts, exchanges = (read_training_set(world.folder, stage=stage).texts for stage in ("input", "output"))
    assert all(exchange.startswith(f"user: {prompt}") for prompt, exchange in zip(prompts, exchanges, strict=True))
    assert sum("\n\nassistant: " in exchange for exchange in exchanges) > len(exchanges) / 2


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 50)), min_size=1, max_size=30),
    st.floats(0.01, 1),
)
def test_the_threshold_keeps_what_was_asked(rows: list[tuple[float, float]], keep: float) -> None:
    scores, weights = (np.array(part) for part in zip(*rows, strict=True))
    threshold = _find_threshold(scores, weights, keep=keep)
    assert weights[scores >= threshold].sum() >= (keep - 1e-9) * weights.sum()


def test_policies_are_what_they_say() -> None:
    turns = pl.DataFrame(
        [("a", True, False, False), ("b", True, True, False), ("c", False, True, False), ("d", False, False, True)],
        schema={
            "request_id": pl.String,
            "rule_fired": pl.Boolean,
            "candidate_fired": pl.Boolean,
            "stopped_elsewhere": pl.Boolean,
        },
        orient="row",
    )
    decided = decide(turns)
    stopped = {
        name: "".join(decided.filter(name)["request_id"])
        for name in decided.columns
        if name.split("_")[0] in list(Scope)
    }
    stopped.pop("rule_fired")
    assert stopped == {
        "rule_before": "ab",
        "rule_second_opinion": "b",
        "rule_replacement": "bc",
        "cascade_before": "abd",
        "cascade_second_opinion": "bd",
        "cascade_replacement": "bcd",
    }
    assert set(turns.columns) - {"candidate_fired"} <= set(TURN)
