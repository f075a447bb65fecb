"""A folder that appears whole or not at all."""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from core.errors import ExportError
from incidents.exports.manifest import MANIFEST


def check_target(out: Path, name: str) -> None:
    """Raises ExportError when `out` holds anything but an earlier export `name`, which may be replaced."""
    hint = "Choose a new or empty folder."
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise ExportError("Not a folder", str(out), hint)
    if not out.exists() or not any(out.iterdir()):
        return
    try:
        manifest = json.loads((out / MANIFEST).read_text(encoding="utf-8"))
        found = manifest["name"] if isinstance(manifest, dict) else None
        known = {*manifest["files"], MANIFEST} if found else set()
    except (OSError, ValueError, KeyError, TypeError):
        found, known = None, set()
    if found != name:
        what = f"an export {found!r}" if found else "other files"
        raise ExportError("The folder is not empty", f"{out} holds {what}", hint)
    strange = sorted(path.name for path in out.iterdir() if path.name not in known)
    if strange:
        raise ExportError("The folder holds files that are not the export's", f"{out}: {strange[0]!r}", hint)


@contextmanager
def write_folder(out: Path, contents: dict[str, bytes]) -> Iterator[None]:
    """Writes `contents` beside `out`, runs the body, then puts the new folder in the place of the old one.

    When the body or the writing fails, the old folder is untouched and nothing else stays.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    suffix = secrets.token_hex(4)
    fresh, old = (out.with_name(f".{out.name}.{role}-{suffix}") for role in ("new", "old"))
    try:
        fresh.mkdir()
        for name, content in contents.items():
            with (fresh / name).open("xb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        yield
        if out.exists():
            out.rename(old)
        try:
            fresh.rename(out)
        except OSError:
            if old.exists():
                old.rename(out)
            raise
    except OSError as error:
        raise ExportError(
            "The export cannot be written", f"{out}: {error}", "Check the folder and its space."
        ) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
