"""Every example of the format reference: detected whatever its name, never ambiguous, read whole, with known counts.

Where the counts come from: twelve formats were counted by hand when they were written; for the thirteen of gateways, traces, rule engines and data
sets the stored rows were read against the records; the last six were counted from the records alone, before the stored rows were looked at:
anthropic_messages, two answers, of which one has stop_reason refusal (a hit: passes are not logged); granite_guardian, No, Yes, yes, no;
openai_batch_output, an answer, one with finish_reason content_filter (an outcome, not a check), a moderation with flagged true, and a
line that expired (a turn that failed); prompt_guard, LABEL_0, MALICIOUS, INJECTION; shieldgemma, No, Yes, and probabilities of an image
without a verdict, which stay undecided; vllm_guard_completion, unsafe S10, safe.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.detect import score_formats
from ingest.files import ingest_paths
from ingest.sources.files import read_sample, sniff_kind

EXAMPLES = Path(__file__).parents[3] / "shared" / "format_examples"
# file: (format, records, turns, checks, triggers, errors, labels, records that repeat another)
COUNTS = {
    "anthropic_messages": ("anthropic_messages", 2, 2, 1, 1, 0, 0, 0),
    "automod_action": ("automod_action", 2, 0, 1, 1, 0, 0, 1),
    "aws_waf": ("aws_waf", 2, 0, 3, 2, 0, 0, 0),
    "azure_content_safety": ("azure_content_safety", 3, 0, 10, 1, 0, 0, 0),
    "azure_openai_content_filter": ("azure_openai_content_filter", 4, 4, 12, 3, 1, 0, 0),
    "bedrock_guardrails": ("bedrock_guardrails", 5, 1, 6, 3, 0, 0, 0),
    "bedrock_invocation_log": ("bedrock_invocation_log", 3, 3, 2, 1, 0, 0, 0),
    "cai_records": ("cai_records", 2, 2, 0, 0, 0, 1, 0),
    "flat_filter_log": ("filter_log", 6, 0, 6, 3, 1, 0, 0),
    "gemini_safety": ("gemini_safety", 3, 3, 3, 2, 0, 0, 0),
    "granite_guardian": ("granite_guardian", 4, 0, 4, 2, 0, 0, 0),
    "guardrails_ai": ("guardrails_ai", 4, 0, 4, 2, 0, 0, 0),
    "hh_rlhf": ("hh_rlhf", 2, 2, 1, 0, 0, 2, 0),
    "litellm_standard_logging": ("litellm_standard_logging", 4, 4, 3, 1, 1, 0, 0),
    "langfuse_observations": ("langfuse_observations", 3, 1, 2, 1, 0, 0, 0),
    "langfuse_scores": ("langfuse_scores", 4, 0, 3, 1, 0, 1, 0),
    "llama_guard": ("llama_guard", 6, 0, 6, 3, 1, 0, 0),
    "llamafirewall": ("llamafirewall", 4, 0, 5, 3, 0, 0, 0),
    "llm_guard": ("llm_guard", 4, 0, 8, 2, 0, 0, 0),
    "nemo_guardrails": ("nemo_guardrails", 3, 2, 4, 2, 0, 0, 0),
    "openai_batch_output": ("openai_batch_output", 4, 3, 1, 1, 0, 0, 0),
    "openai_chat_completion": ("openai_chat_completion", 5, 5, 4, 1, 1, 0, 0),
    "openai_moderation": ("openai_moderation", 4, 0, 5, 2, 0, 0, 0),
    "openinference_spans": ("openinference_spans", 3, 0, 2, 1, 0, 1, 0),
    "osprey_execution_result": ("osprey_execution_result", 2, 0, 6, 2, 0, 0, 0),
    "otlp_genai_logs": ("otlp_genai_logs", 3, 1, 3, 1, 0, 0, 0),
    "otlp_genai_spans": ("otlp_genai_spans", 2, 1, 3, 2, 0, 0, 0),
    "perspective": ("perspective", 3, 0, 6, 2, 1, 0, 0),
    "prompt_guard": ("prompt_guard", 3, 0, 3, 2, 0, 0, 0),
    "shieldgemma": ("shieldgemma", 3, 0, 3, 1, 0, 0, 0),
    "vllm_guard_completion": ("vllm_guard_completion", 2, 0, 2, 1, 0, 0, 0),
}
pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the shared format examples are not beside this checkout")


@pytest.mark.parametrize("name", COUNTS)
def test_example__read_whole_under_any_name(name: str, events: EventStore, settings: Settings, tmp_path: Path) -> None:
    log_format, read, turns, checks, triggered, errors, labels, duplicates = COUNTS[name]
    misnamed = tmp_path / "openai_moderation.csv"
    misnamed.write_bytes((EXAMPLES / f"{name}.jsonl").read_bytes())
    summary = ingest_paths(events, [misnamed], settings=settings)
    assert events.read("SELECT DISTINCT format FROM ingests").item() == log_format
    assert (summary.read, summary.rejected, summary.duplicates) == (read, 0, duplicates)
    assert (summary.turns, summary.checks, summary.labels) == (turns, checks, labels)
    counts = "SELECT count(*) FILTER (triggered), count(*) FILTER (status = 'error') FROM checks"
    assert events.read(counts).row(0) == (triggered, errors)
    wrong = "SELECT count(*) FROM checks WHERE (status IN ('ok', 'hit')) <> (triggered IS NOT NULL)"
    assert events.read(wrong).item() == 0
    assert ingest_paths(events, [misnamed], settings=settings).checks == 0


def test_no_example_is_left_out() -> None:
    names = {path.stem for path in EXAMPLES.glob("*.jsonl") if not path.stem.startswith("out_")}
    assert names == set(COUNTS)


@pytest.mark.parametrize("name", COUNTS)
def test_example__fits_one_format_only(name: str) -> None:
    path = EXAMPLES / f"{name}.jsonl"
    kind = sniff_kind(path)
    assert kind is not None
    scores = score_formats(read_sample(path, kind), settings=Settings())
    assert scores.pop(COUNTS[name][0]) == 1.0
    assert max(scores.values()) == 0.0
