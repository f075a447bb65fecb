"""The sentences on top of the Overview: what changed beyond chance and needs a person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from dashboard.navigation import get_path
from dashboard.text import inert
from metrics.headline import Finding, Kind, Name, summarize

SHOWN = 3
ICONS: Mapping[Kind, str] = {
    Kind.ALERT: ":material/notifications_active:",
    Kind.STOPPED: ":material/power_off:",
    Kind.SILENT: ":material/volume_off:",
    Kind.LAGGING: ":material/hourglass_bottom:",
    Kind.MOVED: ":material/trending_up:",
    Kind.WAITING: ":material/person_alert:",
}
FALLING = ":material/trending_down:"


def render_headline(findings: Sequence[Finding], *, last_alarm: str = "") -> None:
    """Draws the summary and the most urgent findings, each with the way to what is behind it.

    Args:
        findings: Most urgent first.
        last_alarm: When the last alarm was, as a sentence of our own, for when there is nothing to say.
    """
    # One container, so that more or fewer findings do not move the identity of what follows.
    with st.container(key="headline", gap="xsmall"):
        if not findings:
            st.markdown(f"#### :green[:material/check_circle:] {summarize([])} {last_alarm}".rstrip())
            return
        st.markdown(f"#### {summarize(list(findings))}")
        for finding in findings[:SHOWN]:
            _render_finding(finding)
        hidden = findings[SHOWN:]
        if hidden:
            with st.expander(f"{len(hidden)} more"):
                for finding in hidden:
                    _render_finding(finding)


def format_finding(finding: Finding) -> str:
    """The finding as Markdown: names from logs are inert and stand out."""
    parts = (f"**{inert(part.text)}**" if isinstance(part, Name) else inert(part, limit=300) for part in finding.parts)
    body = "".join(_keep_spaces(part, text) for part, text in zip(finding.parts, parts, strict=True))
    is_falling = finding.kind is Kind.MOVED and finding.evidence.get("ratio", 2.0) < 1
    icon = FALLING if is_falling else ICONS[finding.kind]
    return f":orange[{icon}] {body}."


def _keep_spaces(part: str | Name, text: str) -> str:
    """`inert` trims; our own words carry the spaces around a name."""
    if isinstance(part, Name):
        return text
    return f"{' ' if part.startswith(' ') else ''}{text}{' ' if part.endswith(' ') else ''}"


def _render_finding(finding: Finding) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(format_finding(finding), width="stretch")
        if finding.alert_kind == "wrong_blocks":
            st.page_link(
                get_path("quality"),
                label="Open the workbench",
                icon=":material/arrow_forward:",
                query_params={"section": "Over-blocking", "filter": finding.filter_name or ""},
            )
        elif finding.kind is Kind.ALERT:
            st.page_link(get_path("incidents"), label="See the alert", icon=":material/arrow_forward:")
        elif finding.filter_name:
            st.page_link(
                get_path("filters"),
                label="See the filter",
                icon=":material/arrow_forward:",
                query_params={"show": finding.filter_name},
            )
        elif finding.source:
            st.page_link(get_path("sources"), label="See the source", icon=":material/arrow_forward:")
        elif finding.kind is Kind.WAITING:
            st.page_link(get_path("triage"), label="Open the queue", icon=":material/arrow_forward:")
