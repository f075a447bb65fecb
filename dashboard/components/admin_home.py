"""Who uses this home, the settings in force, and what is kept for how long."""

from __future__ import annotations

from typing import Any

import polars as pl
import streamlit as st

from core.settings import Settings, default_settings, describe
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.text import plain
from dashboard.theme import MISSING, format_bytes, localise
from incidents.audit_log import flatten_settings, list_people
from incidents.people import Role
from service.status import build_status

_MAY = {
    Role.VIEWER: "sees figures and masked lists",
    Role.REVIEWER: "judges, reveals, escalates, opens and works on incidents",
    Role.LEAD: "closes incidents, silences alerts, draws samples, sees the audit log",
    Role.ADMIN: "backs up, restores, and runs commands on the machine",
}


def render_people() -> None:
    """Draws what each role may do, and who has acted under which."""
    st.markdown("#### People and roles")
    st.caption(
        "Whoever opens the dashboard on this machine is a lead; from any other machine, a reviewer, for nobody has proved "
        "who they are. Whoever runs commands on the machine is an admin. Each role includes the ones before it."
    )
    st.dataframe(
        pl.DataFrame({"role": [role.value for role in Role], "may": list(_MAY.values())}),
        key="admin_roles",
        hide_index=True,
        height="content",
        alt="What each role may do",
        column_config={"role": st.column_config.TextColumn("Role", width=100), "may": "May"},
    )
    people = list_people(data.home().records, actor=state.current_actor())
    if not people:
        render_empty("Nobody has acted yet", "Whoever changes or reveals something stands here.")
        return
    rows = [(plain(one.name, limit=60), ", ".join(one.roles), one.first_at, one.last_at) for one in people]
    schema: dict[str, pl.DataType] = {
        "name": pl.String(),
        "roles": pl.String(),
        "first_at": pl.Datetime("us"),
        "last_at": pl.Datetime("us"),
    }
    moment = st.column_config.DatetimeColumn
    zone = data.zone()
    st.dataframe(
        localise(pl.DataFrame(rows, schema=schema, orient="row"), zone),
        key="admin_people",
        hide_index=True,
        height="content",
        alt="People who have acted",
        column_config={
            "name": st.column_config.TextColumn("Who"),
            "roles": st.column_config.TextColumn("Acted as"),
            "first_at": moment(f"First ({zone.key})", format="YYYY-MM-DD HH:mm"),
            "last_at": moment("Last", format="YYYY-MM-DD HH:mm"),
        },
    )


def render_settings() -> None:
    """Draws the settings in force, secrets masked, with the default and the meaning of each."""
    home = data.home()
    st.markdown("#### Settings in force")
    st.caption("From `weir.toml` of the home and `WEIR_*` variables. A change needs a restart, which records it.")
    rows = list_settings(home.settings)
    only_changed = st.toggle("Only those that differ from the default", key="admin_changed")
    shown = [row for row in rows if row["is_changed"] or not only_changed]
    if not shown:
        render_empty("Nothing differs", "Every setting has its default.")
        return
    st.dataframe(
        pl.DataFrame(shown).select("name", "value", "default"),
        key="admin_settings",
        hide_index=True,
        height=560,
        placeholder=MISSING,
        alt="Settings in force",
        column_config={
            "name": st.column_config.TextColumn("Setting", width=240),
            "value": st.column_config.TextColumn("In force", width="large"),
            "default": st.column_config.TextColumn("Default", width="medium"),
        },
    )


def list_settings(settings: Settings) -> list[dict[str, Any]]:
    """Every setting as `weir.toml` names it: name, value, default, is_changed; values as text, secrets masked."""
    defaults = dict(flatten_settings(describe(default_settings())))
    return [
        {
            "name": name,
            "value": plain(value, limit=400) if value not in (None, "") else None,
            "default": plain(defaults.get(name), limit=400) if defaults.get(name) not in (None, "") else None,
            "is_changed": value != defaults.get(name),
        }
        for name, value in flatten_settings(describe(settings))
    ]


def render_retention() -> None:
    """Draws what each store holds, since when, and what ends it."""
    home = data.home()
    status = build_status(home)["stores"]["events"]
    oldest = home.events.read("SELECT min(ts) AS oldest FROM turns").item()
    st.markdown("#### What is kept")
    policy = home.settings.retention
    kept = [
        ("Texts of turns, checks and labels", None, policy.text_d),
        ("Turns", "turns", policy.turns_d),
        ("Checks", "checks", policy.checks_d),
        ("Labels", "labels", policy.labels_d),
        ("Quarantine", "quarantine", policy.quarantine_d),
        ("Log files of the inbox, once read", None, policy.inbox_d),
    ]
    rows = [
        (
            what,
            f"{status['rows'][table]:,} rows" if table else "",
            oldest if table == "turns" else None,
            "for good: nothing ages out by itself" if days is None else f"{days} days",
        )
        for what, table, days in kept
    ] + [
        ("Figures by minute", f"{status['rows']['check_rollup']:,} rows", None, "for good; they hold counts, no text"),
        ("Evidence of cases", "copied", None, "as long as the case, so that retention never empties one"),
        ("Votes, incidents, audit", "append-only", None, "for good; corrections are new entries"),
        ("Job runs", "", None, "7 days"),
        ("Messages", "", None, "delivered or given up after three days of tries; the log stays"),
    ]
    schema: dict[str, pl.DataType] = {
        "what": pl.String(),
        "how_much": pl.String(),
        "since": pl.Datetime("us"),
        "until": pl.String(),
    }
    st.dataframe(
        localise(pl.DataFrame(rows, schema=schema, orient="row"), data.zone()),
        key="admin_retention",
        hide_index=True,
        height="content",
        placeholder=MISSING,
        alt="What is kept and for how long",
        column_config={
            "what": st.column_config.TextColumn("What"),
            "how_much": st.column_config.TextColumn("How much", width=160),
            "since": st.column_config.DatetimeColumn("Since", format="YYYY-MM-DD", width=110),
            "until": st.column_config.TextColumn("Kept", width="large"),
        },
    )
    st.caption(
        "`[retention]` of `weir.toml` sets the days; `weir retention --dry-run` shows what is past them. "
        f"The event store takes {format_bytes(status['bytes'])}. `weir backup` copies both stores while they serve."
    )
