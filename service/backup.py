"""Copies of a home: taken while it serves, verified before they come back.

The decision store is copied first: what it says about the event store (which votes were mirrored, which rows were looked
at for cases) may then be too old, which repeats harmless work, but never too new, which would lose some.
"""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import msgspec
import sqlalchemy as sa

from core.clock import isoformat
from core.errors import FormatError, NotFoundError, UsageError
from core.settings import Settings
from incidents.audit import change
from incidents.people import Actor, Role
from ingest.schema import SCHEMA_VERSION
from service.home import Home

MANIFEST = "backup.json"
RECORDS = "incidents.sqlite"
EVENTS = "events.duckdb"
_TEXTS = ("weir.toml", "constitution.toml")
_BLOCK = 1 << 20


class _File(msgspec.Struct, frozen=True):
    bytes: int
    sha256: str


class _Manifest(msgspec.Struct, frozen=True):
    made_at: str
    schema_version: int
    data_version: int
    files: dict[str, _File]


@dataclass(frozen=True, slots=True)
class BackupSummary:
    """What a copy holds: its folder, name of each file to its size in bytes, and the version of its data."""

    folder: Path
    files: dict[str, int]
    data_version: int

    def to_json(self) -> dict[str, object]:
        """The document of `weir backup --json`."""
        return {"folder": str(self.folder), "files": self.files, "data_version": self.data_version}


def back_up(home: Home, folder: Path, *, actor: Actor, at: datetime) -> BackupSummary:
    """Copies both stores and the settings into `folder`, whole or not at all, while others read and write.

    Feedback sets and the log files of the inbox are not part of it: what was read of them is.

    Raises:
        AccessError: The actor is no admin.
        UsageError: The folder is not free, or the decision store is no SQLite file.
    """
    actor.require(Role.ADMIN)
    if home.records.engine.dialect.name != "sqlite":
        raise UsageError(
            "The decision store is not a file", home.records.engine.dialect.name, "Use that database's own backup."
        )
    with _written_whole(folder) as temporary:
        with change(home.records, actor=actor, at=at) as current:
            current.record("backup", str(folder), {})
        with home.records.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("VACUUM INTO :target"), {"target": str(temporary / RECORDS)})
        data_version = _copy_events(home, temporary / EVENTS)
        for name in _TEXTS:
            if (home.settings.home / name).exists():
                shutil.copyfile(home.settings.home / name, temporary / name)
        files = {path.name: _File(path.stat().st_size, _hash(path)) for path in sorted(temporary.iterdir())}
        manifest = _Manifest(isoformat(at), SCHEMA_VERSION, data_version, files)
        (temporary / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    return _summarise(folder, manifest)


def restore(settings: Settings, folder: Path, *, replace: bool, at: datetime) -> BackupSummary:
    """Brings a copy back into the home, which nobody may have open.

    Every hash is checked first. The new files are complete beside the old ones before any of those moves away, into
    `replaced-<time>/` of the home.

    Args:
        settings: Of the home.
        folder: Made by `back_up`.
        replace: The home may hold stores already.
        at: Names the folder of what was replaced.

    Raises:
        NotFoundError: The folder holds no copy.
        FormatError: A file is missing or is not what was written.
        UsageError: The home holds stores, or keeps its decisions elsewhere.
    """
    if settings.store.records_url:
        raise UsageError("The decision store is not a file", "store.records_url", "Use that database's own tools.")
    manifest = _read_manifest(folder)
    home = settings.home
    home.mkdir(parents=True, exist_ok=True)
    # The write-ahead logs belong to the files that go, and would be replayed onto those that come.
    present = [name for name in (EVENTS, RECORDS) if (home / name).exists()]
    if present and not replace:
        raise UsageError("The home holds stores already", str(home), "Name another home, or add --replace.")
    with tempfile.TemporaryDirectory(dir=home, prefix="restore-") as temporary:
        for name in manifest.files:
            shutil.copyfile(folder / name, Path(temporary) / name)
        aside = home / f"replaced-{at:%Y%m%dT%H%M%S}"
        for name in manifest.files:
            for old in (home / name, home / f"{name}.wal", home / f"{name}-wal", home / f"{name}-shm"):
                if old.exists():
                    aside.mkdir(exist_ok=True)
                    old.replace(aside / old.name)
        for name in manifest.files:
            (Path(temporary) / name).replace(home / name)
    return _summarise(folder, manifest)


def _summarise(folder: Path, manifest: _Manifest) -> BackupSummary:
    return BackupSummary(folder, {name: entry.bytes for name, entry in manifest.files.items()}, manifest.data_version)


def _copy_events(home: Home, target: Path) -> int:
    """Copies the event store as it is at one moment; returns the version of its data."""
    cursor = home.events.cursor()
    # The name belongs to the whole process, where another copy may be under way.
    name = f"copy_{secrets.token_hex(4)}"
    path = str(target).replace("'", "''")
    cursor.execute(f"ATTACH '{path}' AS {name}")
    try:
        source = home.events.read("SELECT current_database() AS name").item()
        # One statement, hence one snapshot, whatever is written meanwhile.
        cursor.execute(f'COPY FROM DATABASE "{source}" TO {name}')
        version = home.events.read(f"SELECT coalesce(max(ingest_id), 0) AS version FROM {name}.ingests").item()  # noqa: S608 - our own name
    finally:
        cursor.execute(f"DETACH {name}")
    return int(version)


def _read_manifest(folder: Path) -> _Manifest:
    """The manifest of a copy whose files are all there, unchanged."""
    path = folder / MANIFEST
    if not path.is_file():
        raise NotFoundError("No backup", str(folder), f"A backup is a folder that holds {MANIFEST}.")
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=_Manifest)
    except msgspec.DecodeError as error:
        raise FormatError("The backup's manifest cannot be read", f"{path}: {error}") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise FormatError("The backup is of a newer Weir", str(path), "Update Weir first.")
    if not {EVENTS, RECORDS} <= set(manifest.files) <= {EVENTS, RECORDS, *_TEXTS}:
        raise FormatError("The backup's manifest names other files than a backup has", str(path))
    for name, entry in manifest.files.items():
        file = folder / name
        if not file.is_file() or _hash(file) != entry.sha256:
            raise FormatError("The backup is damaged", str(file), "Use another one; nothing was changed.")
    return manifest


@contextmanager
def _written_whole(folder: Path) -> Iterator[Path]:
    """A temporary folder beside `folder` that takes its place at the end, and is gone after an error."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("The folder is not free", str(folder), "Name a new or an empty one.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
    try:
        yield temporary
        if folder.exists():
            folder.rmdir()
        temporary.replace(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
