"""Homes for pages under test: an empty one, and one with a fictional stretch of traffic."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import streamlit as st
from page_rows import fill
from streamlit.components.v2 import manifest_scanner

from core.clock import now
from core.settings import load_settings
from service.home import Home, open_home, serve_home
from tests.stores import lay_out


@pytest.fixture(scope="session", autouse=True)
def _scan_for_components_once() -> Iterator[None]:
    """Each page under test would read the metadata of every installed package, which takes longer than the page."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            manifest_scanner, "scan_component_manifests", functools.cache(manifest_scanner.scan_component_manifests)
        )
        yield


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
