"""A home to run commands on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from core.settings import load_settings
from service.home import Home, open_home
from tests.service.commands import SAMPLES, run
from tests.stores import lay_out


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home."""
    lay_out(tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with the sample logs, for commands that only read."""
    with open_home(load_settings(tmp_path_factory.mktemp("library") / "home")) as opened:
        assert run("ingest", str(SAMPLES), home=opened).status == 0
        yield opened
