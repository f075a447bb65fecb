"""What a page is asked to show, and who asks: typed access to the query string and session state.

All key names live here. The shell's widgets are bound to the query string under the same names, so that a link shows
a colleague the same view. A page reads, never writes, through two calls:

    view = state.current_view()      # window, filters and the chosen things, validated
    actor = state.current_actor()    # passed to every function that reveals or changes something
    state.choose(show="blocklist")   # the page's own choice, kept in the query string
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta

import streamlit as st

from core.clock import to_utc
from dashboard.text import plain
from incidents.people import Actor, Role, is_reserved

WINDOWS: Mapping[str, timedelta | None] = {
    "1h": timedelta(hours=1),
    "24h": timedelta(hours=24),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
    "all": None,
    "custom": None,
}
DEFAULT_WINDOW = "24h"
FILTER_KEYS: Mapping[str, str] = {
    "app": "app",
    "layer": "layer",
    "filter": "filter_name",
    "model": "model",
}
CHOICE_KEYS = ("show", "case", "request", "queue", "incident")
ACTOR_KEY = "actor"
DEFAULT_ACTOR = "analyst"
DRAWN_PAGES_KEY = "_drawn_pages"
DRAWN_VERSION_KEY = "_drawn_version"
MAX_VALUES = 50
MAX_LENGTH = 200
_LOCAL_HOSTS = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class View:
    """One view of the data; equal views have equal links.

    Attributes:
        window: Key of `WINDOWS`.
        since: Start of a custom window, naive UTC, inclusive.
        until: End of a custom window, naive UTC, exclusive.
        compare: Whether changes against the previous window are shown.
        app: Applications shown; empty = all. Likewise `layer`, `filter`, `model`.
        show: The filter chosen on the Filters page.
        case: The case opened on the Triage page.
        request: The turn opened on the Triage page.
        queue: The queue chosen on the Triage page; "" for that of everything.
        incident: Number of the incident opened on the Incidents page.
    """

    window: str = DEFAULT_WINDOW
    since: datetime | None = None
    until: datetime | None = None
    compare: bool = True
    app: tuple[str, ...] = ()
    layer: tuple[str, ...] = ()
    filter: tuple[str, ...] = ()
    model: tuple[str, ...] = ()
    show: str = ""
    case: str = ""
    request: str = ""
    queue: str = ""
    incident: str = ""

    def filters(self) -> tuple[tuple[str, str], ...]:
        """The filters as `metrics.query.Query` takes them."""
        return tuple((dimension, value) for key, dimension in FILTER_KEYS.items() for value in getattr(self, key))


def parse_view(params: Mapping[str, Sequence[str]]) -> View:
    """The view that a query string asks for; unknown names and bad values are dropped."""
    last = {name: values[-1] for name, values in params.items() if values}
    window = last.get("window", DEFAULT_WINDOW)
    since, until = _parse_time(last.get("since")), _parse_time(last.get("until"))
    if since and until and since >= until:
        since = until = None
    return View(
        window=window if window in WINDOWS else DEFAULT_WINDOW,
        since=since,
        until=until,
        compare=last.get("compare", "true").lower() != "false",
        app=_parse_values(params.get("app", ())),
        layer=_parse_values(params.get("layer", ())),
        filter=_parse_values(params.get("filter", ())),
        model=_parse_values(params.get("model", ())),
        show=_parse_choice(last.get("show", "")),
        case=_parse_choice(last.get("case", "")),
        request=_parse_choice(last.get("request", "")),
        queue=_parse_choice(last.get("queue", "")),
        incident=_parse_choice(last.get("incident", "")),
    )


def encode_view(view: View) -> dict[str, list[str]]:
    """The query parameters of a view, without those at their default; `parse_view` gives the view back."""
    params: dict[str, list[str]] = {}
    for field in fields(view):
        value = getattr(view, field.name)
        if value == field.default:
            continue
        if isinstance(value, tuple):
            params[field.name] = list(value)
        elif isinstance(value, bool):
            params[field.name] = [str(value).lower()]
        else:
            params[field.name] = [value.isoformat() if isinstance(value, datetime) else value]
    return params


def current_view() -> View:
    """The view of this run: what the shell's widgets hold, else what the query string says."""
    params = {name: st.query_params.get_all(name) for name in st.query_params}
    for name in ("window", "since", "until", "compare", *FILTER_KEYS):
        if name in st.session_state:
            params[name] = _as_params(st.session_state[name])
    return parse_view(params)


def choose(**choices: str | None) -> None:
    """Puts the page's own choices (`show`, `case`, `request`, `queue`, `incident`) into the query string; None or "" removes one.

    Raises:
        KeyError: A name is not one of `CHOICE_KEYS`.
    """
    for name, value in choices.items():
        if name not in CHOICE_KEYS:
            raise KeyError(name)
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]


def has_drawn(page: str) -> bool:
    """Whether this session has shown the page's figures before."""
    return page in st.session_state.get(DRAWN_PAGES_KEY, ())


def mark_drawn(page: str) -> None:
    """Notes that this session has the page's figures on the screen."""
    st.session_state[DRAWN_PAGES_KEY] = {*st.session_state.get(DRAWN_PAGES_KEY, ()), page}


def current_actor() -> Actor:
    """Who acts in this session.

    Until sign-in exists the name is the one typed in the shell. On a server that only this machine reaches, the
    person is a lead; on any other, a reviewer, because nobody has proved who they are.
    """
    from service.home import get_home

    role = Role.LEAD if get_home().settings.serve.host in _LOCAL_HOSTS else Role.REVIEWER
    return Actor(parse_actor_name(st.session_state.get(ACTOR_KEY)), role)


def parse_actor_name(value: object) -> str:
    """A usable name: one line, at most 60 characters, not one that the system or a user report acts under."""
    name = " ".join(plain(value, limit=60).split())
    return DEFAULT_ACTOR if not name or is_reserved(name) else name


def _as_params(value: object) -> list[str]:
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime):
        return [value.isoformat()]
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return [str(value)]


def _parse_time(text: str | None) -> datetime | None:
    try:
        return to_utc(datetime.fromisoformat(text)) if text else None
    except (ValueError, OverflowError):
        return None


def _parse_values(values: Sequence[str]) -> tuple[str, ...]:
    kept = [value for value in values if 0 < len(value) <= MAX_LENGTH]
    return tuple(dict.fromkeys(kept))[:MAX_VALUES]


def _parse_choice(text: str) -> str:
    return text if len(text) <= MAX_LENGTH else ""
