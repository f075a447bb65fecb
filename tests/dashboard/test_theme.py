"""One format per kind of number and time."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from core.settings import Settings
from dashboard import theme
from ingest.schema import OUTCOMES

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "–"),
        (float("nan"), "–"),
        (0.0, "0 %"),
        (0.00063, "0.063 %"),
        (0.0512, "5.1 %"),
        (0.2243, "22 %"),
        (0.9951, "99.5 %"),
        (0.99999, "99.9 %"),
        (1.0, "100 %"),
    ],
)
def test_percent(value: float | None, words: str) -> None:
    assert theme.format_percent(value) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "–"), (2, "2 s"), (1080, "18 min"), (9600, "2 h 40 min"), (7200, "2 h"), (273_600, "3 d 4 h")],
)
def test_duration(seconds: float | None, words: str) -> None:
    assert theme.format_duration(seconds) == words


def test_rate_below_the_minimum_sample_is_never_zero() -> None:
    rate = {"estimate": None, "low": None, "high": None}
    assert theme.format_rate(rate) == "not enough reviews"
    assert theme.format_rate({"estimate": 0.22, "low": 0.17, "high": 0.28}) == "22 % (17–28)"


def test_points_keep_a_sign_that_streamlit_reads() -> None:
    assert theme.format_points(0.0081) == "+0.8 pp"
    assert theme.format_points(-0.0081) == "-0.8 pp"


@pytest.mark.parametrize(("value", "words"), [(0.618, "0.62 ms"), (49.2, "49 ms"), (1240.0, "1,240 ms")])
def test_milliseconds(value: float, words: str) -> None:
    assert theme.format_ms(value) == words


def test_bytes() -> None:
    assert theme.format_bytes(999) == "999 B"
    assert theme.format_bytes(18_624_512) == "18.6 MB"


def test_times_show_the_readers_zone() -> None:
    summer = datetime.fromisoformat("2026-07-01T12:00")
    assert theme.to_local(summer, BERLIN) == datetime.fromisoformat("2026-07-01T14:00")
    assert theme.format_time(summer, BERLIN) == "2026-07-01 14:00"
    assert theme.format_time(summer, BERLIN, relative_to=summer) == "14:00:00"
    frame = theme.localise(pl.DataFrame({"ts": [summer], "n": [1]}), BERLIN)
    assert frame["ts"].to_list() == [datetime.fromisoformat("2026-07-01T14:00")]
    assert frame["n"].to_list() == [1]


@pytest.mark.parametrize("name", [None, "", "No/Such", "../etc/passwd"])
def test_an_unknown_zone_is_utc(name: str | None) -> None:
    assert theme.get_zone(name).key == "UTC"


def test_every_layer_and_outcome_has_a_fixed_colour() -> None:
    assert set(Settings.model_fields["layers"].default) == set(theme.LAYER_COLOURS)
    assert set(OUTCOMES) <= set(theme.OUTCOME_COLOURS)
    looks = [(theme.LAYER_COLOURS[layer], theme.LAYER_DASHES.get(layer)) for layer in theme.LAYER_COLOURS]
    assert len(set(looks)) == len(looks)
