"""Principles: what stands behind each, editing by a lead, and every version with its difference to another."""

from __future__ import annotations

import difflib

import polars as pl
import streamlit as st

from core.clock import now
from dashboard import data, state
from dashboard.components.empty import render_empty
from dashboard.text import plain
from dashboard.theme import MISSING, format_percent, format_time
from incidents.constitution.coverage import build_coverage
from incidents.constitution.principles import (
    Constitution,
    Principle,
    Version,
    is_recorded,
    list_versions,
    parse_constitution,
    read_constitution,
    save_constitution,
)
from incidents.people import Role

NEW = "New principle"
_COVERAGE_COLUMNS: dict[str, tuple[int, str | None]] = {
    "Id": (85, None),
    "Tests": (65, "Adversarial prompts that attack it"),
    "Harmful": (75, "Harmful turns whose verdict by people cites it"),
    "Broken": (70, "Answers that the critique model found in breach of it"),
    "Waiting": (75, "Proposed revisions that wait for a person"),
    "Verified": (75, "Critique-revision pairs that a person accepted or edited"),
    "By people": (85, "Share of the proposed revisions on which a person has decided"),
    "Coverage": (200, "What is missing behind the principle"),
    "Principle": (760, None),
}
_FIELDS = ("id", "text", "rationale", "examples", "note")


def render_principles() -> None:
    """The coverage matrix, the editor, and the history; without a constitution, the way to adopt one."""
    home = data.home()
    versions = list_versions(home.records)
    constitution = read_constitution(home.settings)
    if constitution is None:
        render_empty(
            "There is no constitution yet",
            "Adopt a file of principles here, or with `weir constitution adopt FILE`. A worked one is "
            "sample_suites/financial-literacy/constitution.toml.",
            icon=":material/gavel:",
        )
        _render_adoption(base=0)
        return
    newest = versions[0] if versions else None
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(constitution.title, limit=200) or "Constitution", anchor=False, width="content")
        if newest is not None:
            st.caption(
                f"version {newest.number} · {format_time(newest.at, data.zone())} · {plain(newest.author, limit=60)}",
                width="content",
            )
    if not is_recorded(home.settings, newest):
        st.warning(
            "The home's file was edited by hand and is not the newest recorded version: saving here records it.",
            icon=":material/edit_document:",
        )
    _render_coverage()
    _render_editor(constitution, base=newest.number if newest else 0)
    _render_history(versions)


def _render_coverage() -> None:
    home = data.home()
    rows = build_coverage(home.events, home.records, settings=home.settings)
    st.dataframe(
        tabulate_coverage(rows),
        hide_index=True,
        height="content",
        key="constitution_coverage",
        column_config={
            name: st.column_config.Column(width=width, help=help_text)
            for name, (width, help_text) in _COVERAGE_COLUMNS.items()
        },
        alt="What stands behind each principle",
    )


def tabulate_coverage(rows: pl.DataFrame) -> pl.DataFrame:
    """The coverage matrix as people read it; logged ids and texts are inert."""
    share = pl.col("human_verified").map_elements(format_percent, return_dtype=pl.String).fill_null(MISSING)
    gap = pl.when(pl.col("gap") == "").then(pl.lit("✓ covered")).otherwise("✕ " + pl.col("gap"))
    return rows.select(
        pl.col("principle_id").map_elements(plain, return_dtype=pl.String).alias("Id"),
        pl.col("prompts").alias("Tests"),
        pl.col("violations").alias("Harmful"),
        pl.col("model_violations").alias("Broken"),
        pl.col("proposed_pairs").alias("Waiting"),
        pl.col("verified_pairs").alias("Verified"),
        share.alias("By people"),
        gap.alias("Coverage"),
        pl.col("text").map_elements(plain, return_dtype=pl.String).alias("Principle"),
    )


