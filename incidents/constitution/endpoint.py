"""The configured model behind any OpenAI-compatible endpoint, asked no faster than allowed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from core.errors import AppError, ConfigError
from core.settings import CritiqueSettings

_CHARS_PER_TOKEN = 4
"""Of English text, about; for estimates only."""


class EndpointError(AppError):
    """The endpoint did not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model wrote, and the tokens read and written as the endpoint counts them (0 where it does not)."""

    text: str
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What asking would take: requests, tokens, minutes at the allowed rate, and the price in the prices' currency."""

    requests: int
    input_tokens: int
    output_tokens: int
    minutes: float
    cost: float


class Endpoint:
    """Asks one model; one instance keeps one rate."""

    def __init__(self, settings: CritiqueSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        """Connects to nothing yet.

        Raises:
            ConfigError: No endpoint is configured, which is the default.
        """
        if not settings.base_url or not settings.model:
            raise ConfigError(
                "No critique model is configured",
                "critique.base_url, critique.model",
                "Set both in weir.toml; nothing leaves this host before that.",
            )
        import openai  # importing it costs half a second

        key = settings.api_key.get_secret_value() if settings.api_key else "none"
        self.model = settings.model
        self._client: Any = openai.OpenAI(base_url=settings.base_url, api_key=key, max_retries=4, timeout=120)
        self._failures: Any = openai.OpenAIError
        self._limit = settings.max_output_tokens
        self._pause_s = 60 / settings.requests_per_minute
        self._sleep = sleep
        self._next = 0.0

    def ask(self, user: str, *, system: str = "") -> Answer:
        """One answer, at temperature 0.

        Raises:
            EndpointError: The endpoint refused or did not answer, after the client's own retries.
        """
        wait = self._next - time.monotonic()
        if wait > 0:
            self._sleep(wait)
        self._next = time.monotonic() + self._pause_s
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user})
        try:
            reply = self._client.chat.completions.create(
                model=self.model, messages=messages, max_tokens=self._limit, temperature=0
            )
        except self._failures as error:
            raise EndpointError(
                "The critique model did not answer",
                f"{type(error).__name__}: {str(error)[:200]}",
                "What was done is kept; repeat the command to go on.",
            ) from error
        usage = reply.usage
        text = reply.choices[0].message.content if reply.choices else None
        return Answer(text or "", usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0)


def estimate_cost(prompts: list[str], *, settings: CritiqueSettings) -> Estimate:
    """An upper estimate of asking each prompt once, every answer as long as allowed."""
    read = sum(len(prompt) // _CHARS_PER_TOKEN + 1 for prompt in prompts)
    written = len(prompts) * settings.max_output_tokens
    cost = (read * settings.input_price + written * settings.output_price) / 1e6
    return Estimate(len(prompts), read, written, len(prompts) / settings.requests_per_minute, cost)
