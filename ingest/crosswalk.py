"""The crosswalk of categories: vendor codes to hazards, from a versioned file that a team can replace."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyarrow as pa

from core.errors import ConfigError

_SHIPPED = Path(__file__).parent / "crosswalk.toml"


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """A version, the hazards with their titles, and a table (taxonomy, native, category) for joins."""

    version: str
    hazards: dict[str, str]
    table: pa.Table


@cache
def load_crosswalk(path: Path | None = None) -> Crosswalk:
    """The crosswalk in the file `path`, or the shipped one.

    Raises:
        ConfigError: The file is missing or malformed, or maps onto a hazard that it does not define.
    """
    path = path or _SHIPPED
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
        version, hazards, taxonomies = content["version"], content["hazards"], content["taxonomies"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigError(
            "The category crosswalk cannot be read",
            f"{path}: {error}",
            "Start from a copy of ingest/crosswalk.toml.",
        ) from error
    rows: list[tuple[str, str, str]] = []
    for taxonomy, mapping in taxonomies.items():
        for native, category in mapping.items():
            if category not in hazards:
                raise ConfigError(
                    "The category crosswalk names an unknown hazard",
                    f"{path}: [taxonomies.{taxonomy}] {native} = {category!r}",
                    f"Valid: {', '.join(hazards)}.",
                )
            rows.append((taxonomy, normalize_category(native), category))
        rows.extend(
            (taxonomy, normalize_category(hazard), hazard)
            for hazard in hazards
            if normalize_category(hazard) not in {normalize_category(native) for native in mapping}
        )
    columns = list(zip(*rows, strict=True))
    table = pa.table({"taxonomy": columns[0], "native": columns[1], "category": columns[2]})
    return Crosswalk(str(version), dict(hazards), table)


def normalize_category(native: str) -> str:
    """`native` in the form that the crosswalk compares; `normalized_sql` is the same in SQL."""
    return native.strip().lower().replace("_", "-").replace("/", "-").replace(" ", "-")


def normalized_sql(expression: str) -> str:
    """`normalize_category` as a SQL expression over text."""
    return f"translate(lower(trim({expression})), '_/ ', '---')"


def find_category(native: str | None) -> str | None:
    """The hazard that a person's word names in the shipped crosswalk; `unmapped:` and the word when it names none."""
    if native is None or native.startswith("unmapped:"):
        return native
    return _own_names().get(normalize_category(native), f"unmapped:{native}")


@cache
def _own_names() -> dict[str, str]:
    rows = load_crosswalk().table.to_pylist()
    return {row["native"]: row["category"] for row in rows if row["taxonomy"] == "weir"}


HAZARDS: dict[str, str] = load_crosswalk().hazards
"""Canonical category key to title, as shipped."""
