"""Fixtures of the decision store's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from case_house import House, open_house


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty home."""
    house = open_house(tmp_path)
    yield house
    house.records.close()
    house.events.close()