def _render_editor(constitution: Constitution, *, base: int) -> None:
    can_edit = state.current_actor().has(Role.LEAD)
    with st.expander(
        "Edit a principle" if can_edit else "Edit a principle (needs the role lead)", key="constitution_edit"
    ):
        known = {principle.principle_id: principle for principle in constitution.principles}
        chosen = st.selectbox("Principle", [*known, NEW], key="constitution_chosen", disabled=not can_edit)
        before = known.get(chosen or NEW)
        keys = {name: f"constitution_{name}_{base}_{chosen}" for name in _FIELDS}
        if before is None:
            st.text_input("Id", key=keys["id"], placeholder="P-1", disabled=not can_edit, max_chars=40)
        left, right = st.columns(2)
        left.text_area(
            "Text", before.text if before else "", key=keys["text"], height=110, max_chars=4000, disabled=not can_edit
        )
        right.text_area(
            "Rationale",
            before.rationale if before else "",
            key=keys["rationale"],
            height=110,
            max_chars=4000,
            disabled=not can_edit,
        )
        st.text_area(
            "Examples, one a line",
            "\n".join(before.examples) if before else "",
            key=keys["examples"],
            height=80,
            disabled=not can_edit,
        )
        st.text_input("Why it changes", key=keys["note"], max_chars=500, disabled=not can_edit)
        with st.container(horizontal=True):
            is_saved = st.button("Save a new version", key="constitution_save", type="primary", disabled=not can_edit)
            is_removed = st.button(
                "Remove this principle", key="constitution_remove", disabled=not can_edit or before is None
            )
        if is_saved or is_removed:
            values = {name: str(st.session_state.get(key) or "") for name, key in keys.items()}
            edited = None if is_removed else _read_principle(before, values)
            _save(replace_principle(constitution, before, edited), base=base, note=values["note"])
    if can_edit:
        with st.expander("Adopt a whole file", key="constitution_adopt"):
            _render_adoption(base=base)


def _read_principle(before: Principle | None, values: dict[str, str]) -> Principle:
    return Principle(
        before.principle_id if before else values["id"].strip(),
        values["text"].strip(),
        values["rationale"].strip(),
        tuple(line.strip() for line in values["examples"].splitlines() if line.strip()),
    )


def replace_principle(constitution: Constitution, before: Principle | None, after: Principle | None) -> Constitution:
    """`constitution` with `after` in the place of `before`; at the end when it is new, gone when it is None."""
    kept = [after if principle == before else principle for principle in constitution.principles]
    if before is None:
        kept.append(after)
    return Constitution(constitution.title, tuple(principle for principle in kept if principle is not None))


def _render_adoption(*, base: int) -> None:
    file = st.file_uploader("Constitution (TOML)", type="toml", key=f"constitution_file_{base}", max_upload_size=1)
    if file is not None and st.button("Adopt this file", key="constitution_adopt_file", type="primary"):
        _save(parse_constitution(file.getvalue().decode("utf-8", "replace")), base=base, note=f"adopted {file.name}")


def _save(constitution: Constitution, *, base: int, note: str) -> None:
    home = data.home()
    number = save_constitution(
        home.records, home.settings, constitution, actor=state.current_actor(), at=now(), base=base, note=note
    )
    st.toast(f"Version {number} is saved.", icon=":material/check:")
    st.rerun()


def _render_history(versions: list[Version]) -> None:
    if not versions:
        return
    st.markdown("**Versions**")
    table = pl.DataFrame(
        [
            (
                item.number,
                format_time(item.at, data.zone()),
                *(plain(part) for part in (item.author, item.changes, item.note)),
            )
            for item in versions
        ],
        schema={"Version": pl.Int64, "Saved": pl.String, "By": pl.String, "Changes": pl.String, "Why": pl.String},
        orient="row",
    )
    st.dataframe(table, hide_index=True, key="constitution_versions", alt="Versions of the constitution, newest first")
    if len(versions) < 2:
        return
    numbers = {item.number: item for item in versions}
    with st.container(horizontal=True, width=420):
        after = st.selectbox("Version", list(numbers), key="constitution_after")
        before = st.selectbox("against", list(numbers), index=1, key="constitution_before")
    if after in numbers and before in numbers:
        difference = describe_difference(numbers[before].constitution, numbers[after].constitution)
        st.code(difference or "They say the same.", language="diff", wrap_lines=True, height=260)


def describe_difference(before: Constitution, after: Constitution) -> str:
    """A unified difference of two versions, a line for each title, text, rationale and example."""
    return "\n".join(list(difflib.unified_diff(_list_lines(before), _list_lines(after), lineterm="", n=2))[2:])


def _list_lines(constitution: Constitution) -> list[str]:
    lines = [f"title: {constitution.title}"]
    for principle in constitution.principles:
        parts = {"text": (principle.text,), "rationale": (principle.rationale,), "example": principle.examples}
        lines += [
            f"{principle.principle_id} {name}: {' '.join(value.split())}"
            for name, values in parts.items()
            for value in values
            if value
        ]
    return lines
