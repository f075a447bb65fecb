"""The Admin page: audit with verify, people, settings without secrets, notifications with a test."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
import streamlit as st
from page_rows import HOSTILE
from pydantic import SecretStr
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from core.clock import now
from core.settings import Settings, load_settings
from dashboard.components.admin_home import list_settings
from dashboard.navigation import PAGES
from incidents.people import Actor, Role
from incidents.response.enums import Severity
from incidents.response.work import open_incident
from service.home import Home, open_home, serve_home

SECRET = "json://127.0.0.1:9/token-of-the-hook"
TOML = f'[[notify]]\nname = "hook"\nurl = "{SECRET}"\n[[escalation]]\nseverity = "high"\nsteps = [{{who = "[x](y)", after_min = 5}}]\n'


def open_section(section: str) -> AppTest:
    return open_page(PAGES["admin"], admin=section)


def act_once(home: Home) -> None:
    open_incident(home.records, actor=Actor(HOSTILE, Role.LEAD), title="t", severity=Severity.LOW, at=now())


def test_the_log_is_verified_and_a_changed_entry_named(sample_home: Home) -> None:
    act_once(sample_home)
    app = open_section("Audit")
    assert not app.exception
    app.button(key="audit_verify").click().run()
    assert "Whole." in words(app)
    with sample_home.records.session() as session:
        session.connection().execute(sa.text("UPDATE audit SET actor = 'eve' WHERE seq = 1"))
    app.button(key="audit_verify").click().run()
    assert "Entry 1 was changed" in words(app).replace("\\", "")


def test_people_are_listed_without_counts(sample_home: Home) -> None:
    act_once(sample_home)
    app = open_section("People")
    (people,) = (table.value for table in app.dataframe if "roles" in table.value.columns)
    assert list(people["roles"]) == ["lead"]
    assert set(people.columns) == {"name", "roles", "first_at", "last_at"}


def test_settings_show_what_differs_and_no_secret(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, intake_token=SecretStr("hidden-token"), notify=({"name": "a", "url": SECRET},))
    rows = list_settings(settings)
    changed = {row["name"]: row["value"] for row in rows if row["is_changed"]}
    assert {"intake_token", "notify.a.url"} <= set(changed)
    assert "hidden-token" not in str(rows)
    assert "token-of-the-hook" not in str(rows)


@pytest.mark.parametrize("section", ["People", "Settings", "Notifications", "Retention"])
def test_every_section_of_an_empty_home_says_something(empty_home: Home, section: str) -> None:
    app = open_section(section)
    assert not app.exception
    assert "####" in words(app)


def test_a_test_message_says_what_failed_and_shows_no_secret(tmp_path: Path) -> None:
    st.cache_data.clear()
    folder = tmp_path / "home"
    folder.mkdir()
    (folder / "weir.toml").write_text(TOML)
    with open_home(load_settings(folder)) as home:
        serve_home(home)
        try:
            app = open_section("Notifications")
            app.button(key="notify_test_hook").click().run()
        finally:
            serve_home(None)
            st.cache_data.clear()
    assert not app.exception
    assert "Not delivered to hook" in words(app)
    assert "token-of-the-hook" not in words(app) + str([table.value for table in app.dataframe])
    assert "[x](y)" not in words(app)
