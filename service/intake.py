"""HTTP intake: who may post, what is answered. What is stored, and how, lies in `ingest`."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import json
import unicodedata
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.clock import now
from core.errors import AppError, FormatError, StoreFullError, UsageError
from core.settings import Settings
from core.settings_ingest import IntakeToken
from ingest.commit import Outcome
from ingest.formats import LogFormat
from ingest.intake import BodyTooLargeError, Post, read_records, unpack
from ingest.mapping import find_formats
from ingest.otlp import JSON, LOGS, PROTOBUF, TRACES, Signal, read_export, write_answer
from ingest.writer import GroupWriter, QueueFullError, WriterClosedError
from service.home import Home
from service.telemetry import CONTENT_TYPE, Telemetry

log = structlog.get_logger()
ROUTE = "/intake/v1/{format}"
_RETRY_S = "1"
_MAX_NAME = 100
_PARSED_AT_ONCE = 2
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
# A browser, or a proxy for other hosts, comes from loopback, too, and says so with one of these.
_RELAYED = ("origin", "forwarded", "x-forwarded-for", "x-real-ip")


class NotAuthorizedError(AppError):
    """The client may not post."""


class UnknownFormatError(AppError):
    """The path names no log format."""


class UnsupportedError(AppError):
    """The body is packed or written in a way that is not read."""


_STATUS: dict[type[AppError], int] = {
    UsageError: 400,
    FormatError: 400,
    NotAuthorizedError: 401,
    UnknownFormatError: 404,
    BodyTooLargeError: 413,
    UnsupportedError: 415,
    QueueFullError: 429,
    WriterClosedError: 503,
    # Of the statuses that tell of a full disk, the one after which OpenTelemetry's exporters send again.
    StoreFullError: 503,
}


class Intake:
    """The intake of one home."""

    def __init__(self, home: Home) -> None:
        self._settings = home.settings
        self._limiter = CapacityLimiter(_PARSED_AT_ONCE)
        self.writer = GroupWriter(home.events, settings=home.settings)
        self.telemetry = Telemetry(home.events, lambda: self.writer.depth)

    async def post(self, request: Request) -> Response:
        """Stores a batch of one format; a 200 means that it is durable."""
        return await self._guard(request, self._store)

    async def export(self, request: Request, signal: Signal) -> Response:
        """Stores what an OpenTelemetry exporter sends; a 200 means that it is durable."""
        return await self._guard(request, partial(self._store_export, signal))

    async def _guard(self, request: Request, store: Callable[[Request], Awaitable[Response]]) -> Response:
        try:
            authorize(request, self._settings)
            response = await store(request)
        except AppError as error:
            response = _answer_error(error)
        except ClientDisconnect:
            response = _answer(400, {"error": "The client went away."})
        except Exception:  # the boundary for requests
            log.exception("intake request failed")
            response = _answer(500, {"error": "The batch could not be stored. Nothing of it was; send it again."})
        self.telemetry.count_request(response.status_code)
        return response

    async def scrape(self, request: Request) -> Response:
        """Prometheus text, for those who may post."""
        try:
            authorize(request, self._settings)
        except NotAuthorizedError as error:
            return _answer_error(error)
        return Response(await to_thread.run_sync(self.telemetry.render), headers={"Content-Type": CONTENT_TYPE})

    async def _store_export(self, signal: Signal, request: Request) -> Response:
        log_format = find_formats(self._settings)[signal.format_key]
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in (PROTOBUF, JSON):
            named = f"{content_type[:_MAX_NAME]!r}."
            raise UnsupportedError("Not a known content type", named, f"Send {PROTOBUF} or {JSON}.")
        source = _read_source(request, log_format)
        authorize(request, self._settings, source=source)

        def read(text: bytes) -> Post:
            return Post(log_format, source, read_export(signal, text, content_type), True, len(text))

        outcome = await self._store_post(request, read)
        reason = "" if outcome.first is None else f"{outcome.first.field or 'record'}: {outcome.first.detail}"
        body = write_answer(signal, content_type, rejected=sum(outcome.rejections.values()), reason=reason)
        return Response(body, media_type=content_type)

    async def _store(self, request: Request) -> Response:
        log_format = _find_format(request.path_params["format"], self._settings)
        source = _read_source(request, log_format)
        authorize(request, self._settings, source=source)
        is_partial = _read_partial(request)

        def read(text: bytes) -> Post:
            return Post(log_format, source, read_records(text), is_partial, len(text))

        outcome = await self._store_post(request, read)
        return _answer_outcome(outcome, log_format)

    async def _store_post(self, request: Request, read: Callable[[bytes], Post]) -> Outcome:
        """Unpacks and reads a body, and waits until its records are durable."""
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            raise UnsupportedError("Not a known encoding", f"{encoding[:_MAX_NAME]!r}.", "Send gzip or plain text.")
        self.writer.check_room()
        body = await _read_body(request, limit=self._settings.intake.max_body_mb << 20)
        limit = self._settings.intake.max_unpacked_mb << 20
        post = await to_thread.run_sync(lambda: read(unpack(body, limit=limit)), limiter=self._limiter)
        outcome = Outcome(is_stored=True)
        if post.read:
            outcome = await asyncio.wrap_future(self.writer.submit(post))
        self.telemetry.count_outcome(post.log_format.key, outcome)
        return outcome


class _Current:
    """The intake that this process runs."""

    intake: Intake | None = None


_current = _Current()


@contextmanager
def run_intake(home: Home) -> Iterator[Intake]:
    """Takes posts for `home`; stores those that wait before it ends."""
    intake = Intake(home)
    intake.writer.start()
    _current.intake = intake
    try:
        yield intake
    finally:
        _current.intake = None
        intake.writer.close()


async def post_records(request: Request) -> Response:
    """The route of the intake."""
    return await _current.intake.post(request) if _current.intake else _answer_error(_stopping())


async def export_traces(request: Request) -> Response:
    """The route of OpenTelemetry's spans."""
    return await _current.intake.export(request, TRACES) if _current.intake else _answer_error(_stopping())


