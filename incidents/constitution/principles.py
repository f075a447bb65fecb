"""The constitution: principles in one file of the home, every version of it kept."""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import tomli_w
from sqlmodel import Session, col, select

from core.errors import ConflictError, FormatError, UsageError
from core.records import RecordStore
from core.settings import Settings
from incidents.audit import change
from incidents.models import ConstitutionVersion
from incidents.people import Actor, Role

FILE = "constitution.toml"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_TEXT_LIMIT = 4_000


@dataclass(frozen=True, slots=True)
class Principle:
    """One rule of conduct.

    Attributes:
        principle_id: Short and stable: verdicts cite it, e.g. "P-3".
        text: The rule, as the model and the reviewers read it.
        rationale: Why it holds.
        examples: Requests or answers that show where it applies.
    """

    principle_id: str
    text: str
    rationale: str = ""
    examples: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError naming the first part that cannot be kept."""
        if not _ID.fullmatch(self.principle_id):
            raise UsageError(
                "Not an id of a principle", repr(self.principle_id[:50]), "Use letters, digits, '-', '_' and '.'."
            )
        if not self.text.strip():
            raise UsageError("A principle has no text", self.principle_id)
        for part in (self.text, self.rationale, *self.examples):
            if len(part) > _TEXT_LIMIT or any(ord(char) < 32 and char not in "\n\t" for char in part):
                raise UsageError(
                    "A text cannot be kept",
                    self.principle_id,
                    f"Use up to {_TEXT_LIMIT:,} characters, none of them control characters.",
                )


@dataclass(frozen=True, slots=True)
class Constitution:
    """All principles, in order."""

    title: str
    principles: tuple[Principle, ...]

    def __post_init__(self) -> None:
        """Raises UsageError when two principles have one id."""
        twice = [name for name, count in Counter(self.ids()).items() if count > 1]
        if twice:
            raise UsageError("Two principles have one id", twice[0], "Give each its own.")

    def ids(self) -> list[str]:
        """The ids, in order."""
        return [principle.principle_id for principle in self.principles]


@dataclass(frozen=True, slots=True)
class Version:
    """One version as it was recorded; `at` is naive UTC, `changes` says what it did to the one before."""

    number: int
    at: datetime
    author: str
    note: str
    changes: str
    constitution: Constitution


def parse_constitution(text: str) -> Constitution:
    """The constitution that a TOML document holds.

    Raises:
        FormatError: It is no TOML, or a key is unknown, missing or of another type.
        UsageError: A principle cannot be kept.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise FormatError("The constitution cannot be read", str(error)) from error
    entries = document.get("principle", [])
    unknown = set(document) - {"title", "principle"}
    if unknown or not isinstance(entries, list) or not isinstance(document.get("title", ""), str):
        raise FormatError(
            "The constitution cannot be read",
            f"keys {', '.join(sorted(unknown)) or 'title and principle'}",
            "Write a title and one [[principle]] table each.",
        )
    return Constitution(document.get("title", ""), tuple(_parse_principle(entry) for entry in entries))


def render_constitution(constitution: Constitution) -> str:
    """The constitution as TOML; `parse_constitution` gives it back."""
    entries = [
        {
            "id": principle.principle_id,
            "text": principle.text,
            "rationale": principle.rationale,
            "examples": list(principle.examples),
        }
        for principle in constitution.principles
    ]
    return tomli_w.dumps({"title": constitution.title, "principle": entries})


def read_constitution(settings: Settings) -> Constitution | None:
    """What the home's file says now; None without a file.

    Raises:
        FormatError: It cannot be read. UsageError: A principle cannot be kept.
    """
    path = settings.home / FILE
    return parse_constitution(path.read_text(encoding="utf-8")) if path.exists() else None


def list_principle_ids(settings: Settings) -> list[str]:
    """Ids that a verdict may cite; empty without a constitution."""
    constitution = read_constitution(settings)
    return constitution.ids() if constitution else []


