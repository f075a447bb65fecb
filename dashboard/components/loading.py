"""What stands where numbers are still being computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from dashboard.state import has_drawn, mark_drawn


@contextmanager
def loading(page: str, *, height: int) -> Iterator[None]:
    """A skeleton while the block computes, the first time that a session opens the page.

    Later runs keep what is on the screen until the new figures replace it in place, so that nothing jumps.

    Args:
        page: Key of the page.
        height: Pixels that the content will take, about.
    """
    # The place is taken in every run: were it not, whatever follows would move and be drawn twice for a moment.
    place = st.empty()
    if not has_drawn(page):
        place.skeleton(height)
    yield
    place.empty()
    mark_drawn(page)
