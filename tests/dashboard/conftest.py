"""Homes for pages under test: an empty one, and one with a fictional stretch of traffic."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st
from page_rows import fill

from core.clock import now
from core.settings import load_settings
from service.home import Home, open_home, serve_home
from tests.stores import lay_out


@pytest.fixture
def empty_home(tmp_path: Path) -> Iterator[Home]:
    """A served home without a row."""
    st.cache_data.clear()
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as home:
        serve_home(home)
        try:
            yield home
        finally:
            serve_home(None)
            st.cache_data.clear()


@pytest.fixture
def sample_home(empty_home: Home) -> Home:
    """A served home with 600 turns of the last hours, two filters, one of them hostile by name."""
    fill(empty_home, until=now() - timedelta(minutes=1))
    return empty_home
