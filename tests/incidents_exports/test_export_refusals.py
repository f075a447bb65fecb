"""Every refusal reason, each caused in a real store; the truth table covers those that follow from the verdict."""

from __future__ import annotations

import json
from datetime import timedelta

import polars as pl
import pytest
from export_world import SPLIT, START, World, question

from incidents.exports import EXPORTS
from incidents.exports.exporter import Refusal
from incidents.exports.feedback import FeedbackSet, Recipe, derive
from incidents.exports.refusals import MAX_ROW_CHARS
from metrics.query import Query


def build(world: World, name: str, *, include_contested: bool | None = None, **query: object) -> FeedbackSet:
    recipe = Recipe(EXPORTS[name], Query(**query), SPLIT, 1, include_contested)  # type: ignore[arg-type]  # any of its fields
    return derive(world.load(), recipe)


def exported(feedback: FeedbackSet) -> list[str]:
    return feedback.rows["request_id"].unique(maintain_order=True).to_list()


def test_a_tie_and_all_unsure_are_unresolved(world: World) -> None:
    world.turn("tie").vote("tie", True, "ana").vote("tie", False, "ben")
    world.turn("unsure").vote("unsure", None, "ana").vote("unsure", None, "ben")
    world.turn("one").vote("one", None, "ana").vote("one", False, "ben")
    feedback = build(world, "classifier")
    assert feedback.refused == {"unresolved": 2}
    assert exported(feedback) == ["one"]


def test_a_reviewer_may_change_their_mind(world: World) -> None:
    world.turn("a").vote("a", True, "ana").vote("a", False, "ana", ts=START + timedelta(days=1))
    feedback = build(world, "classifier")
    assert feedback.rows["kind"].to_list() == ["benign"]
    assert feedback.rows["votes"].to_list() == [1]


def test_contested_turns_are_refused_unless_included(world: World) -> None:
    world.turn("a", revision=None)
    world.vote("a", True, "ana", revision="Better.").vote("a", True, "ben").vote("a", False, "cem")
    for name, is_taken in (("trl-preference", False), ("trl-kto", False), ("classifier", True)):
        assert bool(exported(build(world, name))) is is_taken
        assert exported(build(world, name, include_contested=True)) == ["a"]
        refused = build(world, name, include_contested=False)
        assert (exported(refused), refused.refused) == ([], {"contested": 1})


def test_claims_and_votes_about_a_filter_are_no_verdicts(world: World) -> None:
    world.turn("a").turn("b").turn("c")
    world.vote("a", True, "user", selection="user_report").vote("b", True, filter_name="guard").vote("c", False)
    assert exported(build(world, "classifier")) == ["c"]


def test_the_revision_of_a_dissenter_is_not_used(world: World) -> None:
    world.turn("a").vote("a", True, "ana", revision="From ana.").vote("a", True, "ben", revision="From ben.")
    world.vote("a", False, "cem", revision="From cem.", ts=START + timedelta(days=1))
    feedback = build(world, "trl-preference", include_contested=True)
    assert feedback.rows["good"].to_list() == ["From ben."]


@pytest.mark.parametrize("prompt", [None, "", "  \n\t "])
def test_empty_prompts(world: World, prompt: str | None) -> None:
    world.turn("a", prompt=prompt).vote("a", False)
    assert build(world, "classifier").refused == {Refusal.EMPTY_PROMPT: 1}


IMAGE = [{"type": "image_url", "image_url": {"url": "x"}}]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}],
        [{"role": "user", "content": IMAGE}],
        [{"role": "tool", "content": "a"}, {"role": "user", "content": "b"}],
        [{"role": "assistant", "content": "a", "tool_calls": [{}]}, {"role": "user", "content": "b"}],
        [{"role": ["user"], "content": "a"}],
        ["a"],
        [["a"]],
    ],
)
def test_unsupported_prompts(world: World, messages: list[object]) -> None:
    world.turn("a", prompt=messages).vote("a", False)
    assert build(world, "trl-kto").refused == {Refusal.UNSUPPORTED_PROMPT: 1}


def test_text_parts_are_joined(world: World) -> None:
    parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
    world.turn("a", prompt=[{"role": "system", "content": "s"}, {"role": "user", "content": parts}]).vote("a", False)
    assert build(world, "trl-kto").rows["messages"].to_list() == [
        [{"role": "system", "content": "s"}, {"role": "user", "content": "one\ntwo"}]
    ]


def test_white_space_does_not_make_a_pair(world: World) -> None:
    world.turn("a", response="Same  answer.\n").vote("a", True, revision=" Same answer. ")
    feedback = build(world, "trl-preference")
    assert (exported(feedback), feedback.refused) == ([], {"chosen_equals_rejected": 1})


def test_a_text_judged_harmful_anywhere_is_never_taught(world: World) -> None:
    world.turn("harmful", response="Use  this poison.").vote("harmful", True)
    world.turn("benign", response="Use this poison.").vote("benign", False)
    world.turn("revised", response="No.").vote("revised", False, revision="Use this poison.")
    window = {"since": START + timedelta(minutes=2)}
    kto, pairs = build(world, "trl-kto", **window), build(world, "trl-preference", **window)
    assert (exported(kto), kto.refused) == ([], {"harmful_chosen": 2})
    assert (exported(pairs), pairs.refused) == ([], {"harmful_chosen": 1, "missing_revision": 1})


