"""The form of one step of an incident: the facts that the step asks for, each with its guidance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import streamlit as st

from core.clock import now, to_utc
from core.errors import AppError
from dashboard.text import inert
from dashboard.theme import to_local
from incidents.response.states import FACTS, Fact

WEEK = timedelta(days=7)


def ask_facts(
    title: str,
    guidance: str,
    names: Sequence[str],
    *,
    key: str,
    zone: ZoneInfo,
    defaults: Mapping[str, str],
    choices: Mapping[str, Mapping[str, str]],
    on_save: Callable[[dict[str, str]], None],
    on_close: Callable[[], None],
) -> None:
    """Opens the dialog of one step; what cannot be is said in it, and what was typed stays.

    Args:
        title: The step.
        guidance: When to take it.
        names: Facts asked for, out of `FACTS`.
        key: Prefix of the widgets' keys.
        zone: The reader's time zone, in which times are entered.
        defaults: Values to begin with.
        choices: Facts whose valid values the settings name: value -> what it means.
        on_save: Takes the facts; its AppError is shown.
        on_close: Runs when the dialog was left or has saved.
    """

    @st.dialog(title, width="medium", on_dismiss=on_close)
    def dialog() -> None:
        st.caption(guidance)
        with st.form(f"{key}_form", border=False):
            given = {
                name: _ask(FACTS[name], f"{key}_{name}", zone, defaults.get(name, ""), choices.get(name, {}))
                for name in names
            }
            is_saved = st.form_submit_button("Save", type="primary", key=f"{key}_save", help="Ctrl+Enter")
        if not is_saved:
            return
        try:
            on_save({name: value for name, value in given.items() if value})
        except AppError as error:
            st.markdown(f":red[:material/error:] {inert(error.sentence(), limit=500)}")
            return
        on_close()
        st.rerun()

    dialog()


def _ask(fact: Fact, key: str, zone: ZoneInfo, default: str, choices: Mapping[str, str]) -> str:
    if fact.choices:
        values = [choice.value for choice in fact.choices]
        titles = {choice.value: choice.title for choice in fact.choices}
        meanings = {choice.value: choice.guidance for choice in fact.choices}
        return _choose(fact.title, key, values, titles, meanings, default)
    if choices:
        shown = {value: inert(meaning, limit=200) for value, meaning in choices.items()}
        return _choose(fact.title, key, list(choices), {value: value for value in choices}, shown, default)
    if fact.kind == "text":
        return st.text_area(fact.title, default, key=key, height=100, max_chars=20_000)
    if fact.kind == "date":
        chosen = st.date_input(fact.title, date.fromisoformat(default) if default else now().date() + WEEK, key=key)
        return chosen.isoformat()
    if fact.kind == "time":
        start = to_local(datetime.fromisoformat(default) if default else now(), zone).replace(second=0, microsecond=0)
        moment = st.datetime_input(f"{fact.title} ({zone.key})", start, key=key)
        return to_utc(moment.replace(tzinfo=zone).astimezone(UTC)).isoformat()
    return st.text_input(fact.title, default, key=key, max_chars=300)


def _choose(
    title: str, key: str, values: list[str], titles: Mapping[str, str], meanings: Mapping[str, str], default: str
) -> str:
    chosen = st.radio(
        title,
        values,
        index=values.index(default) if default in values else 0,
        key=key,
        format_func=titles.__getitem__,
        captions=[meanings[value] for value in values],
    )
    return str(chosen)
