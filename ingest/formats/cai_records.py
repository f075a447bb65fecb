"""Records of the Constitutional AI paper: critiques and revisions, and sampled answers with scores (formats.md 9.1)."""

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
    json_items,
    json_object,
    json_value,
    select_turns,
    text,
    transcript_end,
    transcript_messages,
)

_ID = "coalesce(nullif(r.request_id, ''), 'cai-' || md5(CAST(r AS VARCHAR)))"
_CONVERSATION = f"coalesce(nullif(r.conversation_id, ''), {_ID})"
_SAMPLES = json_items("r.sampled_answers")
_RANKED = (
    f"list_transform(list_reverse_sort(list_transform({_SAMPLES}, lambda s: "
    "{'score': try_cast(json_extract_string(s, '$.pm_scores[0].pm_score') AS DOUBLE), "
    "'answer': trim(json_extract_string(s, '$.sampled_string'))})), lambda s: s.answer)"
)


class CaiRecords:
    """See the module's docstring."""

    key = "cai_records"
    title = "Constitutional AI records"
    description = (
        "A critique-revision record is a turn with the first answer, and a vote that is unsure of harm and holds the principle, the critique "
        "and the last of the successive revisions; all of them stay in metadata. Sampled answers are a turn with the answer that scored highest, the "
        "others as its candidates. Records without a time take that of the file."
    )
    yields = ("turns", "labels")
    structure = {
        **ENVELOPE,
        **dict.fromkeys(["rl_prompt", "comparison_dataset", "comparison_model"], "VARCHAR"),
        **dict.fromkeys(["initial_response", "cst", "sampled_answers"], "JSON"),
    }
    rules = (
        *envelope_rules(remedy="The record carries no time: ingest it as a file, or add timestamp."),
        Rule(
            "rl_prompt",
            "missing_field",
            f"{transcript_end('r.rl_prompt', 'Human')} IS NULL",
            "The prompt is a transcript that starts with Human: after an empty line.",
        ),
        Rule(
            "initial_response",
            "missing_field",
            "r.initial_response IS NULL AND r.sampled_answers IS NULL",
            "A record holds initial_response with cst, or sampled_answers.",
        ),
    )

    def sniff(self, record: Mapping[str, Any]) -> float:
        """Certain when a prompt stands beside revisions or sampled answers."""
        return 1.0 if "rl_prompt" in record and {"cst", "sampled_answers"} & record.keys() else 0.0

    def selects(self, settings: Settings) -> Selects:
        """The turn, and the last revision as a vote."""
        turns = select_turns(
            "accepted",
            **envelope_facts(
                request_id=_ID,
                conversation_id=_CONVERSATION,
                app=f"coalesce({text('r.app')}, {text('r.comparison_dataset')})",
            ),
            prompt=transcript_end("r.rl_prompt", "Human"),
            messages=transcript_messages("r.rl_prompt"),
            response=f"coalesce(trim({json_value('r.initial_response', '$[0].sample')}), ({_RANKED})[1])",
            outcome="'pass'",
            candidates=f"CASE WHEN len({_SAMPLES}) > 1 THEN CAST(to_json(({_RANKED})[2:]) AS VARCHAR) END",
            metadata=json_object(cst="r.cst", sampled_answers="r.sampled_answers", comparison="r.comparison_model"),
        )
        nothing = "CAST(NULL AS VARCHAR)"
        labels = f"""
            SELECT line_no, {envelope_time()} AS ts, {_ID} AS request_id, {_CONVERSATION} AS conversation_id, {nothing} AS filter_name,
                'constitutional-ai' AS reviewer, CAST(NULL AS BOOLEAN) AS harmful, {nothing} AS category,
                CAST(NULL AS INTEGER) AS severity, 'revised' AS reason, {json_value("c", "$.cst_key")} AS principle_id,
                trim({json_value("c", "$.revision.sample")}) AS revision, trim({json_value("c", "$.critique.sample")}) AS critique,
                'import' AS selection, {nothing} AS stratum, CAST(NULL AS DOUBLE) AS inclusion_probability,
                {nothing} AS guideline_version, extra
            FROM (SELECT line_no, r, extra, ({json_items("r.cst")})[-1] AS c FROM accepted) WHERE c IS NOT NULL"""
        return Selects(turns=turns, labels=labels)
