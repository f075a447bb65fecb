"""The simulated traffic: its truth shows in the logs, its logs are consistent, and ingest takes every record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from core.errors import ConflictError, UsageError
from core.events import EventStore
from core.settings import Settings
from incidents.enums import VerdictReason
from ingest.crosswalk import HAZARDS
from ingest.demo.cascade import PRINCIPLES
from ingest.demo.fill import fill_demo, write_logs
from ingest.demo.phrases import PHRASEBOOKS
from ingest.demo.reviews import name_stratum
from ingest.demo.simulate import Simulation, simulate
from ingest.demo.world import (
    CLASSIFIER,
    FILTERS,
    GUARD,
    HAZARD_SHARES,
    KEYWORD,
    LANGUAGES,
    REFINER,
    get_code_word,
    make_plan,
)
from ingest.schema import create_tables, has_demo_data

UNTIL = datetime.fromisoformat("2026-03-18T12:00")


@pytest.fixture(scope="module")
def month() -> Simulation:
    """The default demo."""
    return simulate(30, seed=7, until=UNTIL)


@pytest.fixture(scope="module")
def checks(month: Simulation) -> pl.DataFrame:
    """The month's checks with the truth of their turns."""
    return month.filter_log.join(month.truth, on="request_id")


def moment(text: str) -> datetime:
    """A time of the facts, as the frames hold it."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def trigger_rate(checks: pl.DataFrame) -> float:
    return float(checks["triggered"].drop_nulls().cast(pl.Float64).sum() / checks["triggered"].count())


def test_size_rhythm_and_mix(month: Simulation) -> None:
    turns = month.model_log
    assert 57_000 < turns.height < 63_000
    assert turns["ts"].is_sorted()
    assert turns["ts"].min() >= UNTIL - timedelta(days=30)
    assert turns["ts"].max() < UNTIL
    assert turns["request_id"].n_unique() == turns.height
    by_hour = turns.group_by(turns["ts"].dt.hour().alias("hour")).len().sort("hour")["len"]
    assert by_hour[14] > 4 * by_hour[2]
    by_day = turns.group_by(day=pl.col("ts").dt.date()).len().filter(pl.col("len") > 1500)
    weekend = by_day["day"].dt.weekday() >= 6
    assert by_day.filter(weekend)["len"].mean() < by_day.filter(~weekend)["len"].mean()
    assert set(turns["language"]) == set(LANGUAGES) == set(PHRASEBOOKS)
    assert set(month.truth["category"].drop_nulls()) == set(HAZARD_SHARES) <= set(HAZARDS)
    lengths = turns.group_by("conversation_id").agg(pl.len(), pl.col("turn_index").max())
    assert lengths["len"].max() == 8
    # A conversation that is cut at the end loses its tail, never its middle.
    assert lengths.filter(pl.col("len") != pl.col("turn_index") + 1).is_empty()


def test_outcomes_match_the_decisions_that_took_effect(month: Simulation) -> None:
    enforced = month.filter_log.filter("enforced").select("request_id", "filter_name", "decision")
    # Only one decision takes effect on a turn.
    assert enforced["request_id"].is_unique().all()
    turns = month.model_log.join(enforced, on="request_id", how="left")
    allowed = {
        ("pass", None),
        ("error", None),
        ("refusal", "block"),
        ("human_escalation", "escalate"),
        ("safe_completion", "modify"),
        ("modified", "modify"),
    }
    assert set(turns.select("outcome", "decision").unique().iter_rows()) == allowed
    changed = turns["outcome"].is_in(["pass", "error"]).not_()
    assert turns["final_text"].is_not_null().equals(changed, check_names=False)
    assert turns.filter(pl.col("response").is_null())["outcome"].unique().to_list() == ["error"]
    assert turns["prompt"].null_count() == 0


def test_nothing_runs_after_a_block(month: Simulation) -> None:
    order = {name: place for place, name in enumerate(FILTERS)}
    rows = month.filter_log.with_columns(place=pl.col("filter_name").replace_strict(order, return_dtype=pl.Int64))
    blocked = rows.filter(pl.col("enforced") & (pl.col("decision") == "block")).select("request_id", at="place")
    after = rows.join(blocked, on="request_id").filter(pl.col("place") > pl.col("at"))
    assert after.height > 0
    assert after["decision"].unique().to_list() == ["skipped"]
    assert after["filter_name"].unique().to_list() == [REFINER]


def test_a_check_that_did_not_decide_has_no_verdict(month: Simulation) -> None:
    rows = month.filter_log
    undecided = rows["decision"].is_in(["error", "skipped"])
    assert rows["triggered"].is_null().equals(undecided, check_names=False)
    assert rows["error"].is_not_null().equals(rows["decision"] == "error", check_names=False)
    assert rows.filter((pl.col("decision") != "error") & (pl.col("decision") != "skipped"))["latency_ms"].min() > 0
    scored = rows.filter(pl.col("threshold").is_not_null() & pl.col("triggered").is_not_null())
    assert (scored["triggered"] == (scored["score"] >= scored["threshold"])).all()
    error_rate = (rows.filter(pl.col("filter_name") == GUARD)["decision"] == "error").mean()
    assert 0.002 < error_rate < 0.02


def test_trigger_rates_are_plausible(checks: pl.DataFrame, month: Simulation) -> None:
    enforced = checks.filter(pl.col("mode") == "enforce")
    bounds = {KEYWORD: (0.01, 0.04), CLASSIFIER: (0.02, 0.06), GUARD: (0.008, 0.03), REFINER: (0.002, 0.01)}
    for name, (low, high) in bounds.items():
        rows = enforced.filter(pl.col("filter_name") == name)
        assert low < trigger_rate(rows) < high, name
        assert trigger_rate(rows.filter("harmful")) > 5 * trigger_rate(rows.filter(~pl.col("harmful"))), name
    assert 0.03 < month.truth["harmful"].mean() < 0.08


def test_the_broad_rule_over_blocks_since_the_deploy(checks: pl.DataFrame, month: Simulation) -> None:
    fact = month.facts["over_blocking"]
    deploy = moment(fact["since"])
    keyword = checks.filter(pl.col("filter_name") == KEYWORD)
    assert keyword.filter(pl.col("ts") < deploy)["filter_version"].unique().to_list() == ["40"]
    assert keyword.filter(pl.col("ts") >= deploy)["filter_version"].unique().to_list() == ["41"]
    broad = keyword.filter(pl.col("rule_id") == "kw-113")
    assert broad["ts"].min() >= deploy
    wrong = broad.filter(~pl.col("harmful"))
    assert wrong.height > 0.8 * broad.height
    assert (wrong.height, broad.height) == (fact["wrong_blocks"], fact["triggered"])
    benign = keyword.filter(~pl.col("harmful"))
    ratio = trigger_rate(benign.filter(pl.col("ts") >= deploy)) / trigger_rate(benign.filter(pl.col("ts") < deploy))
    assert ratio > 3
    assert month.truth.filter(pl.col("request_id").is_in(wrong["request_id"].implode()))["over_blocked"].all()


def test_matched_text_is_in_the_prompt(month: Simulation) -> None:
    hits = month.filter_log.filter(pl.col("rule_id").str.starts_with("kw-"))
    hits = hits.join(month.model_log.select("request_id", "prompt"), on="request_id")
    assert hits["matched_text"].null_count() == 0
    assert hits.select(pl.col("prompt").str.contains(pl.col("matched_text"), literal=True).all()).item()
    words = [get_code_word(number) for number in range(1, 121) if number != 113]
    assert len(set(words)) == 119


def test_the_guard_is_silent_for_twelve_hours(checks: pl.DataFrame, month: Simulation) -> None:
    fact = month.facts["silence"]
    since, until = moment(fact["since"]), moment(fact["until"])
    assert until - since == timedelta(hours=12)
    guard = checks.filter(pl.col("filter_name") == GUARD)
    window = guard.filter(pl.col("ts").is_between(since, until, closed="left"))
    decided = window["triggered"].drop_nulls()
    assert len(decided) == fact["evaluated"] > 200
    assert decided.sum() == 0
    assert fact["triggers_expected"] > 4
    day_before = guard.filter(pl.col("ts").is_between(since - timedelta(days=1), until - timedelta(days=1)))
    assert day_before["triggered"].sum() > 0


def test_the_shadow_version_is_better_and_without_effect(month: Simulation) -> None:
    rows = month.filter_log.filter(pl.col("filter_name") == CLASSIFIER)
    shadow = rows.filter(pl.col("mode") == "shadow")
    assert not shadow["enforced"].any()
    assert shadow["triggered"].sum() > 100
    live = rows.filter(pl.col("mode") == "enforce")
    # Every shadow check has a live one on the same turn, so that they pair.
    assert shadow.join(live, on="request_id", how="anti").is_empty()
    fact = month.facts["shadow"]
    assert fact["candidate_errors"]["benign_blocked_rate"] < fact["reference_errors"]["benign_blocked_rate"] / 2
    assert fact["candidate_errors"]["missed_harm_rate"] < fact["reference_errors"]["missed_harm_rate"]
    assert fact["candidate_calibration_error"] < fact["reference_calibration_error"] / 3


def test_labels_are_votes_on_known_turns(month: Simulation) -> None:
    labels = month.label_log.join(
        month.model_log.select("request_id", turn_ts="ts", conversation="conversation_id"), on="request_id", how="left"
    )
    assert labels["turn_ts"].null_count() == 0
    assert (labels["conversation_id"] == labels["conversation"]).all()
    assert (labels["ts"] >= labels["turn_ts"]).all()
    assert labels["ts"].max() < UNTIL
    assert labels["ts"].is_sorted()
    assert not labels.select("request_id", "reviewer").is_duplicated().any()
    assert set(labels["reason"].drop_nulls()) <= set(VerdictReason)
    assert set(labels["principle_id"].drop_nulls()) <= set(PRINCIPLES.values())
    claims = labels.filter(pl.col("selection").is_in(["user_report", "appeal"]))
    assert claims["reviewer"].str.starts_with("user:").all()
    assert claims["inclusion_probability"].null_count() == claims.height
    assert set(claims.filter(pl.col("selection") == "user_report")["harmful"]) == {None, True}
    assert set(claims.filter(pl.col("selection") == "appeal")["harmful"]) == {False}
    priority = labels.filter(pl.col("selection") == "priority")
    assert priority.height > 100
    assert priority["inclusion_probability"].null_count() == priority.height


def test_reviewers_are_right_but_not_always(month: Simulation) -> None:
    votes = month.label_log.filter(pl.col("selection") == "sample").join(month.truth, on="request_id")
    agree = (votes["harmful"] == votes["harmful_right"]).mean()
    assert 0.85 < agree < 0.99
    per_item = votes.group_by("request_id").agg(pl.len(), pl.col("harmful").drop_nulls().n_unique())
    assert set(per_item["len"]) == {2, 3}
    assert 0.02 < (per_item["harmful"] > 1).mean() < 0.25
    assert votes["harmful"].null_count() > 20


def test_inclusion_probabilities_add_up_to_the_strata(month: Simulation) -> None:
    sample = month.label_log.filter(pl.col("selection") == "sample").unique("request_id")
    drawn = sample.group_by("stratum").agg(pl.len(), weight=(1 / pl.col("inclusion_probability")).sum())
    assert drawn["weight"].sum() == pytest.approx(month.model_log.height)
    enforced = month.filter_log.filter("enforced")
    keys = pl.when(pl.col("filter_name") == KEYWORD).then(pl.format("{}@{}", "filter_name", "filter_version"))
    sizes = enforced.group_by(key=keys.otherwise("filter_name")).len()
    weights = dict(drawn.select("stratum", "weight").iter_rows())
    assert sizes.height == 5
    for key, size in sizes.iter_rows():
        assert weights[name_stratum(key)] == pytest.approx(size), key


def test_the_sample_recovers_the_true_prevalence(month: Simulation) -> None:
    votes = month.label_log.filter(pl.col("selection") == "sample")
    items = votes.group_by("request_id").agg(
        pl.col("harmful").cast(pl.Float64).mean(), pl.col("inclusion_probability").first()
    )
    weight = 1 / items["inclusion_probability"]
    estimate = (weight * (items["harmful"] > 0.5)).sum() / weight.sum()
    assert estimate == pytest.approx(month.facts["harm_prevalence"], rel=0.35)
    naive = (items["harmful"] > 0.5).mean()
    assert naive > 3 * month.facts["harm_prevalence"]


def test_exports_will_find_both_classes(month: Simulation) -> None:
    labels = month.label_log.join(month.model_log.select("request_id", "response"), on="request_id")
    assert labels.filter(pl.col("harmful"))["request_id"].n_unique() > 200
    assert labels.filter(~pl.col("harmful"))["request_id"].n_unique() > 200
    revised = labels.filter(pl.col("revision").is_not_null())
    assert revised.filter("harmful").height > 200
    assert revised.filter(~pl.col("harmful")).height > 50
    assert (revised["revision"] != revised["response"]).all()
    assert labels["critique"].count() > 200


def test_texts_vary_and_every_slot_is_filled(month: Simulation) -> None:
    texts = pl.concat([month.model_log[name].drop_nulls() for name in ("prompt", "response", "final_text")])
    assert not texts.str.contains(r"[{}]").any()
    assert not texts.str.contains("  ", literal=True).any()
    assert month.model_log["prompt"].n_unique() > 0.6 * month.model_log.height
    assert month.model_log["response"].n_unique() > 0.6 * month.model_log.height


def test_facts_are_the_counts_of_the_logs(checks: pl.DataFrame, month: Simulation) -> None:
    for name in FILTERS:
        rows = checks.filter((pl.col("filter_name") == name) & (pl.col("mode") == "enforce"))
        rows = rows.filter(pl.col("triggered").is_not_null())
        fact = month.facts["filters"][name]
        assert fact["tp"] + fact["fp"] == rows["triggered"].sum()
        assert fact["tp"] + fact["fn"] == rows["harmful"].sum()
        assert fact["tp"] + fact["fp"] + fact["fn"] + fact["tn"] == rows.height
        assert fact["wrong_block_share"] == pytest.approx(fact["fp"] / (fact["tp"] + fact["fp"]))
    assert month.facts["harm_prevalence"] == month.truth["harmful"].mean()


def test_truth_is_in_no_log(month: Simulation) -> None:
    for log in (month.model_log, month.filter_log, month.label_log):
        assert not {"kind", "over_blocked", "rule", "doubt"} & set(log.columns)
    assert "harmful" not in month.model_log.columns
    assert "harmful" not in month.filter_log.columns


@settings(max_examples=8, deadline=None)
@given(days=st.integers(1, 6), seed=st.integers(0, 2**32), hour=st.integers(0, 23))
def test_every_length_seed_and_hour_holds_together(days: int, seed: int, hour: int) -> None:
    until = UNTIL.replace(hour=hour, minute=41)
    demo = simulate(days, seed=seed, until=until, turns_per_day=150)
    plan = make_plan(days, until)
    assert plan.since <= plan.shadow_since <= plan.deploy_at <= until
    assert plan.since <= plan.silent_since < plan.silent_until <= until
    assert demo.model_log["ts"].is_between(plan.since, until, closed="left").all()
    known = set(demo.model_log["request_id"])
    assert set(demo.filter_log["request_id"]) == known == set(demo.truth["request_id"])
    assert set(demo.label_log["request_id"]) <= known
    pi = demo.label_log["inclusion_probability"].drop_nulls()
    assert ((pi > 0) & (pi <= 1)).all()


def test_same_arguments_same_bytes_and_others_share_nothing(tmp_path: Path) -> None:
    first = simulate(3, seed=1, until=UNTIL, turns_per_day=300)
    second = simulate(3, seed=1, until=UNTIL, turns_per_day=300)
    for one, other in zip(
        [*write_logs(first, tmp_path / "a"), tmp_path / "a/demo_truth.json", tmp_path / "a/demo_truth.parquet"],
        [*write_logs(second, tmp_path / "b"), tmp_path / "b/demo_truth.json", tmp_path / "b/demo_truth.parquet"],
        strict=True,
    ):
        assert one.read_bytes() == other.read_bytes(), one.name
    for different in (simulate(3, seed=2, until=UNTIL), simulate(3, seed=1, until=UNTIL + timedelta(minutes=1))):
        assert not set(first.model_log["request_id"]) & set(different.model_log["request_id"])


def test_parquet_and_jsonl_hold_the_same_rows(tmp_path: Path) -> None:
    demo = simulate(1, seed=5, until=UNTIL, turns_per_day=200)
    for text, binary in zip(
        write_logs(demo, tmp_path / "text"),
        write_logs(demo, tmp_path / "binary", file_format="parquet"),
        strict=True,
    ):
        frame = pl.read_parquet(binary)
        lines = pl.read_ndjson(text, schema=frame.schema | {"ts": pl.String})
        lines = lines.with_columns(pl.col("ts").str.to_datetime("%Y-%m-%dT%H:%M:%S%.fZ", time_unit="us"))
        assert_frame_equal(lines, frame)


def test_ingest_takes_every_record(tmp_path: Path) -> None:
    home = Settings(home=tmp_path)
    events = EventStore(home.events_path, threads=1)
    try:
        create_tables(events)
        summary = fill_demo(events, settings=home, days=3, seed=3, until=UNTIL)
        demo = simulate(3, seed=3, until=UNTIL)
        assert (summary.ingest.turns, summary.ingest.checks, summary.ingest.labels) == (
            demo.model_log.height,
            demo.filter_log.height,
            demo.label_log.height,
        )
        assert (summary.ingest.rejected, summary.ingest.duplicates) == (0, 0)
        assert has_demo_data(events)
        assert orjson.loads((summary.folder / "demo_truth.json").read_bytes()) == summary.facts == demo.facts
        assert events.read("SELECT count(*) FROM turns WHERE NOT is_logged").item() == 0
        stored = events.read(
            "SELECT filter_name, mode, count(*) AS n, count(triggered) AS decided, count(*) FILTER (triggered) AS fired "
            "FROM checks GROUP BY ALL ORDER BY ALL"
        )
        expected = demo.filter_log.group_by("filter_name", "mode").agg(
            n=pl.len(), decided=pl.col("triggered").count(), fired=pl.col("triggered").sum()
        )
        assert_frame_equal(stored, expected.sort("filter_name", "mode"), check_dtypes=False)
        assert events.read("SELECT count(*) FROM labels WHERE harmful IS NULL").item() == (
            demo.label_log["harmful"].null_count()
        )
        unmapped = "SELECT count(*) FROM checks WHERE starts_with(category, 'unmapped:') OR extra IS NOT NULL"
        assert events.read(unmapped).item() == 0
        with pytest.raises(ConflictError):
            fill_demo(events, settings=home, days=3, seed=3, until=UNTIL)
    finally:
        events.close()


@pytest.mark.parametrize("wrong", [{"days": 0}, {"seed": -1}])
def test_impossible_demos_are_refused(tmp_path: Path, wrong: dict[str, int]) -> None:
    events = EventStore(tmp_path / "events.duckdb", threads=1)
    try:
        create_tables(events)
        with pytest.raises(UsageError):
            fill_demo(events, settings=Settings(home=tmp_path), **wrong)
        assert not has_demo_data(events)
    finally:
        events.close()


def test_a_plan_needs_a_day() -> None:
    with pytest.raises(ValueError, match="one day"):
        make_plan(0, UNTIL)