async def export_logs(request: Request) -> Response:
    """The route of OpenTelemetry's log records."""
    return await _current.intake.export(request, LOGS) if _current.intake else _answer_error(_stopping())


async def show_metrics(request: Request) -> Response:
    """The route of Prometheus."""
    return await _current.intake.scrape(request) if _current.intake else _answer_error(_stopping())


def authorize(request: Request, settings: Settings, *, source: str | None = None) -> None:
    """Lets those pass who bring a token, or, where none is set, programs on this host.

    Args:
        request: Brings the token.
        settings: Hold the tokens.
        source: What the request would write; None where it writes nothing.

    Raises:
        NotAuthorizedError: The request may not pass.
    """
    if settings.has_intake_token:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        token = given.strip().encode("latin-1")
        if scheme.lower() != "bearer" or not token or not any(_fits(token, one, source) for one in _tokens(settings)):
            raise NotAuthorizedError(
                "The token is missing or wrong, or not for this source.", "", "Send it as: Authorization: Bearer TOKEN."
            )
    elif not _is_local(request.client.host if request.client else "", request.headers):
        raise NotAuthorizedError(
            "Without a token only programs on this host may post.", "", "Set WEIR_INTAKE_TOKEN and send it."
        )


def _tokens(settings: Settings) -> list[IntakeToken]:
    """The tokens in force: those of the settings, and the one that is set in clear."""
    tokens = list(settings.tokens)
    if settings.intake_token is not None:
        digest = hashlib.sha256(settings.intake_token.get_secret_value().encode()).hexdigest()
        tokens.append(IntakeToken(name="intake-token", sha256=digest))
    return [token for token in tokens if token.until is None or token.until > now()]


def _fits(given: bytes, token: IntakeToken, source: str | None) -> bool:
    is_scoped = source is not None and token.sources and source not in token.sources
    return hmac.compare_digest(hashlib.sha256(given).hexdigest(), token.sha256.lower()) and not is_scoped


def _is_local(host: str, headers: Headers) -> bool:
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
    name = headers.get("host", "")
    asked = name if name.endswith("]") else name.rpartition(":")[0] or name
    return is_loopback and asked.lower() in _LOCAL_NAMES and not any(key in headers for key in _RELAYED)


def _find_format(key: str, settings: Settings) -> LogFormat:
    formats = find_formats(settings)
    if key not in formats:
        raise UnknownFormatError("Unknown log format", f"{key[:_MAX_NAME]!r}.", f"Valid: {', '.join(formats)}.")
    return formats[key]


def _read_source(request: Request, log_format: LogFormat) -> str:
    source = request.query_params.get("source") or log_format.key
    if len(source) > _MAX_NAME or any(unicodedata.category(char)[0] in "CZ" and char != " " for char in source):
        raise UsageError(
            "Not a source's name", f"{source[:_MAX_NAME]!r}.", f"Use up to {_MAX_NAME} printable characters."
        )
    return source


def _read_partial(request: Request) -> bool:
    text = request.query_params.get("partial", "false").lower()
    if text not in ("true", "1", "false", "0"):
        raise UsageError("Not a value of partial", f"{text[:_MAX_NAME]!r}.", "Valid: true, false.")
    return text in ("true", "1")


async def _read_body(request: Request, *, limit: int) -> bytes:
    declared = request.headers.get("content-length", "")
    size = int(declared) if declared.isdecimal() else 0
    parts: list[bytes] = []
    if size <= limit:
        size = 0
        async for part in request.stream():
            parts.append(part)
            size += len(part)
            if size > limit:
                break
    if size > limit:
        raise BodyTooLargeError(
            "The body is too large", f"over {limit} bytes.", "Send smaller batches, or raise intake.max_body_mb."
        )
    return b"".join(parts)


def _answer_outcome(outcome: Outcome, log_format: LogFormat) -> Response:
    counts: dict[str, Any] = {
        "accepted": outcome.accepted,
        "duplicates": outcome.duplicates,
        "ignored": outcome.ignored,
        "rejected": sum(outcome.rejections.values()),
        "rejections": outcome.rejections,
    }
    first = outcome.first
    if first is None:
        return _answer(200, counts)
    remedies = [rule.remedy for rule in log_format.rules if (rule.field, rule.reason) == (first.field, first.reason)]
    fault = {
        "position": first.position,
        "field": first.field,
        "reason": first.reason,
        "detail": first.detail,
        "remedy": next(iter(remedies), first.detail),
    }
    if outcome.is_stored:
        return _answer(200, counts | {"first_reject": fault})
    named = f", {first.field}" if first.field else ""
    sentence = f"Nothing was stored: record {first.position}{named}: {first.detail}"
    return _answer(400, {"error": sentence, **fault, **counts})


def _answer_error(error: AppError) -> Response:
    response = _answer(_STATUS.get(type(error), 500), {"error": error.sentence()})
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    elif response.status_code in (429, 503):
        response.headers["Retry-After"] = _RETRY_S
    return response


def _answer(status: int, document: dict[str, Any]) -> Response:
    # ASCII alone, so that logged text cannot act on the terminal of whoever posts by hand.
    return Response(json.dumps(document), status_code=status, media_type="application/json")


def _stopping() -> WriterClosedError:
    return WriterClosedError("The server is starting or stopping.", "", "Send the batch again.")
