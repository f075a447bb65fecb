"""The dashboard's one error boundary: a reader gets a sentence, the log gets the rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st
import structlog

from core.errors import AccessError, AppError, StoreBusyError
from dashboard.text import inert

log = structlog.get_logger()


@contextmanager
def boundary(place: str, *, is_part: bool = False) -> Iterator[None]:
    """Shows what the block raises as a sentence; nothing escapes, so that the rest of the page stays.

    Args:
        place: What could not be shown, e.g. "Overview"; our own text.
        is_part: It is a small part of the bar, which says it in a few words.
    """
    try:
        yield
    except AccessError as error:
        _show(":material/lock:", inert(error.title, limit=200), error)
    except StoreBusyError as error:
        _show(":material/hourglass_top:", inert(error.title, limit=200), error)
    except AppError as error:
        _show(":material/info:", inert(error.title, limit=200), error)
    except Exception:
        log.exception("page failed", place=place)
        if is_part:
            st.badge(f"{place} unavailable", icon=":material/error:", color="orange")
            return
        with st.container(border=True):
            st.markdown(f":material/error: **{place} could not be shown.**")
            st.markdown(
                "The cause is in the server's log. Reload the page; if it stays, tell whoever runs this server."
            )


def _show(icon: str, title: str, error: AppError) -> None:
    with st.container(border=True):
        st.markdown(f"{icon} **{title}**")
        if error.detail:
            st.text(error.detail[:2000])
        if error.hint:
            st.markdown(inert(error.hint, limit=2000))
