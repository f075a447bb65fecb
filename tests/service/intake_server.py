"""A server of nothing but the intake, to be killed; a module of its own, so that a fork server can import it once."""

from __future__ import annotations

import socket
from multiprocessing.connection import Connection
from pathlib import Path

import uvicorn
from starlette.applications import Starlette

from core.records import RecordStore
from core.settings import Settings
from ingest.schema import create_tables
from service.home import Home
from service.intake import run_intake
from service.remote import CommandResult
from service.routes import build_routes
from tests.ingest.kill_worker import open_patiently


def serve_intake(folder: Path, started: Connection) -> None:
    """Serves the intake's routes of a home on a free port, which it tells."""
    settings = Settings().model_copy(update={"home": folder})
    events = open_patiently(settings.events_path)
    create_tables(events)
    routes = build_routes(lambda *_: CommandResult(0, "", ""), lambda: "unused")
    with socket.create_server(("127.0.0.1", 0)) as door, run_intake(Home(settings, events, RecordStore("sqlite://"))):
        server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), log_level="error"))
        started.send(door.getsockname()[1])
        server.run(sockets=[door])
