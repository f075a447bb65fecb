"""The Incidents page: alerts that fire, taking one up, silencing it, the rules."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl
import pytest
from page_rows import HOSTILE
from streamlit.testing.v1 import AppTest
from test_pages import open_page, words

from core.clock import now
from core.errors import AccessError
from core.events import Connection
from dashboard import data
from dashboard.components.alert_list import link_params
from dashboard.components.alert_rules import build_reach_table
from dashboard.navigation import PAGES
from incidents.alerts import desk
from incidents.alerts.reach import SCHEMA as REACH
from incidents.alerts.rules import change_rule
from incidents.alerts.watch import GRACE, evaluate_alerts
from incidents.people import SYSTEM
from service.home import Home

_FAILURES = """INSERT INTO check_rollup BY NAME
SELECT $minute::TIMESTAMP AS minute, name AS filter_name, 'classifier' AS layer, 'enforce' AS mode, 'log' AS source,
    500 AS evaluated, 5 AS triggered, 5 AS enforced, 500 AS errors, 0 AS not_run, 0 AS undecided
FROM (VALUES ($hostile), ('toxicity')) AS f(name)"""


def raise_alerts(home: Home) -> datetime:
    """Lets half of the checks of two filters fail in the last two whole hours; returns the end of the last one."""
    end = (now() - GRACE).replace(minute=0, second=0, microsecond=0)

    def work(connection: Connection) -> None:
        for hours in (1, 2):
            connection.execute(_FAILURES, {"minute": end - timedelta(hours=hours), "hostile": HOSTILE})

    home.events.write(work)
    rules = tuple(rule for rule in home.settings.alerts if rule.name in ("errors", "coverage"))
    settings = home.settings.model_copy(update={"alerts": rules})
    evaluate_alerts(home.records, home.events, settings=settings, at=now())
    return end


def open_alerts(home: Home, **params: str) -> AppTest:
    raise_alerts(home)
    app = open_page(PAGES["incidents"], **params)
    assert not app.exception
    assert "could not be shown" not in words(app)
    return app


def test_an_empty_store_says_that_nothing_fires(empty_home: Home) -> None:
    app = open_page(PAGES["incidents"])
    assert "No alert fires. None ever has." in words(app)
    assert list(app.dataframe[0].value["name"])[:2] == ["rate-hour", "rate-day"]


def test_alerts_stand_by_filter_with_their_numbers(empty_home: Home) -> None:
    app = open_alerts(empty_home)
    said = words(app)
    assert "4 alerts fire." in said
    assert "failed in 50\\.0\\% of 1\\,000\\; the limit is 2\\.0\\%" in said
    assert "decided in 50\\.0\\% of 1\\,000\\; the limit is 95\\.0\\%" in said
    assert "<img" not in said.replace("\\<", "")


def test_the_link_leads_to_the_window_of_the_breach(empty_home: Home) -> None:
    end = raise_alerts(empty_home)
    views = desk.list_alerts(empty_home.records, actor=SYSTEM, at=now())
    (view,) = [view for view in views if (view.kind, view.filter_name) == ("error_share", "toxicity")]
    assert link_params(view, window_min=60) == {
        "window": "custom",
        "since": (end - timedelta(hours=1)).isoformat(),
        "until": end.isoformat(),
        "show": "toxicity",
    }


def test_an_alert_is_taken_up_and_silenced_with_a_reason(empty_home: Home) -> None:
    app = open_alerts(empty_home, actor="Ada")
    alert = desk.list_alerts(empty_home.records, actor=SYSTEM, at=now())[0].alert_id
    app.button(key=f"alert_ack_{alert}").click().run()
    assert "taken up by Ada" in words(app)
    assert app.button(key=f"alert_ack_{alert}").disabled
    app.text_input(key=f"alert_silence_why_{alert}").set_value("known fault")
    app.button(key=f"alert_silence_go_{alert}").click().run()
    assert "silenced by Ada" in words(app)
    assert "known fault" in words(app)
    assert "3 alerts fire." in words(app)
    app.button(key=f"alert_unsilence_{alert}").click().run()
    assert "4 alerts fire." in words(app)


def test_a_silence_without_a_reason_is_refused_in_a_sentence(empty_home: Home) -> None:
    app = open_alerts(empty_home)
    alert = desk.list_alerts(empty_home.records, actor=SYSTEM, at=now())[0].alert_id
    app.button(key=f"alert_silence_go_{alert}").click().run()
    assert "A silence needs a reason" in words(app)
    assert not app.exception


def test_who_may_not_silence_is_told_so(empty_home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    app = open_alerts(empty_home)

    def refuse(*_args: object, **_kwargs: object) -> None:
        raise AccessError("Not permitted", "ada is reviewer", "This needs the role lead.")

    monkeypatch.setattr(desk, "silence_alert", refuse)
    alert = desk.list_alerts(empty_home.records, actor=SYSTEM, at=now())[0].alert_id
    app.button(key=f"alert_silence_go_{alert}").click().run()
    assert "This needs the role lead" in words(app)


def test_the_navigation_counts_what_fires(empty_home: Home) -> None:
    raise_alerts(empty_home)
    assert data.count_waiting()["incidents"] == 4


def test_the_overview_says_first_what_fires(sample_home: Home) -> None:
    raise_alerts(sample_home)
    app = open_page(PAGES["overview"])
    said = words(app)
    assert "**toxicity** failed in" in said
    assert "and 1 more alert" in said
    assert "<img" not in said.replace("\\<", "")
    filtered = words(open_page(PAGES["overview"], filter="toxicity"))
    assert filtered.count("and 1 more alert") == 1


def test_the_overview_says_when_the_last_alarm_was(sample_home: Home) -> None:
    raise_alerts(sample_home)
    for view in desk.list_alerts(sample_home.records, actor=SYSTEM, at=now()):
        until = now() + timedelta(hours=1)
        desk.silence_alert(sample_home.records, view.alert_id, actor=SYSTEM, until=until, reason="known", at=now())
    said = words(open_page(PAGES["overview"], filter="toxicity"))
    assert "Nothing needs a person. Last alarm " in said


def test_a_lead_changes_a_rule_and_the_table_says_so(empty_home: Home) -> None:
    change_rule(
        empty_home.records, "latency", settings=empty_home.settings, actor=SYSTEM, at=now(), is_on=False, limit=3.0
    )
    app = open_page(PAGES["incidents"])
    table = app.dataframe[0].value.set_index("name")
    assert not table.loc["latency", "is_on"]
    assert table.loc["latency", "limit"].startswith("3 · ")
    assert "(weir.toml: on, 2)" in table.loc["latency", "changed"]
    assert table["changed"].notna().sum() == 1


def test_the_page_says_how_small_a_rise_each_rule_sees(empty_home: Home) -> None:
    def work(connection: Connection) -> None:
        for hours in range(1, 60):
            connection.execute(_FAILURES, {"minute": now() - timedelta(hours=hours), "hostile": HOSTILE})

    empty_home.events.write(work)
    app = open_page(PAGES["incidents"])
    assert "What they can see" in words(app)
    table = app.dataframe[-1].value.set_index("filter_name")
    assert list(table.columns) == ["rate-hour · 1 h"]
    assert table.loc["toxicity", "rate-hour · 1 h"].endswith("x · 5.0 expected")


def test_a_filter_of_which_nothing_can_be_seen_has_no_factor() -> None:
    rows = [("rate-hour", 60, HOSTILE, 2.04, None), ("rate-week", 10080, HOSTILE, 1452.4, 1.2499)]
    (row,) = build_reach_table(pl.DataFrame(rows, schema=REACH, orient="row")).to_dicts()
    assert row["rate-hour · 1 h"] == "nothing · 2.0 expected"
    assert row["rate-week · 7 d"] == "from 1.25x · 1,452 expected"
