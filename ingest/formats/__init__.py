"""The log formats, each in a module of its own name."""

from core.registry import Registry
from ingest.formats.anthropic_messages import AnthropicMessages
from ingest.formats.automod_action import AutomodAction
from ingest.formats.aws_waf import AwsWaf
from ingest.formats.azure_content_safety import AzureContentSafety
from ingest.formats.azure_openai_content_filter import AzureOpenAIContentFilter
from ingest.formats.base import LogFormat
from ingest.formats.bedrock_guardrails import BedrockGuardrails
from ingest.formats.bedrock_invocation_log import BedrockInvocationLog
from ingest.formats.cai_records import CaiRecords
from ingest.formats.filter_log import FilterLog
from ingest.formats.gemini_safety import GeminiSafety
from ingest.formats.granite_guardian import GraniteGuardian
from ingest.formats.guardrails_ai import GuardrailsAI
from ingest.formats.hh_rlhf import HhRlhf
from ingest.formats.inspect_ai import InspectAI
from ingest.formats.label_log import LabelLog
from ingest.formats.langfuse_observations import LangfuseObservations
from ingest.formats.langfuse_scores import LangfuseScores
from ingest.formats.litellm_standard_logging import LiteLLMStandardLogging
from ingest.formats.llama_guard import LlamaGuard
from ingest.formats.llamafirewall import LlamaFirewall
from ingest.formats.llm_guard import LlmGuard
from ingest.formats.model_log import ModelLog
from ingest.formats.nemo_guardrails import NemoGuardrails
from ingest.formats.openai_batch_output import OpenAIBatchOutput
from ingest.formats.openai_chat_completion import OpenAIChatCompletion
from ingest.formats.openai_moderation import OpenAIModeration
from ingest.formats.openinference_spans import OpenInferenceSpans
from ingest.formats.osprey_execution_result import OspreyExecutionResult
from ingest.formats.otlp_genai_logs import OtlpGenAILogs
from ingest.formats.otlp_genai_spans import OtlpGenAISpans
from ingest.formats.perspective import Perspective
from ingest.formats.prompt_guard import PromptGuard
from ingest.formats.shieldgemma import ShieldGemma
from ingest.formats.vllm_guard_completion import VllmGuardCompletion

__all__ = ["FORMATS", "LogFormat"]

FORMATS: Registry[LogFormat] = Registry(
    "log format",
    FilterLog(),
    ModelLog(),
    LabelLog(),
    OpenAIModeration(),
    LlamaGuard(),
    Perspective(),
    OpenAIChatCompletion(),
    AzureOpenAIContentFilter(),
    AnthropicMessages(),
    AzureContentSafety(),
    VllmGuardCompletion(),
    GraniteGuardian(),
    BedrockGuardrails(),
    ShieldGemma(),
    GeminiSafety(),
    PromptGuard(),
    LlmGuard(),
    OpenAIBatchOutput(),
    LlamaFirewall(),
    GuardrailsAI(),
    LiteLLMStandardLogging(),
    NemoGuardrails(),
    OtlpGenAISpans(),
    OtlpGenAILogs(),
    LangfuseObservations(),
    LangfuseScores(),
    OpenInferenceSpans(),
    BedrockInvocationLog(),
    OspreyExecutionResult(),
    AwsWaf(),
    AutomodAction(),
    HhRlhf(),
    CaiRecords(),
    InspectAI(),
)
