"""Every page, through the shell: an empty store, a day of traffic, a store that fails."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from page_rows import HOSTILE, fill
from streamlit.testing.v1 import AppTest

from core.clock import now
from core.errors import AccessError
from dashboard.navigation import PAGES, PageSpec
from service.home import Home

MAIN = Path(__file__).parents[2] / "dashboard" / "shell" / "main.py"
SPECS = list(PAGES.values())
TIMEOUT_S = 120


def open_page(spec: PageSpec, **params: str | list[str]) -> AppTest:
    app = AppTest.from_file(str(MAIN), default_timeout=TIMEOUT_S)
    for name, value in params.items():
        app.query_params[name] = value
    app.run()
    return app.switch_page(str(spec.path)).run() if spec.url_path else app


def words(app: AppTest) -> str:
    """Everything that the page says as text or Markdown."""
    kinds = (app.markdown, app.caption, app.text, app.subheader)
    return "\n".join(str(element.value) for elements in kinds for element in elements)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key)
def test_page_of_an_empty_store_says_so(spec: PageSpec, empty_home: Home) -> None:
    app = open_page(spec)
    assert not app.exception
    assert "could not be shown" not in words(app)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key)
def test_page_of_a_filled_store_shows_without_error(spec: PageSpec, sample_home: Home) -> None:
    app = open_page(spec)
    assert not app.exception
    assert "could not be shown" not in words(app)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key)
def test_page_of_a_failing_store_says_a_sentence_and_no_trace(
    spec: PageSpec, sample_home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise OSError("secret detail of the disk")

    monkeypatch.setattr(sample_home.events.__class__, "read", fail)
    monkeypatch.setattr(sample_home.events.__class__, "backend", fail)
    monkeypatch.setattr(sample_home.records.__class__, "session", fail)
    app = open_page(spec)
    assert not app.exception
    assert "could not be shown" in words(app)
    assert "secret detail" not in words(app)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.key)
def test_page_never_renders_logged_markdown(spec: PageSpec, sample_home: Home) -> None:
    app = open_page(spec, show=HOSTILE) if spec.key == "filters" else open_page(spec)
    rendered = "\n".join(str(element.value) for element in (*app.markdown, *app.caption, *app.subheader))
    labels = "\n".join(button.label for button in app.button)
    for text in (rendered, labels):
        unescaped = re.sub(r"\\.", "", text)
        assert "<img" not in unescaped
        assert "![a]" not in unescaped
        assert "[b]" not in unescaped


def test_pages_registry_matches_the_folder() -> None:
    on_disk = {path.stem for path in SPECS[0].path.parent.glob("*.py")} - {"__init__"}
    assert on_disk == set(PAGES)


def test_overview_tiles_count_the_window(sample_home: Home) -> None:
    app = open_page(PAGES["overview"])
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Turns"] == "600"
    assert values["Triggered"] == "5.0 %"
    assert set(values) == {"Turns", "Triggered", "Wrong blocks", "Missed harm", "Escalated"}


def test_overview_follows_new_data(sample_home: Home) -> None:
    app = open_page(PAGES["overview"])
    fill(sample_home, until=now() - timedelta(minutes=1), turns=60, ingest_id=2)
    app.run()
    assert {metric.label: metric.value for metric in app.metric}["Turns"] == "660"


def test_filters_of_the_bar_apply_to_every_number(sample_home: Home) -> None:
    app = open_page(PAGES["overview"], app="tutor")
    assert {metric.label: metric.value for metric in app.metric}["Turns"] == "300"


def test_window_of_old_data_ends_at_its_newest_event_and_says_so(empty_home: Home) -> None:
    fill(empty_home, until=datetime.fromisoformat("2023-10-06T12:00"))
    app = open_page(PAGES["overview"])
    assert {metric.label: metric.value for metric in app.metric}["Turns"] == "600"
    assert "Window ends at the newest event, 2023-10-06" in words(app)


def test_choosing_a_filter_shows_it_and_keeps_it_in_the_link(sample_home: Home) -> None:
    app = open_page(PAGES["filters"])
    assert not app.subheader
    app.selectbox(key="show").set_value("toxicity").run()
    assert [element.value for element in app.subheader] == ["toxicity"]
    assert app.session_state["show"] == "toxicity"


def test_a_link_to_a_filter_opens_it(sample_home: Home) -> None:
    app = open_page(PAGES["filters"], show="toxicity")
    assert [element.value for element in app.subheader] == ["toxicity"]


def test_unknown_filter_in_a_link_is_dropped(sample_home: Home) -> None:
    app = open_page(PAGES["filters"], show="no such filter")
    assert not app.subheader
    assert not app.exception


def test_sources_show_what_was_rejected_and_a_failed_job(sample_home: Home) -> None:
    app = open_page(PAGES["sources"])
    tables = [table.value for table in app.dataframe]
    assert any("lag" in table.columns for table in tables)
    assert any("missing_field" in set(table.get("reason", ())) for table in tables)
    assert any("✕ failed" in set(table.get("state", ())) for table in tables)


def test_a_viewer_is_told_that_a_page_is_not_theirs(sample_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AccessError("Not permitted", "ada is viewer", "This needs the role lead.")

    monkeypatch.setattr("dashboard.data.list_escalated", refuse)
    app = open_page(PAGES["overview"])
    assert "Not permitted" in words(app)
    assert "This needs the role lead" in words(app)
    assert not app.exception


def test_the_name_in_the_bar_becomes_the_actor(sample_home: Home) -> None:
    app = open_page(PAGES["sources"])
    app.text_input(key="actor").set_value("Ada **L**").run()
    assert not app.exception
    assert app.session_state["actor"] == "Ada **L**"
