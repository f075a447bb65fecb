"""A home to run commands on."""

from __future__ import annotations

import shutil
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


@pytest.fixture(scope="session")
def samples_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The closed home of the sample logs, which others copy: to ingest them takes seconds."""
    folder = tmp_path_factory.mktemp("samples") / "home"
    with open_home(load_settings(folder)) as opened:
        assert run("ingest", str(SAMPLES), home=opened).status == 0
    return folder


@pytest.fixture
def samples(samples_folder: Path, tmp_path: Path) -> Iterator[Home]:
    """A home with the sample logs."""
    shutil.copytree(samples_folder, tmp_path / "home")
    with open_home(load_settings(tmp_path / "home")) as opened:
        yield opened


@pytest.fixture(scope="session")
def library(samples_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home with the sample logs, for commands that only read."""
    folder = tmp_path_factory.mktemp("library") / "home"
    shutil.copytree(samples_folder, folder)
    with open_home(load_settings(folder)) as opened:
        yield opened
