"""What is copied into a case: order, context, caps, and hostile text left as it is."""

from __future__ import annotations

from datetime import timedelta

from case_house import T0, House
from hypothesis import given
from hypothesis import strategies as st

from incidents.evidence import (
    CHECK_LIMIT,
    CONTEXT_LIMIT,
    NEIGHBOURS,
    TEXT_LIMIT,
    Evidence,
    Target,
    gather_evidence,
    unpack_evidence,
)

HOSTILE = "<script>alert(1)</script> ![x](http://evil) =cmd() \u202e\x07 '; DROP TABLE turns; --"


def gather(house: House, *request_ids: str) -> dict[str, Evidence]:
    targets = [Target(request_id, T0) for request_id in request_ids]
    return gather_evidence(house.events, targets, layers=house.settings.layers)


def test_the_conversation_is_in_order_and_checks_follow_the_cascade(house: House) -> None:
    house.add_turns(
        *(
            {"request_id": name, "conversation_id": "c1", "turn_index": i, "prompt": f"prompt {i}"}
            for name, i in (("a", 2), ("z", 0), ("t1", 1))
        ),
        {"request_id": "elsewhere", "conversation_id": "c2"},
    )
    house.add_checks(
        {"request_id": "t1", "filter_name": "judge", "layer": "llm_judge"},
        {"request_id": "t1", "filter_name": "words", "layer": "keyword"},
        {"request_id": "t1", "filter_name": "unknown", "layer": "a layer of our own"},
        {"request_id": "z", "filter_name": "not this turn"},
    )
    house.add_labels(
        {"request_id": "t1", "harmful": None, "selection": "user_report", "reviewer": "u2"},
        {"request_id": "t1", "harmful": True, "selection": "import", "reviewer": "no report"},
    )
    evidence = gather(house, "t1", "nowhere")
    found = evidence["t1"]
    assert [turn["prompt"] for turn in found.turns] == ["prompt 0", "prompt 1", "prompt 2"]
    assert [check["filter_name"] for check in found.checks] == ["words", "judge", "unknown"]
    assert [report["reviewer"] for report in found.reports] == ["u2"]
    assert found.find_turn("t1") == found.turns[1]
    assert found.find_turn("elsewhere") is None
    assert evidence["nowhere"] == Evidence()


def test_turns_without_conversation_stand_alone(house: House) -> None:
    house.add_turns({"request_id": "a"}, {"request_id": "b"})
    evidence = gather(house, "a", "b")
    assert [turn["request_id"] for turn in evidence["a"].turns] == ["a"]
    assert [turn["request_id"] for turn in evidence["b"].turns] == ["b"]


def test_two_targets_of_one_conversation_get_one_copy_each(house: House) -> None:
    house.add_turns(*({"request_id": f"t{i}", "conversation_id": "c", "turn_index": i} for i in range(3)))
    evidence = gather(house, "t0", "t2")
    expected = ["t0", "t1", "t2"]
    assert [turn["request_id"] for turn in evidence["t0"].turns] == expected
    assert [turn["request_id"] for turn in evidence["t2"].turns] == expected


def test_a_long_conversation_keeps_the_neighbours_of_the_judged_turn(house: House) -> None:
    house.add_turns(*({"request_id": f"t{i:03}", "conversation_id": "c", "turn_index": i} for i in range(100)))
    turns = gather(house, "t050")["t050"].turns
    assert [turn["turn_index"] for turn in turns] == list(range(50 - NEIGHBOURS, 50 + NEIGHBOURS + 1))
    assert len(gather(house, "t000")["t000"].turns) == NEIGHBOURS + 1


def test_a_megabyte_is_cut_and_says_so(house: House) -> None:
    long = "é" * 1_000_000
    house.add_turns(
        {"request_id": "a", "conversation_id": "c", "turn_index": 0, "prompt": long, "metadata": {"k": long}},
        {"request_id": "b", "conversation_id": "c", "turn_index": 1, "response": long},
        {"request_id": "d", "conversation_id": "c", "turn_index": 2, "prompt": "x" * TEXT_LIMIT},
    )
    judged, neighbour, _ = gather(house, "a")["a"].turns
    assert judged["prompt"].startswith("é" * TEXT_LIMIT + "\n[cut here: 20,000 of 1,000,000 characters kept]")
    assert judged["metadata"] is None
    assert judged["cut"]["prompt"] == 1_000_000
    assert judged["cut"]["metadata"] > 1_000_000
    assert neighbour["response"].startswith("é" * CONTEXT_LIMIT + "\n[cut here: 2,000 of")
    exact = gather(house, "d")["d"].find_turn("d")
    assert exact is not None
    assert (exact["prompt"], exact["cut"]) == ("x" * TEXT_LIMIT, {})


def test_a_flood_of_checks_is_capped(house: House) -> None:
    house.add_turns({"request_id": "a"})
    house.add_checks(
        *(
            {"request_id": "a", "ts": (T0 + timedelta(milliseconds=i)).isoformat(), "rule_id": f"r{i}"}
            for i in range(CHECK_LIMIT + 10)
        )
    )
    assert len(gather(house, "a")["a"].checks) == CHECK_LIMIT


def test_hostile_text_and_names_are_copied_as_they_are(house: House) -> None:
    name = "r'; DROP TABLE turns; --"
    house.add_turns({"request_id": name, "conversation_id": HOSTILE, "prompt": HOSTILE})
    turns = gather(house, name)[name].turns
    assert [(turn["request_id"], turn["prompt"]) for turn in turns] == [(name, HOSTILE)]


@given(st.text(st.characters(exclude_categories=["Cs"])), st.datetimes(), st.booleans())
def test_what_is_packed_is_unpacked(text: str, moment: object, flag: bool) -> None:
    row = {"ts": moment, "prompt": text, "triggered": flag, "score": None, "cut": {"prompt": 3}}
    evidence = Evidence(turns=[row], checks=[row, row], reports=[])
    assert unpack_evidence(evidence.pack()) == {"turns": [row], "checks": [row, row], "reports": []}
