"""Where the data comes from, how fresh and whole it is, and what could not be stored."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from core.clock import now
from dashboard import data, lists, state
from dashboard.components.empty import render_empty
from dashboard.components.quarantine import render_quarantine
from dashboard.components.sources import (
    render_filter_coverage,
    render_ingests,
    render_jobs,
    render_joining,
    render_loads,
    render_sources,
    render_stores,
)
from dashboard.components.upload import render_upload
from dashboard.text import plain
from metrics.freshness import freshness
from metrics.telemetry import measure_sources

zone, home = data.zone(), data.home()
sources = data.read(freshness)
if sources.is_empty():
    render_empty(
        "No source yet",
        "Drop log files into the inbox folder of this home, send them to the intake, or upload one below.",
        icon=":material/database:",
    )
else:
    render_sources(sources, lists.count_records_per_minute(home.events), zone=zone, at=now())

render_loads()
for path, reason in lists.list_failed_files(home.events).select("path", "error").iter_rows():
    with st.container(border=True):
        st.markdown(":orange[:material/warning:] **A file cannot be read**")
        st.text(f"{plain(path)}\n{plain(reason, limit=500)}")

joining, filters, quarantine, upload, jobs, ingests, stores = st.tabs(
    ["Joining", "Filters", "Quarantine", "Upload", "Jobs", "Ingests", "Stores"],
    key="sources_tab",
    default=None if sources.height else "Upload",
)
query = data.build_query(state.current_view())
with joining:
    measured = data.read(measure_sources, replace(query, by=(), filters=()))
    if measured.is_empty():
        render_empty("Nothing in this window", data.explain_empty(state.current_view()))
    else:
        render_joining(measured)
        st.caption(
            "Of the window above, whatever its filters. A turn is joined when it has a model log and a filter log, from whichever sources; "
            "what is stored more than five minutes after it happened is late."
        )
with filters:
    due = data.report("coverage", replace(query, by=("model", "app"))).rows
    if due.is_empty():
        render_empty("No filter was due in this window", data.explain_empty(state.current_view()))
    else:
        render_filter_coverage(due)
        st.caption(
            "A filter is due on the turns of a model and an app where it ran on half or more of those that it could have run on, in this window or "
            "the one before. A turn that was stopped may have ended before it. Runs in shadow mode do not count."
        )
with quarantine:
    render_quarantine(zone=zone)
with upload:
    render_upload()
with jobs:
    runs = lists.list_job_runs(home.events)
    if runs.is_empty():
        render_empty("No job has run", "Jobs run while the server does; only those that did something stand here.")
    else:
        render_jobs(runs, zone=zone)
with ingests:
    batches = data.read(lists.list_ingests)
    if batches.is_empty():
        render_empty("Nothing ingested yet", data.NOTHING_INGESTED)
    else:
        render_ingests(batches, zone=zone)
with stores:
    files = {"Event store": home.settings.events_path}
    if home.records.engine.dialect.name == "sqlite" and home.records.engine.url.database:
        files["Decision store"] = home.settings.home / home.records.engine.url.database
    render_stores(data.read(lists.count_rows), files=files)
