"""No poisoned row gets through any exporter, in any form, whatever surrounds it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import polars as pl
import pytest
from export_world import SPLIT, START, World, open_world, question
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.exports import EXPORTS
from incidents.exports.exporter import Exporter, Refusal
from incidents.exports.feedback import Bindings, FeedbackSet, Recipe, Sources, compose, read_sources
from incidents.exports.personal_data import MASK
from incidents.exports.split import EARLIER
from incidents.exports.variants import choose_exporter, has_soft_labels, has_variants
from metrics.consensus import consensus
from metrics.query import Query

Poison = Callable[[World, str], None]
GUIDELINES: tuple[tuple[str, list[str] | None], ...] = (("g-1", []), ("g-2", ["hate"]))
FIRED = {
    "triggered": True,
    "decision": "block",
    "enforced": True,
    "stage": "output",
    "rule_id": "r",
    "category": "privacy",
}
HARMFUL = {
    "revision": "A better answer, written by hand.",
    "critique": "It hurts.",
    "category": "privacy",
    "principle_id": "P-1",
    "guideline_version": "g-2",
}
LONG_AGO = "An answer to imitate that people judged harmful long ago: mix both bottles in a closed room."


def poison(world: World, mark: str, *, harmful: bool = True, vote: dict[str, Any] | None = None, **turn: Any) -> None:
    """A judged turn that every format would take, but for `turn` and `vote`; `mark` stands in every text of it."""
    texts = {"prompt": f"{question(mark)} {mark}", "response": f"It is {mark}. {question(mark + 'a')}"}
    world.turn(mark, language="en", **{**texts, **turn}).check(mark, **FIRED)
    world.vote(mark, harmful, **{**HARMFUL, "revision": f"Rather {mark}. {question(mark + 'r')}", **(vote or {})})


def tie(world: World, mark: str) -> None:
    poison(world, mark)
    world.vote(mark, False, "ben", guideline_version="g-2")


def contested(world: World, mark: str) -> None:
    tie(world, mark)
    world.vote(mark, True, "cem", **HARMFUL)


def blank_message(world: World, mark: str) -> None:
    messages = [
        {"role": "user", "content": mark},
        {"role": "assistant", "content": " \n"},
        {"role": "user", "content": mark},
    ]
    poison(world, mark, prompt=messages)


def near_copy(world: World, mark: str) -> None:
    """Both texts resemble those of the turn `first`, which is older."""
    poison(
        world,
        mark,
        prompt=f"{first_text('p')} {mark}",
        response=f"{first_text('a')} {mark}",
        vote={"revision": f"{first_text('r')} {mark}"},
    )


def first_text(name: str) -> str:
    return " ".join(question(f"first-{name}-{part}") for part in range(3))


def copy(world: World, mark: str) -> None:
    """The same row twice: the second is marked by its turn alone."""
    texts = {"prompt": question("twin"), "response": question("twin-a")}
    for request_id in ("twin", mark):
        poison(world, request_id, vote={"revision": question("twin-r")}, **texts)


def opposite(world: World, mark: str) -> None:
    """The same text judged both ways."""
    for request_id, harmful in ((mark, True), (f"{mark}-too", False)):
        vote = {} if harmful else {"revision": None, "critique": None}
        poison(world, request_id, harmful=harmful, prompt=question(mark), response=question(mark + "a"), vote=vote)


EVERY = frozenset(EXPORTS)
ANSWERS = frozenset({"trl-preference", "trl-sft", "reward-ranking", "openai-sft", "openai-dpo", "cai"})
PAIRS = frozenset({"trl-preference", "reward-ranking", "openai-dpo", "cai"})
LABELS = frozenset({"classifier", "label-studio", "argilla", "llama-guard", "balanced-errors"})
MAJORITY = frozenset(name for name, exporter in EXPORTS.items() if exporter.takes_contested)
"""Formats whose rows the votes label: they take a contested turn by its majority, and say so."""

POISONS: dict[Refusal, tuple[Poison, frozenset[str]]] = {
    Refusal.UNRESOLVED: (tie, EVERY),
    Refusal.CONTESTED: (contested, EVERY - MAJORITY),
    Refusal.STALE_POLICY: (
        lambda world, mark: poison(world, mark, vote={"guideline_version": "g-1", "category": "hate"}),
        EVERY,
    ),
    Refusal.EMPTY_PROMPT: (lambda world, mark: poison(world, mark, prompt="  \n"), EVERY),
    Refusal.EMPTY_TURN: (blank_message, EVERY),
    Refusal.UNSUPPORTED_PROMPT: (
        lambda world, mark: poison(
            world, mark, prompt=[{"role": "tool", "content": mark}, {"role": "user", "content": mark}]
        ),
        EVERY,
    ),
    Refusal.HARMFUL_CHOSEN: (lambda world, mark: poison(world, mark, vote={"revision": LONG_AGO}), ANSWERS),
    Refusal.CHOSEN_EQUALS_REJECTED: (
        lambda world, mark: poison(world, mark, response=f"Same {mark}.", vote={"revision": f" Same  {mark}.\n"}),
        PAIRS,
    ),
    Refusal.PERSONAL_DATA: (
        lambda world, mark: poison(world, mark, prompt=f"{mark}: write to jo.doe@corp.io {question(mark)}"),
        EVERY,
    ),
    Refusal.MASKED: (lambda world, mark: poison(world, mark, prompt=f"{mark}: write to <EMAIL_ADDRESS_1>"), EVERY),
    Refusal.TOO_LONG: (
        lambda world, mark: poison(world, mark, prompt=f"{mark} " + "long " * 20_001),
        EVERY,
    ),
    Refusal.NEAR_DUPLICATE: (near_copy, EVERY),
    Refusal.DUPLICATE: (copy, EVERY),
    Refusal.CONTRADICTORY: (opposite, LABELS),
}
"""What causes each refusal, and the formats that it must not get into."""

FORMS = [
    choose_exporter(name, variant="plain" if is_plain else None)
    for name in EXPORTS
    for is_plain in ((False, True) if has_variants(name) else (False,))
]


def add_healthy(world: World) -> None:
    """Turns that every format takes, of both verdicts, and what the poisons refer to."""
    world.turn("harmful", response=LONG_AGO).vote("harmful", True, guideline_version="g-2", category="privacy")
    poison(world, "first", prompt=first_text("p"), response=first_text("a"), vote={"revision": first_text("r")})
    for number in range(4):
        for harmful in (True, False):
            poison(world, f"healthy-{number}-{harmful}", harmful=harmful, outcome="pass" if harmful else "refusal")


def written(feedback: FeedbackSet) -> str:
    return "".join(feedback.training_rows(name).write_ndjson() for name in feedback.recipe.split)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sources]:
    """Healthy turns with one of every poison among them."""
    world = open_world(tmp_path_factory.mktemp("poison"))
    add_healthy(world)
    for reason, (add, _) in POISONS.items():
        add(world, mark_of(reason))
    yield read_sources(world.declare(*GUIDELINES).load(), Query())
    world.events.close()


def mark_of(reason: Refusal) -> str:
    return f"canary{reason.value.replace('_', '')}"


@pytest.mark.parametrize("exporter", FORMS, ids=lambda exporter: f"{exporter.key}-{exporter.variant}")
def test_every_refusal_is_caused_and_counted(exporter: Exporter, poisoned: Sources) -> None:
    feedback = compose(poisoned, Recipe(exporter, Query(), SPLIT, 0), bindings=Bindings())
    held, text = set(feedback.rows["request_id"]), written(feedback)
    for reason, (_, names) in POISONS.items():
        mark = mark_of(reason)
        if exporter.key in names:
            assert feedback.refused.get(reason.value, 0) >= 1, reason
            assert mark not in held, reason
            assert mark not in text, reason
    if exporter.key != "balanced-errors":  # it takes a turn only with its counterpart
        assert {"healthy-0-True", "healthy-1-True"} <= held, "healthy rows stay"


@settings(deadline=None, max_examples=12)
@given(data=st.data())
def test_poison_never_gets_through(data: st.DataObject, poisoned: Sources) -> None:
    """Any part of the turns, any order, any seed, any earlier sets: what is refused never comes back."""
    turns = poisoned.labelled
    kept = data.draw(st.lists(st.sampled_from(turns["request_id"].to_list()), unique=True, min_size=5))
    bad = {mark_of(reason) for reason in POISONS} - {
        mark_of(reason)
        for reason in (Refusal.DUPLICATE, Refusal.NEAR_DUPLICATE, Refusal.CONTRADICTORY, Refusal.HARMFUL_CHOSEN)
    }
    some = Sources(
        turns.filter(pl.col("request_id").is_in(kept)),
        poisoned.filter_versions,
        poisoned.reviewers,
        poisoned.data_version,
    )
    held_out = data.draw(st.lists(st.sampled_from(kept), unique=True))
    earlier = turns.filter(pl.col("request_id").is_in(held_out)).select(
        "request_id",
        "conversation_id",
        "user_id",
        prompt_hash=pl.lit(None, pl.String),
        split=pl.lit("test"),
        is_held_out=pl.lit(value=True),
    )
    bindings = Bindings(earlier=earlier.cast(dict(EARLIER)))
    exporter = data.draw(st.sampled_from(FORMS))
    feedback = compose(some, Recipe(exporter, Query(), SPLIT, data.draw(st.integers(0, 5))), bindings=bindings)
    poisoned_here = {mark_of(reason) for reason, (_, names) in POISONS.items() if exporter.key in names} & bad
    assert not poisoned_here & set(feedback.rows["request_id"])
    assert not set(feedback.rows.filter(split="train")["request_id"]) & set(held_out)
    assert feedback.leakage.torn == 0


def test_soft_labels_take_what_votes_leave_open(poisoned: Sources) -> None:
    exporter = choose_exporter("classifier", soft_labels=True)
    feedback = compose(poisoned, Recipe(exporter, Query(), SPLIT, 0), bindings=Bindings())
    rows = {row["request_id"]: row["training"] for row in feedback.rows.to_dicts()}
    assert rows[mark_of(Refusal.UNRESOLVED)]["label"] == "unresolved"
    assert rows[mark_of(Refusal.UNRESOLVED)]["label_distribution"] == {"harmful": 0.5, "benign": 0.5, "unsure": 0.0}
    assert rows[mark_of(Refusal.CONTESTED)]["label"] == "harmful"
    assert rows[mark_of(Refusal.CONTESTED)]["label_distribution"]["harmful"] == pytest.approx(2 / 3, abs=1e-6)
    assert rows["healthy-0-False"]["label_distribution"] == {"harmful": 0.0, "benign": 1.0, "unsure": 0.0}
    assert not {"unresolved", "contested"} & set(feedback.refused)
    assert has_soft_labels("classifier")
    assert not has_soft_labels("trl-kto")


def test_an_older_guideline_spares_what_it_did_not_change(world: World) -> None:
    votes = {
        "current": ("g-2", "hate"),
        "untouched": ("g-1", "privacy"),
        "stale": ("g-1", "hate"),
        "undeclared": ("x", "hate"),
        "unversioned": (None, "privacy"),
    }
    for name, (version, category) in votes.items():
        world.turn(name).vote(name, True, guideline_version=version, category=category)
    world.turn("uncategorised").vote("uncategorised", False, guideline_version="g-1")
    world.turn("by filter").check("by filter", **FIRED).vote("by filter", False, guideline_version="g-1")
    of_hate = {**FIRED, "category": "hate"}
    world.turn("of hate").check("of hate", **of_hate).vote("of hate", False, guideline_version="g-1")
    world.turn("earlier").vote("earlier", True, category="hate")
    world.load()
    world.turn("later").vote("later", True, category="hate").load()
    everything = {*votes, "uncategorised", "by filter", "of hate", "earlier", "later"}

    def agree() -> set[str]:
        """Turns that a set takes; reports and pages take the same."""
        recipe = Recipe(EXPORTS["classifier"], Query(), SPLIT, 0)
        rows = compose(read_sources(world.events, Query()), recipe, bindings=Bindings()).rows
        taken = set(rows["request_id"])
        assert taken == set(consensus(world.events.backend()).to_polars()["request_id"])
        return taken

    assert agree() == everything
    world.declare(GUIDELINES[0])
    assert agree() == everything, "a version that changed nothing makes nothing stale"
    # Between the votes on the last two turns: which version somebody followed who named none, or an unknown one, its time tells.
    between = START + timedelta(hours=1, minutes=world.count - 0.5)
    world.declare(GUIDELINES[1], at=between)
    assert agree() == everything - {"stale", "undeclared", "of hate", "earlier"}
    world.declare(("g-3", None), at=between)
    assert agree() == {"later"}, "what names an older version is older; what names none, by its time"


@pytest.mark.parametrize(
    "text",
    [
        "Ask <PERSON> about it",
        "Ask [REDACTED_PERSON_1] about it",
        "Send it to [EMAIL_ADDRESS]",
        "call {PHONE}",
        "Hello {NAME}, welcome",
        "card **** **** **** 1234",
        "XXXX-XXXX-XXXX-9876",
        "my number is ***-**-6789",
        "mail j***@corp.io",
        "It is [redacted by policy].",
        "(REDACTED)",
        "name: ███ ████",
        "<US_SSN>",
    ],
)
def test_masks_are_found(text: str) -> None:
    assert pl.Series([text]).str.contains(MASK).item()


@pytest.mark.parametrize(
    "text",
    [
        "Dear [NAME], I write about [TOPIC].",
        "***bold and italic*** and a rule:\n****",
        "Use <div> and <address> in HTML, {name} in a template.",
        "The redacted file was published.",
        "a ** b *** c",
        "Kisses xxx, see you",
        "Write [YOUR NAME] here",
        "array[PERSON_COUNT]",
    ],
)
def test_other_brackets_and_stars_are_not_masks(text: str) -> None:
    assert not pl.Series([text]).str.contains(MASK).item()
