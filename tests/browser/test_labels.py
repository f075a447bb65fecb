"""Sections that no other browser test opens, as a screen reader is told of them."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.browser.labels import assert_labelled, list_faults
from tests.browser.serving import Server, open_page, settle_drawing

pytestmark = pytest.mark.browser

SECTIONS = {
    "incidents": ("Transparency",),
    "reviewers": ("Calibration", "Guidelines", "Wellbeing"),
    "admin": ("People", "Settings", "Notifications", "Retention"),
}


@pytest.mark.parametrize("path", SECTIONS)
def test_every_section_is_labelled(server: Server, page: Page, path: str) -> None:
    open_page(page, server, path)
    for section in SECTIONS[path]:
        page.get_by_role("radio", name=section, exact=True).click()
        settle_drawing(page)
        assert_labelled(page)


def test_what_has_no_name_is_found(page: Page) -> None:
    page.set_content(
        "<h2>One</h2><button></button><input aria-label='Name'><h4>Two</h4><img src='data:,' alt='A picture'>"
    )
    assert list_faults(page) == ["a button without a name", "heading 'Two' of level 4 after one of level 2"]
