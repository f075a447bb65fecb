"""The server: dashboard, scheduled jobs and routes in the one process that owns the stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import streamlit as st
from anyio import to_thread

import cli
from core.clock import now
from core.logs import configure_logs
from core.scheduler import build_scheduler
from core.settings import load_settings
from incidents.audit_log import record_settings
from metrics.survey import warm_up
from service.home import check_binding, get_home, open_home_patiently, serve_home
from service.intake import run_intake
from service.jobs import build_jobs, record_run
from service.remote import publish_address, withdraw_address
from service.routes import build_routes

_token = ""


@asynccontextmanager
async def lifespan(_app: st.App) -> AsyncIterator[None]:
    """Opens the home, starts the jobs, and publishes the address for commands; undoes all of it in reverse."""
    global _token
    configure_logs()
    settings = load_settings()
    check_binding(str(st.get_option("server.address") or "0.0.0.0"), settings)  # noqa: S104  Streamlit's default
    with ExitStack() as stack:
        home = stack.enter_context(open_home_patiently(settings))
        address = publish_address(settings.home, int(st.get_option("server.port")))
        stack.callback(withdraw_address, settings.home)
        _token = address.token
        record_settings(home.records, settings, at=now())
        serve_home(home)
        stack.callback(serve_home, None)
        stack.enter_context(run_intake(home))
        scheduler = build_scheduler(build_jobs(home), partial(record_run, home))
        scheduler.start()
        stack.callback(scheduler.shutdown)
        await to_thread.run_sync(warm_up)
        yield


app = st.App(
    Path(__file__).parent / "dashboard" / "shell" / "main.py",
    lifespan=lifespan,
    routes=build_routes(
        lambda arguments, folder, stdin: cli.run_in_server(arguments, folder, stdin, get_home()), lambda: _token
    ),
)
