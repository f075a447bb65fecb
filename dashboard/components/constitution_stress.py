"""Stress tests: suites, runs before and after a change, violation rates with intervals, gaps, and asking the model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import polars as pl
import streamlit as st

from core.errors import AppError
from dashboard import data, state
from dashboard.charts.stress import build_stress
from dashboard.components.chart import render_chart
from dashboard.components.empty import render_empty
from dashboard.text import inert, plain
from dashboard.theme import MISSING, format_count, format_percent, format_points, format_rate
from incidents.constitution.asking import AskWork, plan_asking, run_asking
from incidents.constitution.critique import CritiqueWork, plan_critique, run_critique
from incidents.constitution.endpoint import Endpoint, Estimate
from incidents.constitution.principles import read_constitution
from incidents.constitution.runs import Run, list_runs
from incidents.constitution.stress import StressReport, build_stress_report
from incidents.constitution.suites import read_prompts
from incidents.people import Role

NONE = "none"
_DONE = "stress.done"


def render_stress() -> None:
    """One suite: its runs compared, what they leave open, and the way to ask the model."""
    home = data.home()
    prompts, runs = read_prompts(home.records), list_runs(home.events)
    suites = list(dict.fromkeys([*prompts["suite"], *(run.suite for run in runs)]))
    if not suites:
        render_empty(
            "There is no suite yet",
            "Load adversarial prompts with `weir stress load FILE`; a worked suite is "
            "sample_suites/financial-literacy/prompts.jsonl. Runs are model logs that name a suite.",
            icon=":material/quiz:",
        )
        return
    with st.container(horizontal=True, vertical_alignment="bottom", key="stress_head"):
        suite = st.selectbox("Suite", suites, key="stress_suite", format_func=plain, width=260) or suites[0]
        arms = [run.arm for run in runs if run.suite == suite]
        before = st.selectbox("Before", arms, key="stress_before", format_func=plain, width=180)
        others = [NONE, *(arm for arm in arms if arm != before)]
        after = st.selectbox(
            "After", others, index=min(1, len(others) - 1), key="stress_after", format_func=plain, width=180
        )
    own = prompts.filter(suite=suite)
    st.caption(
        f"{format_count(own.height)} prompts attack {own['principle_id'].n_unique()} principles · "
        f"{describe_runs([run for run in runs if run.suite == suite])}"
    )
    if before is None:
        render_empty("The suite has no run yet", "Ask the model below, or ingest a model log that names the suite.")
    else:
        _render_report(suite, before, None if after in (None, NONE) else after)
    _render_asking(suite, arms)


def describe_runs(runs: list[Run]) -> str:
    """The runs with their answers, as a phrase; names are inert."""
    return (
        "runs: " + ", ".join(f"{inert(run.arm, limit=40)} ({run.turns:,} answers)" for run in runs)
        if runs
        else "no run"
    )


def _render_report(suite: str, before: str, after: str | None) -> None:
    home = data.home()
    report = build_stress_report(
        home.events, home.records, settings=home.settings, suite=suite, before=before, after=after
    )
    render_chart(build_stress(report.rows, before=before, after=after), key="stress_chart")
    st.dataframe(
        tabulate_report(report),
        hide_index=True,
        key="stress_table",
        height="content",
        alt="Violation rate of each principle before and after, with the paired change",
    )
    st.caption(
        "An answer broke the principle when people's verdict says so; where nobody has judged, when the critique model "
        "does. Changes are paired by prompt (Newcombe's interval, McNemar's exact test)."
    )
    st.markdown("**What the test leaves open**")
    gaps = tabulate_gaps(report)
    if gaps.is_empty():
        st.caption(":material/check: Every principle is tested, every answer judged, and no revision is still broken.")
    else:
        st.dataframe(gaps, hide_index=True, key="stress_gaps", alt="Gaps of the stress test")


def tabulate_report(report: StressReport) -> pl.DataFrame:
    """One row per principle, `all` last: rates and the paired change with their intervals."""
    rows = [
        {
            "Principle": plain(row["principle_id"]),
            "Before": _rate(row["before"]),
            "After": _rate(row["after"]),
            "Change": _change(row["change"]),
            "p": _p_value(row["change"]),
            "Judged by people": format_percent(row["human_verified"]),
        }
        for row in report.rows
    ]
    return pl.DataFrame(rows)


def tabulate_gaps(report: StressReport) -> pl.DataFrame:
    """One row per gap; adversarial texts stay out of the table."""
    rows = [(gap["kind"], plain(gap["principle_id"]), plain(gap["prompt_id"])) for gap in report.gaps]
    counted = pl.DataFrame(rows, schema={"Gap": pl.String, "Principle": pl.String, "Prompt": pl.String}, orient="row")
    return counted.group_by("Gap", "Principle", maintain_order=True).agg(
        pl.len().alias("Count"), pl.col("Prompt").filter(pl.col("Prompt") != "").str.join(", ").alias("Prompts")
    )


def _rate(rate: dict[str, Any] | None) -> str:
    if rate is None:
        return MISSING
    return f"{format_rate(rate)} n {rate['n']}" if rate["n"] else "not judged"


def _change(change: dict[str, Any] | None) -> str:
    if change is None or change["estimate"] is None:
        return MISSING
    low, high = (format_points(change[name]).removesuffix(" pp") for name in ("low", "high"))
    return f"{format_points(change['estimate'])} ({low} to {high})"


def _p_value(change: dict[str, Any] | None) -> str:
    if change is None or change["p_value"] is None:
        return MISSING
    return "< 0.001" if change["p_value"] < 0.001 else f"{change['p_value']:.3f}"


def _render_asking(suite: str, arms: list[str]) -> None:
    settings, actor = data.home().settings, state.current_actor()
    with st.expander("Ask the model: answer a suite, criticise and revise", key="stress_asking"):
        if not settings.critique.base_url or not settings.critique.model:
            st.caption(
                ":material/cloud_off: Off. Nothing leaves this host until an admin sets `critique.base_url` and "
                "`critique.model` in weir.toml (any OpenAI-compatible endpoint)."
            )
            return
        if not actor.has(Role.LEAD):
            st.caption("This needs the role lead.")
            return
        st.caption(
            f"Model {inert(settings.critique.model, limit=80)} at {inert(settings.critique.base_url, limit=120)}"
        )
        if _DONE in st.session_state:
            st.caption(f":material/check: {st.session_state.pop(_DONE)}")
        ask, judge = st.columns(2, gap="medium")
        with ask:
            arm = st.text_input("Name of the run", key="stress_arm", max_chars=60, placeholder="after").strip()
            with_rules = st.checkbox("Give the model the principles", key="stress_with_constitution")
            if arm:
                _render_ask(suite, arm, with_rules=with_rules)
        with judge:
            chosen = st.selectbox("Run to criticise", arms, key="stress_judged", format_func=plain)
            if chosen is not None and read_constitution(settings) is not None:
                _render_critique(suite, chosen)


def _render_ask(suite: str, arm: str, *, with_rules: bool) -> None:
    home = data.home()
    constitution = read_constitution(home.settings) if with_rules else None
    work: AskWork = plan_asking(home.events, home.records, suite=suite, arm=arm, constitution=constitution)
    st.caption(describe_estimate(work.estimate(home.settings), known=work.known))

    def run(advance: Callable[[str, float], None]) -> str:
        endpoint = Endpoint(home.settings.critique)
        done = run_asking(
            home.events,
            home.records,
            work,
            endpoint,
            settings=home.settings,
            actor=state.current_actor(),
            on_progress=advance,
        )
        return f"{done} prompts were asked."

    if st.button("Ask the model", key="stress_ask", disabled=not work.prompts):
        _run("Asking", run)


def _render_critique(suite: str, arm: str) -> None:
    home = data.home()
    work: CritiqueWork = plan_critique(home.events, home.records, settings=home.settings, suite=suite, arm=arm)
    st.caption(describe_estimate(work.estimate(home.settings), known=work.known))

    def run(advance: Callable[[str, float], None]) -> str:
        endpoint = Endpoint(home.settings.critique)
        done = run_critique(home.records, work, endpoint, actor=state.current_actor(), on_progress=advance)
        return f"{done.criticised} answers criticised, {done.violations} broke their principle, {done.revised} revised."

    if st.button("Criticise and revise", key="stress_critique", disabled=not work.tasks):
        _run("Criticising", run)


def _run(doing: str, work: Callable[[Callable[[str, float], None]], str]) -> None:
    """Runs `work` with a bar; what was done is kept when it stops, and the next press goes on."""
    with st.status(doing, expanded=True) as status:
        bar = st.progress(0.0)

        def advance(step: str, share: float) -> None:
            bar.progress(min(share, 1.0), plain(step, limit=60))

        try:
            st.session_state[_DONE] = work(advance)
        except AppError:
            status.update(label="It stopped; what was done is kept", state="error")
            raise
    st.rerun()


def describe_estimate(estimate: Estimate, *, known: int) -> str:
    """What asking would take at most, as a sentence."""
    if not estimate.requests:
        return f"Nothing is left to do; {format_count(known)} done."
    price = f", price up to {estimate.cost:,.2f}" if estimate.cost else ""
    return (
        f"At most {format_count(estimate.requests)} requests, {format_count(estimate.input_tokens)} tokens read and "
        f"{format_count(estimate.output_tokens)} written, about {estimate.minutes:,.1f} min{price}. "
        f"{format_count(known)} done already."
    )
