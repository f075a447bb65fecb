"""The view in the query string: whatever is encoded comes back, whatever is bad is dropped."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard import data, state
from dashboard.data import resolve
from dashboard.state import View, encode_view, parse_actor_name, parse_view
from metrics.query import Query

TEXT = st.text(min_size=1, max_size=state.MAX_LENGTH)
TIMES = st.datetimes(min_value=datetime.fromisoformat("2000-01-01"), max_value=datetime.fromisoformat("2100-01-01"))
VALUES = st.lists(TEXT, max_size=5, unique=True).map(tuple)
PERIODS = st.one_of(st.just((None, None)), st.tuples(TIMES, TIMES).filter(lambda pair: pair[0] < pair[1]))
VIEWS = st.builds(
    lambda period, **fields: View(since=period[0], until=period[1], **fields),
    PERIODS,
    window=st.sampled_from(list(state.WINDOWS)),
    compare=st.booleans(),
    app=VALUES,
    layer=VALUES,
    filter=VALUES,
    model=VALUES,
    show=st.text(max_size=state.MAX_LENGTH),
    case=st.text(max_size=state.MAX_LENGTH),
    request=st.text(max_size=state.MAX_LENGTH),
)


@given(VIEWS)
def test_a_link_gives_back_the_same_view(view: View) -> None:
    assert parse_view(encode_view(view)) == view


@given(st.dictionaries(st.text(max_size=12), st.lists(st.text(max_size=300), max_size=4), max_size=8))
def test_any_query_string_gives_a_view_that_can_be_linked(params: dict[str, list[str]]) -> None:
    view = parse_view(params)
    assert view.window in state.WINDOWS
    assert parse_view(encode_view(view)) == view


@pytest.mark.parametrize(
    "params",
    [
        {"window": ["2h"]},
        {"since": ["yesterday"]},
        {"since": ["2026-03-02"], "until": ["2026-03-01"]},
        {"since": ["2026-03-02"], "until": ["2026-03-02"]},
        {"app": [""]},
        {"app": ["x" * 201]},
        {"show": ["x" * 201]},
        {"logged_in": ["true"], "role": ["admin"]},
    ],
)
def test_bad_values_are_dropped(params: dict[str, list[str]]) -> None:
    assert parse_view(params) == View()


def test_a_view_at_its_defaults_has_a_bare_link() -> None:
    assert encode_view(View()) == {}


def test_filters_become_dimensions() -> None:
    view = View(app=("tutor",), filter=("a", "b"))
    assert view.filters() == (("app", "tutor"), ("filter_name", "a"), ("filter_name", "b"))


@pytest.mark.parametrize("name", ["", "  ", None, "system", "SYSTEM", "user:42", "User:1"])
def test_reserved_names_are_refused(name: str | None) -> None:
    assert parse_actor_name(name) == state.DEFAULT_ACTOR


@given(st.text())
def test_an_actor_name_is_one_short_visible_line(name: str) -> None:
    parsed = parse_actor_name(name)
    assert 0 < len(parsed) <= 60
    assert parsed.isprintable()


AT = datetime.fromisoformat("2026-03-02T09:14:30")


def test_a_live_window_ends_with_the_present_minute() -> None:
    window = resolve(View(window="1h"), newest=AT - timedelta(minutes=3), at=AT)
    assert (window.since, window.until) == (
        datetime.fromisoformat("2026-03-02T08:15"),
        datetime.fromisoformat("2026-03-02T09:15"),
    )
    assert not window.is_historic


def test_a_window_of_old_data_ends_with_its_newest_event() -> None:
    window = resolve(View(window="24h"), newest=datetime.fromisoformat("2023-10-06T12:00:05"), at=AT)
    assert (window.since, window.until) == (
        datetime.fromisoformat("2023-10-05T12:01"),
        datetime.fromisoformat("2023-10-06T12:01"),
    )
    assert window.is_historic


@given(st.sampled_from(["1h", "24h", "7d", "30d"]), TIMES)
def test_every_fixed_window_is_of_its_length_and_holds_the_newest_event(name: str, newest: datetime) -> None:
    at = datetime.fromisoformat("2100-06-01")
    window = resolve(View(window=name), newest=newest, at=at)
    assert window.length == state.WINDOWS[name]
    assert window.since is not None
    assert window.until is not None
    assert window.since <= newest < window.until
    assert window.until.second == 0


def test_open_and_custom_windows() -> None:
    since = datetime.fromisoformat("2026-01-01")
    assert resolve(View(window="all"), newest=None, at=AT).length is None
    assert resolve(View(window="custom", since=since), newest=None, at=AT).since == since


def test_the_previous_window_touches_this_one() -> None:
    query = Query(since=datetime.fromisoformat("2026-01-02"), until=datetime.fromisoformat("2026-01-03"))
    previous = data.build_previous(query)
    assert previous is not None
    assert (previous.since, previous.until) == (
        datetime.fromisoformat("2026-01-01"),
        datetime.fromisoformat("2026-01-02"),
    )
    assert data.build_previous(Query()) is None
