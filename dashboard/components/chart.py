"""One way to draw a chart, so that every chart updates in place and is readable in both themes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import altair as alt
import streamlit as st

from dashboard.charts.common import AnyChart
from dashboard.theme import get_ink


def render_chart(chart: AnyChart, *, key: str) -> None:
    """Draws `chart` at the width of its container.

    Args:
        chart: From `dashboard.charts`; its description is what screen readers say.
        key: Stable identity, so that new data updates the chart in place.
    """
    ink, muted = get_ink(st.context.theme.type)
    # Streamlit's own chart theme leaves subtitles and text marks black on a dark page.
    inked = chart.configure_text(color=ink).configure_title(color=ink, subtitleColor=muted)
    st.altair_chart(cast("alt.Chart", _Finished(inked)), width="stretch", key=key)


@dataclass(frozen=True, slots=True)
class _Finished:
    """A chart as Streamlit takes it, without holding it against Vega-Lite's schema again.

    That takes a quarter of the time of a page's run, under a lock that all sessions share; the tests of charts do it.
    """

    chart: AnyChart

    def to_dict(self) -> dict[str, Any]:
        return self.chart.to_dict(validate=False)
