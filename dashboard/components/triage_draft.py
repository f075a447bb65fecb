"""A verdict in the making, kept by the server so that a refresh or a second tab loses nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass

import streamlit as st

DRAFT_LIMIT = 5_000


@dataclass(frozen=True, slots=True)
class Draft:
    """What a reviewer has entered for one case so far.

    Attributes:
        verdict: "harmful", "benign", "unsure", or "" while undecided.
        category: Canonical hazard; "" while not chosen.
        severity: 0 (none) to 4 (extreme); None while not chosen.
        reason: Value of a verdict reason; "" while not chosen.
        principle_id: Constitution principle cited.
        revision: The better response.
        critique: What is wrong with the response.
        note: A remark for colleagues, never exported.
        filters: Filters judged, and whether each was right.
    """

    verdict: str = ""
    category: str = ""
    severity: int | None = None
    reason: str = ""
    principle_id: str = ""
    revision: str = ""
    critique: str = ""
    note: str = ""
    filters: tuple[tuple[str, bool], ...] = ()

    @property
    def harmful(self) -> bool | None:
        """The verdict as a vote states it; None when unsure (or undecided)."""
        return {"harmful": True, "benign": False}.get(self.verdict)


class Drafts:
    """Unfinished verdicts by reviewer and case; the oldest go first when there are too many."""

    def __init__(self, limit: int = DRAFT_LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._drafts: OrderedDict[tuple[str, str], Draft] = OrderedDict()

    def get(self, reviewer: str, case_id: str) -> Draft | None:
        """The draft, or None when the reviewer has entered nothing."""
        with self._lock:
            return self._drafts.get((reviewer, case_id))

    def put(self, reviewer: str, case_id: str, draft: Draft) -> None:
        """Keeps `draft`, replacing an earlier one."""
        with self._lock:
            self._drafts[(reviewer, case_id)] = draft
            self._drafts.move_to_end((reviewer, case_id))
            while len(self._drafts) > self._limit:
                self._drafts.popitem(last=False)

    def drop(self, reviewer: str, case_id: str) -> None:
        """Forgets the draft, if there is one."""
        with self._lock:
            self._drafts.pop((reviewer, case_id), None)


@st.cache_resource(show_spinner=False)
def get_drafts() -> Drafts:
    """The drafts of this server, shared by all sessions."""
    return Drafts()
