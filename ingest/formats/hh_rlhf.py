"""Anthropic's hh-rlhf data sets: preference pairs and red-team attempts (formats.md 9.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from core.settings import Settings
from ingest.formats.base import (
    ENVELOPE,
    Rule,
    Selects,
    envelope_facts,
    envelope_rules,
    envelope_time,
    json_object,
    number,
    select_checks,
    select_turns,
    text,
    transcript_end,
    transcript_messages,
)

_ID = "coalesce(nullif(r.request_id, ''), 'hh-' || md5(CAST(r AS VARCHAR)))"
_CONVERSATION = f"coalesce(nullif(r.conversation_id, ''), {_ID})"
_TRANSCRIPT = "coalesce(r.transcript, r.rejected)"
_IS_PAIR = "r.chosen IS NOT NULL"


class HhRlhf:
    """See the module's docstring."""

    key = "hh_rlhf"
    title = "hh-rlhf"
    description = (
        "A preference pair is a turn with the rejected answer, the chosen one as its candidate, and a vote that is unsure of harm and holds the "
        "chosen one as the better response. A red-team attempt is a turn, an undecided check with the preference model's score "
        "(lower is riskier), and its author's vote: a rating of 3 or 4 is harmful, 0 or 1 is not, 2 is unsure. Records without a time take that of the file. Red-team data is not "
        "meant for preference training."
    )
    yields = ("turns", "checks", "labels")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["chosen", "rejected", "transcript", "rating", "task_description", "model_type"], "VARCHAR"),
        **dict.fromkeys(["min_harmlessness_score_transcript", "red_team_member_id", "num_params"], "VARCHAR"),
        "tags": "JSON",
    }
    rules = (
        *envelope_rules(remedy="The record carries no time: ingest it as a file, or add timestamp."),
        Rule(
            "chosen",
            "missing_field",
            "r.transcript IS NULL AND (r.chosen IS NULL OR r.rejected IS NULL)",
            "A pair holds chosen and rejected, an attempt holds transcript.",
        ),
        Rule(
            "chosen",
            "invalid_value",
            f"{transcript_end(_TRANSCRIPT, 'Human')} IS NULL",
            "The transcript has a turn that starts with Human: after an empty line.",
        ),
        Rule(
            "rating", "invalid_value", f"NOT ({number('r.rating')} BETWEEN 0 AND 4)", "A rating lies between 0 and 4."
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when both sides are transcripts, or an attempt is rated."""
        if {"transcript", "min_harmlessness_score_transcript"} <= record.keys():
            return 1.0
        sides = [record.get("chosen"), record.get("rejected")]
        return 1.0 if all(isinstance(side, str) and "\n\nHuman:" in side for side in sides) else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The turn, what was preferred or measured, and who said so."""
        facts = envelope_facts(request_id=_ID, conversation_id=_CONVERSATION)
        turns = select_turns(
            "accepted",
            **facts,
            model=text("r.model_type"),
            prompt=transcript_end(_TRANSCRIPT, "Human"),
            messages=transcript_messages(_TRANSCRIPT),
            response=transcript_end(_TRANSCRIPT, "Assistant"),
            outcome="'pass'",
            candidates=f"CASE WHEN {_IS_PAIR} THEN CAST(json_array({transcript_end('r.chosen', 'Assistant')}) AS VARCHAR) END",
            metadata=json_object(num_params="r.num_params", tags="r.tags", task="r.task_description"),
        )
        score = number("r.min_harmlessness_score_transcript")
        checks = select_checks(
            f"accepted WHERE ({score}) IS NOT NULL",
            **facts,
            layer="'classifier'",
            stage="'output'",
            filter_name="'harmlessness-preference-model'",
            score=score,
            score_kind="'logit'",
            decision="'allow'",
            enforced="false",
            mode="'annotate'",
            status="'undecided'",
        )
        rating = number("r.rating")
        nothing = "CAST(NULL AS VARCHAR)"
        labels = f"""
            SELECT line_no, {envelope_time()} AS ts, {_ID} AS request_id, {_CONVERSATION} AS conversation_id, {nothing} AS filter_name,
                coalesce('red-team-' || nullif(r.red_team_member_id, ''), 'hh-rlhf') AS reviewer,
                CASE WHEN {rating} >= 3 THEN true WHEN {rating} <= 1 THEN false END AS harmful, {nothing} AS category,
                CAST(round({rating}) AS INTEGER) AS severity,
                CASE WHEN {_IS_PAIR} THEN 'preferred' ELSE 'rated ' || r.rating END AS reason, {nothing} AS principle_id,
                {transcript_end("r.chosen", "Assistant")} AS revision, {nothing} AS critique, 'import' AS selection,
                {nothing} AS stratum, CAST(NULL AS DOUBLE) AS inclusion_probability, {nothing} AS guideline_version, extra
            FROM accepted WHERE {_IS_PAIR} OR ({rating}) IS NOT NULL"""
        return Selects(turns=turns, checks=checks, labels=labels)