def test_a_harmful_answer_may_still_be_unlearned(world: World) -> None:
    world.turn("a", response="Use this poison.").vote("a", True, revision="Use this poison.")
    feedback = build(world, "trl-kto")
    assert feedback.rows["kind"].to_list() == ["undesirable"]
    assert feedback.refused == {"harmful_chosen": 1}


def test_the_limit_counts_the_whole_row(world: World) -> None:
    answer = "x" * (MAX_ROW_CHARS - len("user: p\n\nassistant: ") - len("\nbenign"))
    world.turn("fits", prompt="p", response=answer).vote("fits", False)
    world.turn("long", prompt="p", response=answer + "x").vote("long", False)
    feedback = build(world, "classifier")
    assert (exported(feedback), feedback.refused) == (["fits"], {"too_long": 1})


@pytest.mark.parametrize("place", ["prompt", "response", "revision"])
def test_personal_data_anywhere_in_the_row(world: World, place: str) -> None:
    texts = {"prompt": "p", "response": "r", "revision": "v"} | {place: "Ask jo@corp.io"}
    revision = texts.pop("revision")
    world.turn("a", **texts).vote("a", True, revision=revision)
    assert build(world, "trl-preference").refused == {"personal_data": 1}


def test_duplicates_are_kept_once_and_opposites_not_at_all(world: World) -> None:
    for request_id, harmful in (("a", False), ("b", False), ("c", False), ("d", True)):
        text = "first" if request_id in "ab" else "second"
        world.turn(request_id, prompt=text, response=text).vote(request_id, harmful)
    feedback = build(world, "classifier")
    assert exported(feedback) == ["a"]
    assert feedback.refused == {"contradictory": 2, "duplicate": 1}


def test_the_window_is_half_open_and_filters_select_checked_turns(world: World) -> None:
    for name in "abcd":
        world.turn(name).vote(name, False)
    world.check("b").check("c", filter_name="other").check("d")
    minute = timedelta(minutes=1)
    window = {"since": START + 2 * minute, "until": START + 4 * minute}
    assert exported(build(world, "classifier", **window)) == ["b", "c"]
    guard = (("filter_name", "guard"),)
    assert exported(build(world, "classifier", filters=guard)) == ["b", "d"]
    assert exported(build(world, "classifier", filters=guard, **window)) == ["b"]


def test_context_comes_from_earlier_turns_as_the_user_saw_them(world: World) -> None:
    world.turn("one", conversation_id="c", turn_index=0, final_text="Shown one.", outcome="modified")
    world.turn("lost", conversation_id="c", turn_index=1, response=None)
    world.turn("two", conversation_id="c", turn_index=2).turn("three", conversation_id="c", turn_index=3)
    world.turn("else", conversation_id="d", turn_index=0).vote("two", False)
    rows = build(world, "trl-kto").rows
    assert rows["messages"].to_list() == [
        [
            {"role": "user", "content": question("one")},
            {"role": "assistant", "content": "Shown one."},
            {"role": "user", "content": question("two")},
        ]
    ]
    assert rows["context_ids"].to_list() == [["one"]]


def test_weights_stand_for_the_traffic(world: World) -> None:
    for name, probability in (("a", 0.1), ("b", 0.5), ("c", None)):
        world.turn(name).vote(name, False, inclusion_probability=probability, selection="sample")
    weights = build(world, "classifier").rows["weight"].to_list()
    assert weights == [pytest.approx(10 / 6, abs=1e-6), pytest.approx(2 / 6, abs=1e-6), 1.0]


def test_half_a_surrogate_becomes_the_replacement_character(world: World) -> None:
    world.turn("a").vote("a", False)
    events = world.load()
    spelled = json.dumps([{"role": "user", "content": "a\ud800b"}])
    events.write(lambda connection: connection.execute("UPDATE turns SET messages = ?", [spelled]))
    rows = build(world, "trl-kto").rows
    assert rows["messages"].to_list() == [[{"role": "user", "content": "a\ufffdb"}]]


def test_an_empty_store_gives_an_empty_set(world: World) -> None:
    for name, exporter in EXPORTS.items():
        feedback = build(world, name)
        assert feedback.rows.is_empty()
        assert feedback.counts() == {"train": 0, "test": 0}
        assert feedback.training_rows("train").schema == pl.Schema(exporter.columns)


def test_a_set_is_of_one_moment_whatever_is_ingested_meanwhile(world: World) -> None:
    world.turn("a").check("a").vote("a", False)

    def ingest(share: float, _: str) -> None:
        if 0 < share < 1:
            world.check("a", filter_name=f"late-{share}").load()

    recipe = Recipe(EXPORTS["classifier"], Query(), SPLIT, 1)
    before = derive(world.load(), recipe)
    during = derive(world.events, recipe, on_progress=ingest)
    after = derive(world.events, recipe)
    assert (during.data_version, during.filter_versions) == (before.data_version, before.filter_versions)
    assert after.data_version > before.data_version
    assert len(after.filter_versions) > len(before.filter_versions)
