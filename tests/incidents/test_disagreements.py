"""Only what two versions disagree about is drawn, by direction, with probabilities that estimates can use."""

from __future__ import annotations

from collections import Counter

import pytest
from case_house import ANA, LEA, House
from sqlmodel import select

from core.errors import AccessError, UsageError
from incidents.disagreements import draw_disagreements
from incidents.models import Draw
from incidents.people import Actor
from incidents.reviews import VoteCreate, cast_vote, mirror_votes
from incidents.sampling import SampleSummary, draw_sample
from metrics.query import Query
from metrics.run import run_report

BOTH, ONLY_LIVE, ONLY_NEW, NEITHER = 10, 20, 40, 130


def fill(house: House) -> None:
    """200 turns that a live version and its successor in shadow decided about."""
    fired = (
        [(True, True)] * BOTH + [(True, False)] * ONLY_LIVE + [(False, True)] * ONLY_NEW + [(False, False)] * NEITHER
    )
    house.add_turns(*({"request_id": f"r{place:03}"} for place in range(len(fired))))
    common = {"category": None, "enforced": False}
    house.add_checks(
        *(
            {**common, "request_id": f"r{place:03}", "filter_version": version, "mode": mode, "triggered": hit}
            | {"decision": "flag" if hit else "allow"}
            for place, hits in enumerate(fired)
            for version, mode, hit in zip(("1", "2"), ("enforce", "shadow"), hits, strict=True)
        )
    )


def draw(house: House, *, n: int = 24, query: Query | None = None, actor: Actor = LEA) -> SampleSummary:
    return draw_disagreements(
        house.records, house.events, query or Query(), n=n, settings=house.settings, actor=actor, seed=1
    )


def draws(house: House) -> list[Draw]:
    with house.records.session() as session:
        return list(session.exec(select(Draw).order_by(Draw.request_id)))


def test_only_disagreements_are_drawn_and_both_directions(house: House) -> None:
    fill(house)
    summary = draw(house)
    assert (summary.population, summary.drawn, summary.opened) == (ONLY_LIVE + ONLY_NEW, 24, 24)
    rows = draws(house)
    assert all(BOTH <= int(row.request_id[1:]) < BOTH + ONLY_LIVE + ONLY_NEW for row in rows)
    sizes = Counter({row.stratum: row.stratum_size for row in rows})
    assert sizes == {
        "s1/guard@2 against guard@1/only-reference": ONLY_LIVE,
        "s1/guard@2 against guard@1/only-candidate": ONLY_NEW,
    }
    assert sum(1 / row.inclusion_probability for row in rows) == pytest.approx(ONLY_LIVE + ONLY_NEW)


def test_the_verdicts_decide_the_shadow_report(house: House) -> None:
    fill(house)
    draw(house, n=60)
    for row in draws(house):
        is_new = int(row.request_id[1:]) >= BOTH + ONLY_LIVE
        cast_vote(house.records, VoteCreate(case_id=row.case_id, harmful=is_new), actor=ANA, at=row.drawn_at)
    mirror_votes(house.records, house.events, settings=house.settings)
    (found,) = run_report(house.events, "shadow", Query()).rows.to_dicts()
    # People side with the candidate everywhere, and every disagreement was judged.
    assert found["candidate_right"]["estimate"] == 1.0
    assert found["candidate_right"]["n"] == ONLY_LIVE + ONLY_NEW
    assert found["verdict"] == "promote"


def test_a_second_draw_adds_to_the_first_and_to_other_samples(house: House) -> None:
    fill(house)
    everything = draw_sample(house.records, house.events, Query(), n=40, settings=house.settings, actor=LEA, seed=1)
    assert everything.drawn == 40
    before = {row.request_id for row in draws(house)}
    draw(house, n=12)
    second = draw(house, n=12)
    rows = draws(house)
    assert {row.request_id for row in rows} > before
    assert len(rows) == 64
    assert second.sample_id == "s3"
    assert all(0 < row.inclusion_probability <= 1 for row in rows)


def test_named_pairs_and_refusals(house: House) -> None:
    fill(house)
    summary = draw(house, query=Query(pair=("guard@2", "guard@1")), n=10)
    assert {stratum.name for stratum in summary.strata} == {
        "guard@1 against guard@2/only-candidate",
        "guard@1 against guard@2/only-reference",
    }
    with pytest.raises(AccessError):
        draw(house, actor=ANA)
    with pytest.raises(UsageError, match="never disagree"):
        draw(house, query=Query(pair=("guard@1", "guard@none")))
