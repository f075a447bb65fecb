"""The pages, in the order of the navigation. Adding one is a file in `pages/` and a line here.

A page is a thin script: it reads the view, asks `dashboard.data` for frames, hands them to charts and components.

    view = state.current_view()
    result = data.report("triggers", data.build_query(view, by=("layer",)))
    if result.rows.is_empty():
        render_empty("No checks in this window", data.explain_empty(view))
    else:
        render_chart(build_funnel(result.rows), key="funnel")
    st.page_link(get_path("triage"), label="Open the queue")

The frame (`frame.py`) draws the bar above it and catches what it raises; a page never catches `AppError` itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from core.registry import Registry

FOLDER = Path(__file__).parent / "pages"


@dataclass(frozen=True, slots=True)
class PageSpec:
    """One page.

    Attributes:
        key: Name of the module in `pages/`.
        title: Shown in the navigation.
        url_path: Path in the address; "" for the start page.
        icon: Material icon.
        is_live: Redraws itself when new data arrives.
    """

    key: str
    title: str
    url_path: str
    icon: str
    is_live: bool = False

    @property
    def path(self) -> Path:
        """The page's script."""
        return FOLDER / f"{self.key}.py"


PAGES: Registry[PageSpec] = Registry(
    "page",
    PageSpec("overview", "Overview", "", ":material/monitoring:", is_live=True),
    PageSpec("filters", "Filters", "filters", ":material/filter_alt:"),
    PageSpec("quality", "Quality", "quality", ":material/rule:"),
    PageSpec("triage", "Triage", "triage", ":material/fact_check:"),
    PageSpec("incidents", "Incidents", "incidents", ":material/notifications_active:"),
    PageSpec("feedback", "Feedback", "feedback", ":material/dataset:"),
    PageSpec("reviewers", "Reviewers", "reviewers", ":material/groups:"),
    PageSpec("constitution", "Constitution", "constitution", ":material/gavel:"),
    PageSpec("sources", "Sources", "sources", ":material/database:"),
    PageSpec("admin", "Admin", "admin", ":material/admin_panel_settings:"),
)


def get_path(key: str) -> str:
    """The script of a page, as `st.page_link` and `st.switch_page` take it.

    Raises:
        UsageError: There is no such page.
    """
    return str(PAGES[key].path)
