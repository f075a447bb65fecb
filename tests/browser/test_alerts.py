"""An alert in the browser: taken up, silenced, and followed to the view that it is about."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import pytest
from playwright.sync_api import Page, expect

from core.clock import now
from core.events import Connection
from core.settings import load_settings
from incidents.alerts import desk
from incidents.alerts.watch import GRACE, evaluate_alerts
from incidents.people import SYSTEM
from service.home import open_home
from tests.browser.serving import WAIT_MS, Server, open_page, serve, settle
from tests.browser.traffic import fill_home

pytestmark = pytest.mark.browser

_FAILURES = """INSERT INTO check_rollup BY NAME
SELECT $end::TIMESTAMP - to_hours(i::INTEGER) AS minute, 'blocklist' AS filter_name, 'keyword' AS layer,
    'enforce' AS mode, 'gateway' AS source, 500 AS evaluated, 5 AS triggered, 5 AS enforced, 500 AS errors, 0 AS not_run,
    0 AS undecided FROM range(1, 3) t(i)"""


@pytest.fixture(scope="module")
def alarmed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A server whose blocklist has failed in half of its checks for two hours, and the alert's id."""
    home = tmp_path_factory.mktemp("alarmed") / "home"
    fill_home(home)
    settings = load_settings(home)
    end = (now() - GRACE).replace(minute=0, second=0, microsecond=0)

    def work(connection: Connection) -> None:
        connection.execute(_FAILURES, {"end": end})

    with open_home(settings) as opened:
        opened.events.write(work)
        rules = tuple(rule for rule in settings.alerts if rule.name == "errors")
        chosen = settings.model_copy(update={"alerts": rules})
        evaluate_alerts(opened.records, opened.events, settings=chosen, at=end + GRACE + timedelta(seconds=1))
        (view,) = desk.list_alerts(opened.records, actor=SYSTEM, at=now())
    with serve(home) as running:
        yield running, view.alert_id


def test_an_alert_is_taken_up_silenced_and_followed(alarmed: tuple[Server, str], page: Page) -> None:
    server, alert = alarmed
    open_page(page, server, "incidents?actor=Ada")
    card = page.locator(f".st-key-alert_{alert}")
    # The home's own traffic may lie in the same hours.
    expect(card).to_contain_text(re.compile(r"failed in (50|4\d)\.\d% of 1,0\d\d; the limit is 2\.0%"), timeout=WAIT_MS)

    page.locator(f".st-key-alert_ack_{alert} button:visible").first.click()
    expect(card).to_contain_text("taken up by Ada", timeout=WAIT_MS)
    settle(page)

    page.locator(f".st-key-alert_silence_{alert} button:visible").first.click()
    page.locator(f".st-key-alert_silence_why_{alert} input").fill("known fault")
    page.locator(f".st-key-alert_silence_go_{alert} button:visible").first.click()
    expect(card).to_contain_text("silenced by Ada", timeout=WAIT_MS)
    expect(card).to_contain_text("known fault", timeout=WAIT_MS)
    settle(page)

    with page.expect_popup() as opened:
        card.get_by_role("link", name="See it").first.click()
    view = opened.value
    view.set_default_timeout(WAIT_MS)
    view.get_by_role("heading", name="blocklist").first.wait_for()
    assert {"window=custom", "show=blocklist"} <= set(view.url.split("?")[1].split("&"))
