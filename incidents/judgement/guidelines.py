"""Versions of the reviewers' guidelines: which one is in force, and which categories each changed."""

from __future__ import annotations

from sqlmodel import Session, col, select

from incidents.judgement.models import GuidelineVersion


def find_guideline(session: Session) -> str | None:
    """Name of the version in force; None before the first was declared."""
    return session.exec(select(GuidelineVersion.name).order_by(col(GuidelineVersion.position).desc()).limit(1)).first()
