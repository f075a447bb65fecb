"""HTTP routes beside the dashboard: liveness, metrics, the intake of logs, and the door for commands."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from anyio import to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.otlp import LOGS, TRACES
from ingest.schema import get_data_version
from service import intake
from service.home import get_home
from service.remote import ROUTE, CommandResult

RunCommand = Callable[[Sequence[str], Path, bytes], CommandResult]


def build_routes(run_command: RunCommand, get_token: Callable[[], str]) -> list[Route]:
    """The routes.

    Args:
        run_command: Runs a command line in this process.
        get_token: The token that a command must bring.
    """

    async def health(_request: Request) -> Response:
        version = await to_thread.run_sync(lambda: get_data_version(get_home().events))
        return JSONResponse({"status": "ok", "data_version": version})

    async def command(request: Request) -> Response:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), get_token().encode()):
            return JSONResponse({"error": "The token is missing or wrong."}, status_code=401)
        line, _, stdin = (await request.body()).partition(b"\n")
        asked = json.loads(line)
        result = await to_thread.run_sync(lambda: run_command(asked["arguments"], Path(asked["folder"]), stdin))
        return JSONResponse(asdict(result))

    return [
        Route("/healthz", health),
        Route("/metrics", intake.show_metrics),
        Route(TRACES.path, intake.export_traces, methods=["POST"]),
        Route(LOGS.path, intake.export_logs, methods=["POST"]),
        Route(intake.ROUTE, intake.post_records, methods=["POST"]),
        Route(ROUTE, command, methods=["POST"]),
    ]
