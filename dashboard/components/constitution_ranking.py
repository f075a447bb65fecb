"""Ranking: responses to one prompt, put in order with the number keys, ties allowed, blind to everybody else's order."""

from __future__ import annotations

from typing import Any

import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.components.masked_text import render_masked
from dashboard.text import plain
from dashboard.theme import MISSING, format_count
from incidents.people import Role
from incidents.ranking.pairs import describe_set
from incidents.ranking.prompts import list_sets
from incidents.ranking.ranks import RATIONALE_LIMIT, Task, cast_ranking, next_task, reveal_task

Order = tuple[tuple[str, ...], ...]
"""Response ids from best to worst; those of one group are tied."""

_REVEALED, _ORDER, _DONE = (f"ranking.{name}" for name in ("revealed", "order", "done"))


def render_ranking() -> None:
    """The next prompt to rank, and how far raters agree."""
    home, actor = data.home(), state.current_actor()
    sets = list_sets(home.records)
    if not sets:
        render_empty(
            "There is nothing to rank yet",
            "Load prompts with several responses each: `weir ranking import sample_rankings/prompts.jsonl --set money`.",
            icon=":material/format_list_numbered:",
        )
        return
    name = st.selectbox("Ranking set", sets, key="ranking_set", format_func=plain, width=260) or sets[0]
    if not actor.has(Role.REVIEWER):
        st.caption("Ranking needs the role reviewer.")
    elif (task := next_task(home.records, name, actor=actor)) is None:
        render_empty("You have ranked every prompt", "Thank you.", icon=":material/task_alt:")
    else:
        _render_task(task)
    _render_agreement(name)


def _render_task(task: Task) -> None:
    place = (task.ranking_set, task.prompt_id)
    is_revealed = place in st.session_state.get(_REVEALED, ())
    order = read_order(st.session_state.get(_ORDER), task)
    with st.container(horizontal=True, vertical_alignment="center", key="ranking_head"):
        st.markdown(f"**{format_count(task.ranked)} of {format_count(task.prompts)} ranked by you**", width="content")
        if _DONE in st.session_state:
            st.caption(f":material/check: {st.session_state[_DONE]}", width="content")
        st.space("stretch")
        st.button(
            "Revealed" if is_revealed else "Reveal",
            key="ranking_reveal",
            icon=":material/visibility:",
            type="tertiary",
            shortcut="V",
            disabled=is_revealed,
            help="Revealing is recorded in the audit log.",
            on_click=_reveal,
            args=(task,),
        )
    render_masked("Prompt", task.prompt, is_revealed=is_revealed, key="ranking_prompt")
    for number, (response_id, text) in enumerate(task.responses, start=1):
        _render_response(task, number, response_id, text, order, is_revealed=is_revealed)
    st.text_area(
        "Why this order", key=_rationale_key(task), height=80, max_chars=RATIONALE_LIMIT, disabled=not is_revealed
    )
    _render_actions(task, order, is_revealed=is_revealed)


def _render_response(task: Task, number: int, response_id: str, text: str, order: Order, *, is_revealed: bool) -> None:
    rank = find_rank(order, response_id)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        with st.container(width=110, gap="xsmall"):
            st.button(
                f"Response {number}",
                key=f"ranking_pick_{number}",
                shortcut=str(number),
                type="primary" if rank is None else "secondary",
                disabled=not is_revealed or rank is not None,
                width="stretch",
                on_click=_set_order,
                args=(task, place_next(order, response_id)),
            )
            st.markdown(f"rank **{rank}**" if rank else "not ranked")
        render_masked(f"Response {number}", text, is_revealed=is_revealed, key=f"ranking_response_{number}")


