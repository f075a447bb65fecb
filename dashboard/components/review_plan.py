"""What more reviews would buy, and one button that draws them."""

from __future__ import annotations

import polars as pl
import streamlit as st

from core.errors import AppError
from dashboard import data, state
from dashboard.charts.widths import build_widths
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.navigation import get_path
from dashboard.state import View
from dashboard.text import inert, plain
from dashboard.theme import format_count, format_rate
from incidents.people import Role
from incidents.sampling import Plan, SampleSummary, draw_sample
from metrics.planning import Target, allocate_more, expect_after, find_budget
from metrics.query import Query

TARGETS: dict[Target, tuple[str, str]] = {
    "wrong_block_share": ("Wrong blocks", "benign / triggered, among triggers"),
    "missed_harm_rate": ("Missed harm", "not triggered / harmful, among harmful turns"),
    "benign_blocked_rate": ("Benign blocked", "triggered / benign, among benign turns"),
    "harm_prevalence": ("Harm prevalence", "harmful / turns"),
}
_BUDGETS = (25, 50, 100, 200, 400, 800, 1600)
_WIDTHS = (0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001)
_WIDTHS_SHOWN = 4
_DRAWN = "quality.drawn"


def render_plan(view: View, current: dict[str, dict[str, float | None]]) -> None:
    """Draws the section.

    Args:
        view: The page's view: its window and filters are the traffic in question.
        current: Rate records of today, by target; those that are not known yet are left out.
    """
    st.subheader("What more reviews would buy", anchor=False)
    query = data.build_query(view)
    left, right = st.columns([5, 8], gap="medium")
    with left:
        target = st.selectbox(
            "Make this rate's interval narrow",
            list(TARGETS),
            key="plan_target",
            format_func=lambda name: TARGETS[name][0],
        )
        n = int(st.number_input("Turns to review", min_value=10, max_value=5000, value=100, step=50, key="plan_n"))
    try:
        plan = data.plan_reviews(query, n=n, target=target)
    except AppError as error:
        with right:
            render_empty(error.title, error.sentence(), icon=":material/casino:")
        return
    with left:
        _render_draw(query, plan.summary, n=n, target=target)
    with right:
        _render_curve(plan, current.get(target), n=n, target=target, confidence=query.confidence)
    _render_strata(plan)


def _render_draw(query: Query, summary: SampleSummary, *, n: int, target: Target) -> None:
    rate = next((rate for rate in summary.expected if rate.measure == target), None)
    if rate is not None:
        promised = {"estimate": rate.estimate, "low": rate.low, "high": rate.high}
        st.markdown(f"{format_count(summary.drawn)} more: about **{format_rate(promised)}**")
    how = (
        "laid out by what earlier reviews showed (Neyman allocation)"
        if summary.allocation == "neyman"
        else "laid out by the size of strata, since nothing was reviewed yet; rates are assumed"
    )
    st.caption(f"{format_count(summary.population)} turns in {len(summary.strata)} strata, {how}.")
    actor = state.current_actor()
    is_lead = actor.has(Role.LEAD)
    if st.button(
        f"Draw {format_count(summary.drawn)} turns into triage",
        key="plan_draw",
        icon=":material/casino:",
        type="primary",
        disabled=not is_lead,
        help=None if is_lead else "Only leads draw samples.",
    ):
        home = data.home()
        try:
            drawn = draw_sample(
                home.records, home.events, query, n=n, target=target, settings=home.settings, actor=actor
            )
        except AppError as error:
            st.error(inert(error.sentence(), limit=400))
            return
        st.session_state[_DRAWN] = (
            f"Drew {format_count(drawn.drawn)} turns as {drawn.sample_id}: {format_count(drawn.opened)} new cases in triage, "
            "the others had one."
        )
        st.rerun()
    if said := st.session_state.pop(_DRAWN, None):
        st.success(said, icon=":material/check:")
        st.page_link(get_path("triage"), label="Review them in triage", icon=":material/fact_check:")


def _render_curve(
    plan: Plan, current: dict[str, float | None] | None, *, n: int, target: Target, confidence: float
) -> None:
    title, unit = TARGETS[target]
    strata = plan.strata
    least, most = sum(stratum.left > 0 for stratum in strata), sum(stratum.left for stratum in strata)
    rows: list[dict[str, float]] = []
    width = 1.0
    if current is not None and current["low"] is not None and current["high"] is not None:
        rows.append({"n": 0, **{name: current[name] or 0.0 for name in ("estimate", "low", "high")}})
        width = current["high"] - current["low"]
    for budget in sorted({n, *_BUDGETS}):
        if least <= budget <= max(most, n):
            drawn = allocate_more(strata, n=budget, target=target)
            rate = expect_after(strata, drawn, confidence=confidence, worth=plan.worth).get(target)
            rows += [{"n": budget, "estimate": rate.estimate, "low": rate.low, "high": rate.high}] if rate else []
    schema = {"n": pl.Int64, "estimate": pl.Float64, "low": pl.Float64, "high": pl.Float64}
    chart = build_widths(
        pl.DataFrame(rows, schema=schema),
        title=title,
        unit=unit,
        chosen=n,
        reason="no stratum of this traffic is in the rate's denominator",
    )
    render_chart(chart, key="plan_widths")
    prices: dict[int, float] = {}
    for goal in [goal for goal in _WIDTHS if goal < width][:_WIDTHS_SHOWN]:
        price = find_budget(strata, target=target, width=goal, confidence=confidence, worth=plan.worth)
        if price is not None:
            prices.setdefault(price, goal)
    if prices:
        said = " · ".join(f"{goal * 100:g} points wide: {format_count(price)}" for price, goal in prices.items())
        st.caption(f"Further reviews for an interval {said}.")


def _render_strata(plan: Plan) -> None:
    summary = plan.summary
    earlier = {stratum.name: stratum for stratum in plan.strata}
    rows = pl.DataFrame(
        {
            "stratum": [plain(stratum.name) for stratum in summary.strata],
            "population": [stratum.population for stratum in summary.strata],
            "reviewed": [earlier[stratum.name].reviewed for stratum in summary.strata],
            "drawn": [stratum.drawn for stratum in summary.strata],
            "probability": [stratum.inclusion_probability for stratum in summary.strata],
        }
    )
    with st.expander(f"The plan: {len(summary.strata)} strata"):
        number = st.column_config.NumberColumn
        st.dataframe(
            rows,
            key="plan_strata",
            hide_index=True,
            height="content",
            alt="Strata with their turns, earlier reviews and turns to draw",
            column_config={
                "stratum": st.column_config.TextColumn("Stratum", help="Filter, action and score band", pinned=True),
                "population": number("Turns", format="localized"),
                "reviewed": number("Reviewed before", format="localized", help="In a probability sample"),
                "drawn": number("To draw", format="localized"),
                "probability": number("Probability", format="percent", help="Of being drawn, earlier draws included"),
            },
        )
