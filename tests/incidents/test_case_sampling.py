"""Random samples: probabilities, strata, determinism, and turns that were drawn or judged before."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta

import pytest
from case_house import ANA, LEA, T0, House, open_house
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import select

from core.errors import AccessError, UsageError
from incidents.cases import count_by_state, get_case, lease_next, list_cases
from incidents.enums import CaseState, OpenedBy
from incidents.filing import make_case_id
from incidents.models import Draw
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from incidents.sampling import SampleSummary, allocate, draw_sample
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


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 5000), min_size=1, max_size=12), st.data())
def test_allocation_draws_what_was_asked_and_leaves_no_stratum_out(sizes: dict[str, int], data: st.DataObject) -> None:
    n = data.draw(st.integers(len(sizes), sum(sizes.values()) + 10))
    drawn = allocate(sizes, n=n)
    assert drawn.keys() == sizes.keys()
    assert sum(drawn.values()) == min(n, sum(sizes.values()))
    assert all(1 <= drawn[name] <= sizes[name] for name in sizes)
    if n >= sum(min(2, size) for size in sizes.values()):
        assert all(drawn[name] >= min(2, sizes[name]) for name in sizes)


def test_too_few_for_all_strata_is_refused() -> None:
    with pytest.raises(UsageError, match="2 turns for 3 strata"):
        allocate({"a": 10, "b": 10, "c": 10}, n=2)


def test_inverse_probabilities_sum_to_the_population(house: House) -> None:
    fill(house)
    summary = draw(house)
    assert (summary.population, summary.drawn, summary.opened) == (100, 20, 20)
    rows = draws(house)
    assert sum(1 / row.inclusion_probability for row in rows) == pytest.approx(100)
    assert Counter(row.stratum for row in rows) == {f"s1/{stratum.name}": stratum.drawn for stratum in summary.strata}
    assert [(stratum.name, stratum.population) for stratum in summary.strata] == [
        ("guard/passed/guard_llm", 90),
        ("guard/triggered/guard_llm", 10),
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


def test_turns_are_drawn_once_and_later_draws_count_what_is_left(house: House) -> None:
    fill(house)
    draw(house, n=20)
    second = draw(house, n=20)
    assert (second.sample_id, second.population) == ("s2", 80)
    rows = draws(house)
    assert len({row.request_id for row in rows}) == 40
    weights = Counter[str]()
    for row in rows:
        weights[row.sample_id] += round(1 / row.inclusion_probability, 6)  # type: ignore[assignment]
    assert weights["s1"] == pytest.approx(100)
    assert weights["s2"] == pytest.approx(80)


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
    assert label == ("sample", "s1/guard/passed/guard_llm", 0.4)


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
        ("guard/triggered/guard_llm", 10),
        ("passed", 85),
        ("words/triggered/keyword", 10),
    ]


def test_asking_for_a_category_keeps_the_passed_traffic(house: House) -> None:
    fill(house)
    query = Query(filters=(*GUARD.filters, ("category", "hate")))
    assert draw(house, query, n=10).population == 100
    query = Query(filters=(*GUARD.filters, ("category", "privacy")))
    assert [stratum.name for stratum in draw(house, query, n=10).strata] == ["guard/passed/guard_llm"]


@pytest.mark.parametrize("name", ["reviewer", "hour", "x; DROP TABLE turns"])
def test_what_no_turn_has_is_refused(house: House, name: str) -> None:
    with pytest.raises(UsageError, match="filtered"):
        draw(house, Query(filters=((name, "x"),)))
    assert draws(house) == []


def test_nothing_to_draw_from_is_said(house: House) -> None:
    with pytest.raises(UsageError, match="Nothing to draw from"):
        draw(house)


def test_only_leads_draw(house: House) -> None:
    with pytest.raises(AccessError):
        draw_sample(house.records, house.events, GUARD, n=5, seed=1, settings=house.settings, actor=ANA)
