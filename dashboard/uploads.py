"""Uploaded log files: looked at first, then a hostile name and any bytes become one whole file in the inbox."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import IO

from core.errors import FormatError, UsageError
from core.events import EventStore
from core.settings import Settings
from incidents.people import Actor, Role
from ingest.explain import Explanation, explain_file
from ingest.sources.files import sniff_kind

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_COPY_BYTES = 1 << 20
MAX_NAME = 120


def save_upload(inbox: Path, name: str, content: IO[bytes], *, source: str, actor: Actor) -> Path:
    """Puts an uploaded file into the inbox, whole or not at all, and never over another file.

    Args:
        inbox: The folder that scheduled ingest watches.
        name: As the browser gave it.
        content: From its first byte.
        source: Name of the source that the records get; becomes a folder of the inbox.
        actor: Who uploads; needs the role lead.

    Returns:
        Where the file is.

    Raises:
        AccessError: The actor may not bring data in.
        UsageError: Nothing of the name or the source is usable, or the file is empty.
    """
    actor.require(Role.LEAD)
    folder, file_name = inbox / sanitize_name(source), sanitize_name(name)
    folder.mkdir(parents=True, exist_ok=True)
    # Ingest ignores names that end in .part; in the same folder, so that linking never crosses a file system.
    descriptor, temporary = tempfile.mkstemp(prefix="upload-", suffix=".part", dir=folder)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            last = b""
            while chunk := content.read(_COPY_BYTES):
                stream.write(chunk)
                last = chunk[-1:]
            size = stream.tell()
            stream.flush()
            if size and last != b"\n" and _can_grow(Path(temporary)):
                # A log's last line is taken for half-written until it ends; here no more of it will come.
                stream.write(b"\n")
                stream.flush()
            os.fsync(stream.fileno())
        if not size:
            raise UsageError("The file is empty", file_name, "Choose a file that holds records.")
        return _link(Path(temporary), folder, file_name)
    finally:
        Path(temporary).unlink(missing_ok=True)


def preview_upload(
    events: EventStore, name: str, content: IO[bytes], *, settings: Settings, actor: Actor
) -> Explanation:
    """How an uploaded file would be read; nothing of it stays.

    Raises:
        AccessError: The actor may not bring data in.
        UsageError: Nothing of the name is usable.
        FormatError: It cannot be read, or no format fits.
    """
    actor.require(Role.LEAD)
    with tempfile.TemporaryDirectory(prefix="upload-") as folder:
        path = Path(folder) / sanitize_name(name)
        with path.open("wb") as stream:
            shutil.copyfileobj(content, stream, _COPY_BYTES)
        return explain_file(events, path, settings=settings)


def sanitize_name(name: str) -> str:
    """The last part of a path as a name of letters, digits, `.`, `_` and `-` that does not begin with a dot.

    Raises:
        UsageError: Nothing usable is left.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1]
    clean = _UNSAFE.sub("_", last).lstrip("._-")
    if not clean.strip("._-"):
        raise UsageError("The name cannot be used", repr(name)[:100], "Use letters and digits.")
    stem, dot, suffix = clean[-MAX_NAME:].lstrip("._-").partition(".")
    return f"{stem}{dot}{suffix}"


def _can_grow(path: Path) -> bool:
    try:
        kind = sniff_kind(path)
    except FormatError:
        return False
    return kind is not None and kind.can_grow


def _link(temporary: Path, folder: Path, name: str) -> Path:
    stem, dot, suffix = name.partition(".")
    number = 1
    while True:
        target = folder / (name if number == 1 else f"{stem}-{number}{dot}{suffix}")
        try:
            # Unlike a rename, a link fails where a file of that name exists.
            target.hardlink_to(temporary)
        except FileExistsError:
            number += 1
        else:
            return target
