"""What a case's evidence becomes on the page."""

import json
from typing import Any

import pytest

from dashboard.components.triage_evidence import (
    CHECK_SCHEMA,
    Message,
    list_matches,
    list_reports,
    list_turns,
    tabulate_checks,
)


def make_turn(request_id: str, **values: Any) -> dict[str, Any]:
    empty = dict.fromkeys(("prompt", "messages", "response", "final_text", "outcome"))
    return {"request_id": request_id, **empty, **values}


def make_check(**values: Any) -> dict[str, Any]:
    names = "layer filter_name filter_version rule_id category score threshold triggered decision enforced mode"
    names += " mode status matched_text"
    return {**dict.fromkeys(names.split()), "filter_name": "guard", "status": "ok", **values}


def list_texts(**values: Any) -> list[tuple[str, str]]:
    turn = list_turns({"turns": [make_turn("r-1", **values)]}, request_id="r-1")[0]
    return [(message.role, message.text) for message in turn.messages]


def test_turns_keep_their_order_and_one_is_flagged() -> None:
    evidence = {"turns": [make_turn("r-1"), make_turn("r-2", outcome="safe_completion"), make_turn("r-3")]}
    turns = list_turns(evidence, request_id="r-2")
    assert [(turn.request_id, turn.position, turn.is_flagged) for turn in turns] == [
        ("r-1", 1, False),
        ("r-2", 2, True),
        ("r-3", 3, False),
    ]
    assert turns[1].outcome == "safe completion"


def test_what_the_user_saw_is_shown_when_it_differs() -> None:
    assert list_texts(prompt="p", response="r", final_text="r") == [("user", "p"), ("assistant", "r")]
    assert list_texts(prompt="p", response="r", final_text="f")[-1] == ("shown", "f")


def test_a_logged_list_of_messages_replaces_the_prompt() -> None:
    messages = json.dumps([{"role": "system", "content": "s"}, {"role": "user", "content": [{"text": "p"}]}])
    assert list_texts(prompt="p", messages=messages, response="r") == [
        ("system", "s"),
        ("user", '[{"text": "p"}]'),
        ("assistant", "r"),
    ]


@pytest.mark.parametrize("messages", ["[{", '{"a": 1}', '["x"]', "null"])
def test_messages_that_are_no_list_fall_back_to_the_prompt(messages: str) -> None:
    assert list_texts(prompt="p", messages=messages) == [("user", "p")]


def test_a_role_that_is_not_known_is_not_repeated() -> None:
    assert Message("<b>admin</b>", "x", 1).title == "Other"


def test_a_cut_text_keeps_its_true_length() -> None:
    kept = "x" * 20_000 + "\n[cut here: 20,000 of 1,048,576 characters kept]"
    message = list_turns({"turns": [make_turn("r", prompt=kept)]}, request_id="r")[0].messages[0]
    assert (len(message.text), message.total) == (20_000, 1_048_576)


def test_score_verdict_and_action_are_three_facts() -> None:
    checks = [
        make_check(score=0.71, threshold=0.65, triggered=True, decision="flag", enforced=True, rule_id="r7"),
        make_check(status="error", decision="error"),
        make_check(status="not_run", decision="skipped"),
        make_check(status="undecided", score=0.4),
        make_check(triggered=True, decision="block", enforced=False, mode="shadow"),
        make_check(triggered=False, decision="allow", filter_version="2"),
    ]
    table = tabulate_checks({"checks": checks})
    assert table.select("Filter", "Verdict", "Score / threshold", "Action").rows() == [
        ("guard r7", "triggered", "0.71 / 0.65", "flag"),
        ("guard", "failed", "", "error"),
        ("guard", "not run", "", "skipped"),
        ("guard", "no verdict", "0.4", ""),
        ("guard", "triggered", "", "block (shadow)"),
        ("guard@2", "clear", "", "allow"),
    ]


def test_no_checks_give_an_empty_table_of_the_same_columns() -> None:
    table = tabulate_checks({})
    assert (table.height, dict(table.schema)) == (0, CHECK_SCHEMA)


def test_matches_are_those_that_logged_one() -> None:
    evidence = {"checks": [make_check(matched_text="kill"), make_check(matched_text=None)]}
    assert list_matches(evidence) == [("guard", "kill")]


def test_reports_name_the_claim_without_the_reporters_words() -> None:
    reports = [
        {"selection": "user_report", "category": "hate", "critique": "secret words"},
        {"selection": "appeal", "category": None},
        {"selection": "user_report", "category": "unmapped:x\u202ey"},
    ]
    assert list_reports({"reports": reports}) == [
        "User report: Hate",
        "Appeal: no category named",
        "User report: unmapped:x⟨202E⟩y",
    ]
