"""Wellbeing: what a person met and asked for, shown to them; sums for leads."""

from __future__ import annotations

import polars as pl
import streamlit as st

from core.clock import now
from core.errors import AppError
from dashboard import data, state
from dashboard.state import View
from dashboard.theme import MISSING, format_count
from incidents.judgement.cover import Cover
from incidents.judgement.profiles import Declaration, declare, read_own, summarise_pool
from incidents.judgement.wellness import (
    NO_CATEGORY,
    Exposure,
    Masking,
    TeamLoad,
    Wishes,
    find_rest,
    measure_exposure,
    measure_team,
    read_wishes,
    save_wishes,
)
from incidents.people import Actor, Role
from ingest.crosswalk import HAZARDS
from metrics.estimate import MIN_CELL
from service.home import Home

TOLD_FROM_MIN = 15
COVERED_CASES = ("Mild: severity 1, 2", "Grave: severity 3, 4")
_SAVED = "wellness_saved"


def render_rest(home: Home, actor: Actor) -> None:
    """Says when to rest, once that is near."""
    minutes = find_rest(home.records, actor=actor, settings=home.settings.wellness, at=now())
    if minutes > TOLD_FROM_MIN:
        return
    text = f"rest in {minutes} min" if minutes > 0 else "time to rest"
    with st.container(width="content", key="triage_rest"):
        st.badge(text, icon=":material/self_improvement:", color="blue" if minutes > 0 else "orange")


def render_wellness(_view: View) -> None:
    """Draws the reader's own figures and wishes, what they declare about themselves, and, for leads, sums."""
    home, actor = data.home(), state.current_actor()
    with home.records.session() as session:
        exposure = measure_exposure(session, actor.name, settings=home.settings.wellness, at=now())
        wishes = read_wishes(session, actor.name)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        _render_exposure(exposure, shift_h=home.settings.wellness.shift_h)
    with right.container(border=True, height="stretch"):
        _render_wishes(home, actor, wishes)
    left, right = st.columns(2, gap="medium")
    with left.container(border=True, height="stretch"):
        _render_profile(home, actor)
    with right.container(border=True, height="stretch"):
        _render_team(home, actor)
    st.caption("None of these figures is a measure of performance.")


def tabulate_exposure(exposure: Exposure) -> pl.DataFrame:
    """One row per category that was met, most points first: its points and the share of its budget (0..1)."""
    rows = [
        ("No category" if name == NO_CATEGORY else HAZARDS.get(name, name), points, points / exposure.category_budget)
        for name, points in sorted(exposure.by_category.items(), key=lambda item: -item[1])
    ]
    return pl.DataFrame(rows, schema={"Category": pl.String, "Points": pl.Int64, "Budget": pl.Float64}, orient="row")


def _render_exposure(exposure: Exposure, *, shift_h: int) -> None:
    st.markdown("**What you met in this shift**")
    st.caption(
        f"{format_count(exposure.total)} of {format_count(exposure.total_budget)} points in {shift_h} hours, seen by you "
        "alone. Each text that you reveal weighs as much as the severity of what flagged it, 1 to 4."
    )
    if not exposure.by_category:
        st.caption("Nothing yet.")
        return
    st.dataframe(
        tabulate_exposure(exposure),
        hide_index=True,
        key="wellness_exposure",
        alt="Exposure points of this shift by category",
        column_config={
            "Budget": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
        },
    )
    full = [HAZARDS[name] for name in sorted(exposure.list_full())]
    if full:
        st.caption(f"The queue offers you no more of: {', '.join(full)}.")