def save_constitution(
    records: RecordStore,
    settings: Settings,
    constitution: Constitution,
    *,
    actor: Actor,
    at: datetime,
    base: int,
    note: str = "",
) -> int:
    """Records a new version and writes it to the home's file; returns its number.

    Args:
        base: Number of the version that was edited; 0 = there was none.
        note: Why it changed.

    Raises:
        AccessError: The actor is no lead.
        ConflictError: Somebody else has saved a version since `base`.
        UsageError: Nothing changed.
    """
    actor.require(Role.LEAD)
    content = render_constitution(constitution)
    digest = hashlib.sha256(content.encode()).hexdigest()
    with change(records, actor=actor, at=at) as current:
        last = _get_last(current.session)
        number = last.number if last else 0
        if number != base:
            raise ConflictError(
                "The constitution changed since you opened it",
                f"version {base} is now {number}",
                "Look at it again before you save.",
            )
        if last is not None and last.digest == digest and _read_file(settings) == content:
            raise UsageError("Nothing changed", f"version {number} says the same")
        current.session.add(
            ConstitutionVersion(
                number=number + 1, at=at, author=actor.name, note=note.strip(), digest=digest, content=content
            )
        )
        current.record("constitution.save", f"version {number + 1}", {"sha256": digest, "version": number + 1})
        _write(settings.home / FILE, content)
    return number + 1


def list_versions(records: RecordStore) -> list[Version]:
    """All versions, newest first."""
    with records.session() as session:
        rows = session.exec(select(ConstitutionVersion).order_by(col(ConstitutionVersion.number))).all()
    versions: list[Version] = []
    before = Constitution("", ())
    for row in rows:
        constitution = parse_constitution(row.content)
        changes = describe_changes(before, constitution)
        versions.append(Version(row.number, row.at, row.author, row.note, changes, constitution))
        before = constitution
    return versions[::-1]


def describe_changes(before: Constitution, after: Constitution) -> str:
    """What is new, changed and gone, by id: `added P-2; changed P-1`."""
    old, new = _by_id(before), _by_id(after)
    parts = {
        "added": [name for name in new if name not in old],
        "changed": [name for name in new if name in old and new[name] != old[name]],
        "removed": [name for name in old if name not in new],
    }
    said = [f"{what} {', '.join(names)}" for what, names in parts.items() if names]
    if not said:
        return "order or title changed"
    return "; ".join(said)


def is_recorded(settings: Settings, newest: Version | None) -> bool:
    """Whether the home's file is the newest recorded version; false after an edit by hand."""
    content = _read_file(settings)
    return content is None if newest is None else content == render_constitution(newest.constitution)


def _parse_principle(entry: object) -> Principle:
    if not isinstance(entry, Mapping) or set(entry) - {"id", "text", "rationale", "examples"}:
        raise FormatError("A principle cannot be read", str(entry)[:100], "It has: id, text, rationale, examples.")
    examples = entry.get("examples", [])
    name, text, rationale = (entry.get(key, "") for key in ("id", "text", "rationale"))
    if not isinstance(examples, list) or not all(isinstance(part, str) for part in (name, text, rationale, *examples)):
        raise FormatError("A principle cannot be read", str(entry)[:100], "All its values are texts.")
    return Principle(name, text, rationale, tuple(examples))


def _get_last(session: Session) -> ConstitutionVersion | None:
    return session.exec(select(ConstitutionVersion).order_by(col(ConstitutionVersion.number).desc())).first()


def _by_id(constitution: Constitution) -> dict[str, Principle]:
    return {principle.principle_id: principle for principle in constitution.principles}


def _read_file(settings: Settings) -> str | None:
    path = settings.home / FILE
    return path.read_text(encoding="utf-8") if path.exists() else None


def _write(path: Path, content: str) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(content, encoding="utf-8")
    temporary.replace(path)
