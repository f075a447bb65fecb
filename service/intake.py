"""HTTP intake: who may post, what is answered. What is stored, and how, lies in `ingest`."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import structlog
from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from core.errors import AppError, FormatError, UsageError
from core.settings import Settings
from ingest.commit import Outcome
from ingest.formats import LogFormat
from ingest.intake import BodyTooLargeError, Post, read_records, unpack
from ingest.mapping import find_formats
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


_STATUS: dict[type[AppError], int] = {
    UsageError: 400,
    FormatError: 400,
    NotAuthorizedError: 401,
    UnknownFormatError: 404,
    BodyTooLargeError: 413,
    QueueFullError: 429,
    WriterClosedError: 503,
}


class Intake:
    """The intake of one home."""

    def __init__(self, home: Home) -> None:
        self._settings = home.settings
        self._limiter = CapacityLimiter(_PARSED_AT_ONCE)
        self.writer = GroupWriter(home.events, settings=home.settings)
        self.telemetry = Telemetry(home.events, lambda: self.writer.depth)

    async def post(self, request: Request) -> Response:
        """Stores a batch; a 200 means that it is durable."""
        try:
            authorize(request, self._settings)
            response = await self._store(request)
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

    async def _store(self, request: Request) -> Response:
        log_format = _find_format(request.path_params["format"], self._settings)
        source = _read_source(request, log_format)
        is_partial = _read_partial(request)
        encoding = request.headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "x-gzip"):
            return _answer(415, {"error": f"Not a known encoding: {encoding!r}. Send gzip or plain text."})
        self.writer.check_room()
        body = await _read_body(request, limit=self._settings.intake.max_body_mb << 20)

        def parse() -> Post:
            text = unpack(body, limit=self._settings.intake.max_unpacked_mb << 20)
            return Post(log_format, source, read_records(text), is_partial, len(text))

        post = await to_thread.run_sync(parse, limiter=self._limiter)
        outcome = Outcome(is_stored=True)
        if post.read:
            outcome = await asyncio.wrap_future(self.writer.submit(post))
        self.telemetry.count_outcome(log_format.key, outcome)
        return _answer_outcome(outcome, log_format)


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


async def show_metrics(request: Request) -> Response:
    """The route of Prometheus."""
    return await _current.intake.scrape(request) if _current.intake else _answer_error(_stopping())


def authorize(request: Request, settings: Settings) -> None:
    """Lets those pass who bring the token, or, where none is set, programs on this host.

    Raises:
        NotAuthorizedError: The request may not pass.
    """
    if settings.intake_token is not None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        expected = settings.intake_token.get_secret_value().encode()
        if (
            not hmac.compare_digest(given.strip().encode("latin-1"), expected)
            or scheme.lower() != "bearer"
            or not expected
        ):
            raise NotAuthorizedError("The token is missing or wrong.", "", "Send it as: Authorization: Bearer TOKEN.")
    elif not _is_local(request.client.host if request.client else "", request.headers):
        raise NotAuthorizedError(
            "Without a token only programs on this host may post.", "", "Set WEIR_INTAKE_TOKEN and send it."
        )


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