def _render_wishes(home: Home, actor: Actor, wishes: Wishes) -> None:
    st.markdown("**What you wish**")
    masking = st.radio(
        "One reveal shows",
        list(Masking),
        index=list(Masking).index(wishes.masking),
        format_func=lambda level: level.title,
        captions=[level.guidance for level in Masking],
        key="wellness_masking",
    )
    st.caption("What stays covered in a revealed text until you uncover it with W; each uncovering is recorded.")
    covers: dict[str, Cover] = {}
    for side, name, title in zip(st.columns(2), ("cover_mild", "cover_grave"), COVERED_CASES, strict=True):
        kept: Cover = getattr(wishes, name)
        chosen = side.selectbox(
            title,
            list(Cover),
            index=list(Cover).index(kept),
            format_func=lambda level: level.title,
            help=" ".join(f"{level.title}: {level.guidance}" for level in Cover),
            key=f"wellness_{name}",
        )
        covers[name] = chosen or kept
    opt_outs = st.multiselect(
        "Never offer me",
        list(HAZARDS),
        default=sorted(wishes.opt_outs),
        format_func=HAZARDS.__getitem__,
        key="wellness_opt_outs",
        placeholder="Categories",
        help="Private: nobody is told who opted out of what.",
    )

    def save() -> None:
        wished = Wishes(masking or wishes.masking, frozenset(opt_outs), **covers)
        save_wishes(home.records, wished, actor=actor, at=now())
        st.session_state[_SAVED] = "Your wishes are kept."

    st.button("Keep my wishes", key="wellness_save", on_click=save)
    st.caption(st.session_state.pop(_SAVED, "Leads see how many opted out, from five people on, never who."))


def _render_profile(home: Home, actor: Actor) -> None:
    st.markdown("**Who judges here**")
    own = read_own(home.records, actor=actor)
    fields = {
        "languages": ("Languages that you judge in", "en, cy"),
        "regions": ("Regions that you know", "Wales"),
        "expertise": ("Fields that you know", "medicine, law"),
    }
    values = {
        name: st.text_input(
            label, value=", ".join(getattr(own, name)), placeholder=f"for example {hint}", key=f"profile_{name}"
        )
        for name, (label, hint) in fields.items()
    }

    def save() -> None:
        parts = {name: tuple(part for part in map(str.strip, text.split(",")) if part) for name, text in values.items()}
        try:
            declare(home.records, Declaration(**parts), actor=actor, at=now())
        except AppError as error:
            st.session_state[_SAVED] = error.sentence()

    st.button("Declare", key="profile_save", on_click=save)
    st.caption(f"Optional, kept apart from your verdicts, told only where at least {MIN_CELL} people say the same.")
    shares = summarise_pool(home.records, actor=actor)
    if shares:
        rows = [(share.attribute.capitalize(), share.value, share.people) for share in shares]
        table = pl.DataFrame(rows, schema={"Declared": pl.String, "Value": pl.String, "People": pl.Int64}, orient="row")
        st.dataframe(table, hide_index=True, alt="What the reviewers declared, in aggregate")


def _render_team(home: Home, actor: Actor) -> None:
    st.markdown("**The team in this shift**")
    if actor.role not in (Role.LEAD, Role.ADMIN):
        st.caption("Sums, for leads.")
        return
    load = measure_team(home.records, settings=home.settings.wellness, actor=actor, at=now())
    if load.people is None:
        st.caption(f"Fewer than {MIN_CELL} people worked: a sum would tell about one of them.")
    else:
        _render_load(load)
    wanted = ", ".join(f"{HAZARDS.get(name, name)}: {format_count(count)}" for name, count in load.opt_outs)
    st.caption(f"Opted out: {wanted}." if wanted else f"No category that at least {MIN_CELL} people opted out of.")


def _render_load(load: TeamLoad) -> None:
    first, second, third = st.columns(3)
    first.metric("People", format_count(load.people))
    first.caption(f"{format_count(load.judged)} verdicts")
    second.metric("Verdicts, median", MISSING if load.median_judged is None else f"{load.median_judged:g}")
    third.metric("Points, median", MISSING if load.median_points is None else f"{load.median_points:g}")
    third.caption(
        f"fewer than {MIN_CELL} at a limit" if load.at_limit is None else f"{format_count(load.at_limit)} at a limit"
    )