def _render_actions(task: Task, order: Order, *, is_revealed: bool) -> None:
    is_whole = sum(len(group) for group in order) == len(task.responses)
    with st.container(horizontal=True, vertical_alignment="center", key="ranking_actions"):
        st.button(
            "Save and next",
            key="ranking_save",
            type="primary",
            shortcut="Enter",
            disabled=not is_revealed or not is_whole,
            on_click=_save,
            args=(task, order),
        )
        st.button(
            "Tie with the one before",
            key="ranking_tie",
            icon=":material/equal:",
            shortcut="T",
            disabled=len(order) < 2,
            on_click=_set_order,
            args=(task, tie_last(order)),
        )
        st.button(
            "Take back",
            key="ranking_undo",
            icon=":material/undo:",
            shortcut="Z",
            disabled=not order,
            on_click=_set_order,
            args=(task, take_back(order)),
        )
        st.caption("Press the number of the best response first, then of the next best.")


def read_order(kept: Any, task: Task) -> Order:
    """The unfinished order of this task; empty when it is of another one."""
    return kept[1] if isinstance(kept, tuple) and kept[0] == (task.ranking_set, task.prompt_id) else ()


def place_next(order: Order, response_id: str) -> Order:
    """`order` with a response after all others."""
    return (*order, (response_id,))


def tie_last(order: Order) -> Order:
    """`order` with its last group tied to the one before."""
    return order if len(order) < 2 else (*order[:-2], order[-2] + order[-1])


def take_back(order: Order) -> Order:
    """`order` without the response that was placed last."""
    if not order:
        return order
    rest = order[-1][:-1]
    return (*order[:-1], rest) if rest else order[:-1]


def find_rank(order: Order, response_id: str) -> int | None:
    """1 for the best group; None for a response that is not placed."""
    return next((rank for rank, group in enumerate(order, start=1) if response_id in group), None)


def _set_order(task: Task, order: Order) -> None:
    st.session_state[_ORDER] = ((task.ranking_set, task.prompt_id), order)


def _reveal(task: Task) -> None:
    reveal_task(data.home().records, task, actor=state.current_actor(), at=now())
    st.session_state[_REVEALED] = {*st.session_state.get(_REVEALED, ()), (task.ranking_set, task.prompt_id)}


def _save(task: Task, order: Order) -> None:
    ranks = {response_id: rank for rank, group in enumerate(order, start=1) for response_id in group}
    cast_ranking(
        data.home().records,
        task.ranking_set,
        task.prompt_id,
        ranks,
        rationale=str(st.session_state.get(_rationale_key(task)) or ""),
        actor=state.current_actor(),
        at=now(),
    )
    st.session_state.pop(_ORDER, None)
    st.session_state[_DONE] = "Saved. An order is never overwritten; your latest counts."


def _rationale_key(task: Task) -> str:
    return f"ranking_rationale_{task.ranking_set}_{task.prompt_id}"


def _render_agreement(name: str) -> None:
    home = data.home()
    statistics = home.settings.statistics
    facts = describe_set(home.records, name, min_sample=statistics.min_sample, confidence=statistics.confidence)
    st.markdown("**How far raters agree**")
    tiles = (
        ("Prompts ranked", f"{format_count(facts['ranked'])} of {format_count(facts['prompts'])}", "by anybody"),
        ("Raters", format_count(len(facts["raters"])), f"{format_count(sum(facts['raters'].values()))} orders"),
        ("Krippendorff's alpha", *_measure(facts["krippendorff_alpha"])),
        ("Kendall's W", *_measure(facts["kendall_w"])),
        ("Pairs for training", format_count(facts["pairs"]), f"{format_count(facts['ties'])} without a preference"),
    )
    for column, (title, value, basis) in zip(st.columns(len(tiles)), tiles, strict=True):
        with column, st.container(border=True, gap="xsmall"):
            st.metric(title, value)
            st.caption(basis)


def _measure(record: dict[str, Any]) -> tuple[str, str]:
    if record["estimate"] is None:
        return MISSING, f"{format_count(record['n'])} prompts with two raters: too few"
    return (
        f"{record['estimate']:.2f}",
        f"{record['low']:.2f} to {record['high']:.2f} · n {format_count(record['n'])} prompts",
    )
