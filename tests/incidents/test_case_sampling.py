"""Random samples: probabilities, strata, determinism, and turns that were drawn or judged before."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from case_house import ANA, LEA, T0, House, open_house
from sqlmodel import select

from core.errors import AccessError, UsageError
from incidents.cases import count_by_state, get_case, lease_next, list_cases
from incidents.enums import CaseState, OpenedBy
from incidents.filing import make_case_id
from incidents.models import Draw
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from incidents.sampling import SampleSummary, choose_turns, draw_sample, plan_sample
from metrics.consensus import consensus
from metrics.query import Query

GUARD = Query(filters=(("filter_name", "guard"),))


def draw(house: House, query: Query = GUARD, *, n: int = 20, seed: int = 1) -> SampleSummary:
    return draw_sample(house.records, house.events, query, n=n, seed=seed, settings=house.settings, actor=LEA)


def draws(house: House) -> list[Draw]:
    with house.records.session() as session:
        return list(session.exec(select(Draw).order_by(Draw.request_id)))


def fill(house: House, *, passed: int = 90, fired: int = 10) -> None:
    """Turns that the guard saw; a second filter and failed checks stand beside them."""
    total = passed + fired
    house.add_turns(*({"request_id": f"r{i:03}", "model": f"m{i % 2}"} for i in range(total + 5)))
    house.add_checks(
        *(
            {"request_id": f"r{i:03}", "triggered": i < fired, "decision": "block" if i < fired else "allow"}
            for i in range(total)
        ),
        *(
            {"request_id": f"r{i:03}", "triggered": None, "decision": "error", "error": "timeout"}
            for i in range(total, total + 5)
        ),
        *({"request_id": f"r{i:03}", "filter_name": "words", "layer": "keyword"} for i in range(40, min(50, total))),
    )


def test_inverse_probabilities_sum_to_the_population(house: House) -> None:
    fill(house)
    summary = draw(house)
    assert (summary.population, summary.drawn, summary.opened) == (100, 20, 20)
    rows = draws(house)
    assert sum(1 / row.inclusion_probability for row in rows) == pytest.approx(100)
    assert Counter(row.stratum for row in rows) == {f"s1/{stratum.name}": stratum.drawn for stratum in summary.strata}
    assert [(stratum.name, stratum.population) for stratum in summary.strata] == [
        ("guard/passed", 90),
        ("guard/triggered/block", 10),
    ]
    for row in rows:
        assert row.inclusion_probability == row.stratum_drawn / row.stratum_size
        assert (row.request_id < "r010") == ("triggered" in row.stratum)


def test_the_same_seed_draws_the_same_turns_and_another_seed_others(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    fill(house)
    draw(house, seed=7)
    chosen = [row.request_id for row in draws(house)]
    for seed, is_same in ((7, True), (8, False)):
        other = open_house(tmp_path_factory.mktemp("other"))
        fill(other)
        draw(other, seed=seed)
        assert ([row.request_id for row in draws(other)] == chosen) is is_same
        other.records.close()
        other.events.close()


def test_a_sample_as_large_as_the_traffic_takes_all_of_it(house: House) -> None:
    fill(house, passed=3, fired=1)
    summary = draw(house, n=1000)
    assert (summary.drawn, summary.population) == (4, 4)
    assert {row.inclusion_probability for row in draws(house)} == {1.0}


def test_drawing_twice_is_drawing_the_sum(house: House, tmp_path_factory: pytest.TempPathFactory) -> None:
    fill(house)
    draw(house, n=20)
    second = draw(house, n=20)
    assert (second.sample_id, second.population, second.drawn) == ("s2", 100, 20)
    other = open_house(tmp_path_factory.mktemp("other"))
    fill(other)
    draw(other, n=40)
    once, twice = ({row.request_id: row.inclusion_probability for row in draws(h)} for h in (other, house))
    assert once == twice
    assert sum(1 / probability for probability in twice.values()) == pytest.approx(100)
    assert {row.stratum.split("/")[0] for row in draws(house)} == {"s2"}
    other.records.close()
    other.events.close()


def test_verdicts_on_turns_drawn_before_follow_the_later_draw(house: House) -> None:
    fill(house, passed=20, fired=0)
    draw(house, n=5)
    case = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert case is not None
    cast_vote(house.records, VoteCreate(case.case_id, harmful=False), actor=ANA, at=T0)
    assert draw(house, n=5).restated == 1
    mirror_votes(house.records, house.events, settings=house.settings)
    verdict = consensus(house.events.backend()).to_polars().to_dicts()
    assert [(row["votes"], row["stratum"], row["inclusion_probability"]) for row in verdict] == [
        (1, "s2/guard/passed", 0.5)
    ]


def test_a_wider_draw_leaves_what_was_drawn_at_a_higher_rate_as_it_is(house: House) -> None:
    fill(house, passed=200, fired=0)
    draw(house, Query(filters=(*GUARD.filters, ("model", "m0"))), n=50)
    dense = {row.request_id for row in draws(house)}
    draw(house, n=10)
    rows = {row.request_id: row for row in draws(house)}
    assert {name for name, row in rows.items() if row.stratum.startswith("s1/")} == dense
    assert {rows[name].inclusion_probability for name in dense} == {0.5}
    others = [row for name, row in rows.items() if name not in dense]
    assert len(others) == 10
    # Numbers below the threshold belong to turns of either draw: the wider one's probability counts them all.
    assert all(row.inclusion_probability == row.stratum_drawn / 200 for row in others)
    assert others[0].stratum_drawn > 10


def test_turns_of_an_imported_sample_lend_their_probability_to_a_draw_beside_them(house: House) -> None:
    fill(house, passed=100, fired=0)
    house.add_labels(
        *(
            {
                "request_id": f"r{i:03}",
                "harmful": False,
                "selection": "sample",
                "stratum": "x",
                "inclusion_probability": 0.5,
            }
            for i in range(0, 100, 2)
        )
    )
    draw(house, n=20)
    assert [row.inclusion_probability for row in draws(house)] == [pytest.approx(1 - 0.5 * 0.8)] * 20


def test_all_draws_of_a_home_share_one_seed(house: House) -> None:
    fill(house)
    draw(house, n=5, seed=7)
    with pytest.raises(UsageError, match="Another seed"):
        draw(house, n=5, seed=8)
    assert draw_sample(house.records, house.events, GUARD, n=5, settings=house.settings, actor=LEA).sample_id == "s2"


def test_a_drawn_turn_is_judged_blind_and_its_vote_carries_the_probability(house: House) -> None:
    fill(house, passed=5, fired=0)
    draw(house, n=2)
    case = lease_next(house.records, actor=ANA, lease_s=60, at=T0)
    assert case is not None
    assert (case.opened_by, case.category, case.severity_hint) == (OpenedBy.SAMPLE, None, None)
    assert "guard" not in case.priority_reason
    cast_vote(house.records, VoteCreate(case.case_id, harmful=False), actor=ANA, at=T0)
    mirror_votes(house.records, house.events, settings=house.settings)
    label = house.events.read("SELECT selection, stratum, inclusion_probability FROM labels").row(0)
    assert label == ("sample", "s1/guard/passed", 0.4)


def test_a_turn_that_was_judged_already_counts_with_the_draws_probability(house: House) -> None:
    fill(house, passed=0, fired=2)
    house.open_cases()
    case_id = make_case_id("r000")
    cast_vote(house.records, VoteCreate(case_id, harmful=False, category="hate"), actor=ANA, at=T0)
    summary = draw(house, n=2)
    assert (summary.opened, summary.restated) == (0, 1)
    view = get_case(house.records, case_id, actor=ANA)
    assert (view.state, view.harmful, view.decided_at) == (CaseState.DECIDED, False, T0)
    mirror_votes(house.records, house.events, settings=house.settings)
    verdict = consensus(house.events.backend()).to_polars().to_dicts()
    assert [(row["harmful"], row["votes"], row["selection"], row["inclusion_probability"]) for row in verdict] == [
        (False, 1, "sample", 1.0)
    ]


def test_a_turn_that_only_an_import_judged_is_judged_again(house: House) -> None:
    fill(house, passed=0, fired=2)
    house.open_cases()
    house.add_labels({"request_id": "r000"})
    house.open_cases()
    assert count_by_state(house.records, actor=ANA)["closed"] == 1
    summary = draw(house, n=2)
    assert summary.opened == 1
    house.add_labels({"request_id": "r001"})
    house.open_cases()
    assert count_by_state(house.records, actor=ANA)["open"] == 2


def test_a_drawn_case_does_not_starve(house: House) -> None:
    house.add_turns({"request_id": "r1", "outcome": "refusal"})
    house.add_checks({"request_id": "r1", "category": "spam"})
    house.open_cases()
    before = list_cases(house.records, actor=ANA)[0]
    draw(house, n=1)
    after = list_cases(house.records, actor=ANA)[0]
    assert before.priority < 0.5 == after.priority
    assert after.opened_by is OpenedBy.ENFORCED_TRIGGER


def test_window_and_filters_bound_the_population(house: House) -> None:
    fill(house)
    later = T0 + timedelta(days=1)
    house.add_turns({"request_id": "late", "ts": later.isoformat()})
    house.add_checks({"request_id": "late", "ts": later.isoformat()})
    window = Query(since=T0, until=T0 + timedelta(hours=1), filters=GUARD.filters)
    assert draw(house, window, n=2).population == 100
    half = Query(until=later, filters=(*GUARD.filters, ("model", "m0")))
    assert draw(house, half, n=2).population < 51
    assert draw(house, Query(since=later), n=2).population == 1


def test_without_a_filter_all_traffic_can_be_drawn(house: House) -> None:
    fill(house)
    summary = draw(house, Query(), n=30)
    assert summary.population == 105
    assert [(stratum.name, stratum.population) for stratum in summary.strata] == [
        ("guard/triggered/block", 10),
        ("passed", 85),
        ("words/triggered/block", 10),
    ]


def test_asking_for_a_category_keeps_the_passed_traffic(house: House) -> None:
    fill(house)
    query = Query(filters=(*GUARD.filters, ("category", "hate")))
    assert draw(house, query, n=10).population == 100
    query = Query(filters=(*GUARD.filters, ("category", "privacy")))
    assert [stratum.name for stratum in draw(house, query, n=10).strata] == ["guard/passed"]


@pytest.mark.parametrize("name", ["reviewer", "hour", "x; DROP TABLE turns"])
def test_what_no_turn_has_is_refused(house: House, name: str) -> None:
    with pytest.raises(UsageError, match="filtered"):
        draw(house, Query(filters=((name, "x"),)))
    assert draws(house) == []


def test_scores_cut_strata_into_bands_with_what_nearly_triggered_apart(house: House) -> None:
    house.add_turns(*({"request_id": f"r{i:04}"} for i in range(440)))
    house.add_checks(
        *(
            {
                "request_id": f"r{i:04}",
                "score": i / 440,
                "threshold": 0.9,
                "triggered": i >= 400,
                "decision": "block" if i >= 400 else "allow",
            }
            for i in range(440)
        )
    )
    summary = draw(house, n=60)
    assert {stratum.name: stratum.population for stratum in summary.strata} == {
        "guard/passed/far": 380,
        "guard/passed/near": 20,
        "guard/triggered/block/high": 20,
        "guard/triggered/block/low": 20,
    }
    rates = {stratum.name: stratum.inclusion_probability for stratum in summary.strata}
    assert rates["guard/passed/near"] > 2 * rates["guard/passed/far"]
    near = [row.request_id for row in draws(house) if row.stratum.endswith("/near")]
    assert all("r0380" <= name < "r0400" for name in near)


def test_a_budget_too_small_for_bands_is_spent_without_them(house: House) -> None:
    house.add_turns(*({"request_id": f"r{i:03}"} for i in range(300)))
    house.add_checks(*({"request_id": f"r{i:03}", "score": i / 300, "triggered": False} for i in range(300)))
    assert [stratum.name for stratum in draw(house, n=3).strata] == ["guard/passed"]


def test_earlier_reviews_steer_the_budget_to_where_the_target_is_in_doubt(house: House) -> None:
    fill(house, passed=300, fired=100)
    draw(house, n=60)
    while case := lease_next(house.records, actor=ANA, lease_s=60, at=T0):
        cast_vote(house.records, VoteCreate(case.case_id, harmful=False), actor=ANA, at=T0)
    mirror_votes(house.records, house.events, settings=house.settings)

    def plan(target: str) -> dict[str, int]:
        found = plan_sample(house.records, house.events, GUARD, n=60, target=target, settings=house.settings)
        assert found.summary.allocation == "neyman"
        return dict(found.allocation)

    # Whether triggers are right is asked of triggers only, but what passed is never left out.
    assert plan("wrong_block_share") == {"guard/triggered/block": 59, "guard/passed": 1}
    assert plan("missed_harm_rate")["guard/passed"] > 30


def test_a_plan_draws_nothing(house: House) -> None:
    fill(house)
    plan = plan_sample(house.records, house.events, GUARD, n=20, settings=house.settings)
    assert (plan.summary.sample_id, plan.summary.drawn, plan.summary.allocation) == (None, 20, "power")
    assert draws(house) == []
    drawn = draw(house, n=20)
    assert (drawn.strata, drawn.expected) == (plan.summary.strata, plan.summary.expected)


def test_an_unknown_target_is_refused(house: House) -> None:
    fill(house)
    with pytest.raises(UsageError, match="Unknown target") as error:
        plan_sample(house.records, house.events, GUARD, n=20, target="f1", settings=house.settings)
    assert "missed_harm_rate" in error.value.hint


def test_nothing_to_draw_from_is_said(house: House) -> None:
    with pytest.raises(UsageError, match="Nothing to draw from"):
        draw(house)


def test_only_leads_draw(house: House) -> None:
    with pytest.raises(AccessError):
        draw_sample(house.records, house.events, GUARD, n=5, seed=1, settings=house.settings, actor=ANA)


def test_two_draws_of_overlapping_traffic_are_one_unbiased_sample() -> None:
    """A draw from a fifth of the traffic, then one from all of it: weights sum up right in either part, over many seeds."""
    names = [f"r{i:03}" for i in range(300)]
    totals = {"part": 0.0, "rest": 0.0}
    seeds = 300
    for seed in range(seeds):
        random = np.random.default_rng(seed)
        turns = pl.DataFrame(
            {
                "request_id": names,
                "is_part": [i < 60 for i in range(300)],
                "number": [f"{value:.12f}" for value in random.random(300)],
                "stratum": "all",
                "judged_probability": None,
            },
            schema_overrides={"judged_probability": pl.Float64},
        ).sort("number")
        part = turns.filter("is_part").with_columns(size=pl.lit(60), earlier=pl.lit(None, dtype=pl.Float64))
        first = choose_turns(part, {"all": 15}).select("request_id", earlier="probability")
        whole = turns.join(first, on="request_id", how="left", maintain_order="left").with_columns(size=pl.lit(300))
        second = choose_turns(whole, {"all": 45}).select("request_id", later="probability")
        union = turns.join(first, on="request_id", how="left").join(second, on="request_id", how="left")
        union = union.with_columns(probability=pl.max_horizontal("earlier", "later")).drop_nulls("probability")
        weight = 1 / union["probability"]
        totals["part"] += weight.filter(union["is_part"]).sum() / seeds
        totals["rest"] += weight.filter(~union["is_part"]).sum() / seeds
    # Where two draws have nearly the same rate, the chance of their thresholds leaves a bias of the order of 1 / n.
    assert totals["part"] == pytest.approx(60, rel=0.03)
    assert totals["rest"] == pytest.approx(240, rel=0.01)
