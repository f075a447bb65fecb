"""The house keeps its shape: registries are complete, modules say what they are and stay small, files hold no private paths."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dashboard.navigation import PAGES
from incidents.exports import EXPORTS
from ingest.formats import FORMATS
from metrics import REPORTS

ROOT = Path(__file__).parents[1]
ROOMS = ("core", "ingest", "metrics", "incidents", "service", "dashboard")
MODULES = sorted([ROOT / "app.py", ROOT / "cli.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))])
MAX_LINES = 400
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".lock", ".json", ".yml", ".cfg", ".ini", ".mako", ".csv", ""}
# Folders of one person's machine, and addresses of package registries.
PRIVATE = re.compile(r"/(?:home|Users|root|work)/\w|[A-Z]:\\\\Users|\bhttps?://\S*(?:/simple\b|pypi|artifactory|nexus)")


def modules_defining(folder: Path, name: str) -> set[str]:
    """Modules of a folder that assign `name` at their top level."""
    return {
        path.stem
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign | ast.AnnAssign)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name) and target.id == name
    }


def modules_with_a_format(folder: Path) -> set[str]:
    """Modules of a folder with a class that has a `key`."""
    return {
        path.stem
        for path in folder.glob("*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
        for line in node.body
        if isinstance(line, ast.Assign) and [ast.unparse(target) for target in line.targets] == ["key"]
    }


def tracked_files() -> list[Path]:
    """Files of the next commit; all files where this is no checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode:
        return [path for path in MODULES if path.exists()]
    return [path for path in (ROOT / line for line in listed.stdout.splitlines()) if path.is_file()]


def written_formats() -> set[str]:
    return modules_with_a_format(ROOT / "ingest" / "formats")


def written_reports() -> set[str]:
    return modules_defining(ROOT / "metrics", "REPORT")


def written_exports() -> set[str]:
    return {name.replace("_", "-") for name in modules_defining(ROOT / "incidents" / "exports", "EXPORTER")}


def written_pages() -> set[str]:
    return {path.stem for path in (ROOT / "dashboard" / "pages").glob("[!_]*.py")}


@pytest.mark.parametrize(
    ("registry", "find_written"),
    [(FORMATS, written_formats), (REPORTS, written_reports), (EXPORTS, written_exports), (PAGES, written_pages)],
    ids=["formats", "reports", "exports", "pages"],
)
def test_everything_written_is_registered_under_its_name(
    registry: Mapping[str, object], find_written: Callable[[], set[str]]
) -> None:
    written = find_written()
    assert written
    assert set(registry) == written


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_says_what_it_is_and_stays_small(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= MAX_LINES
    if source.strip():
        assert ast.get_docstring(ast.parse(source)), "a module starts with what it is"


def test_the_server_has_no_logic() -> None:
    assert len((ROOT / "app.py").read_text(encoding="utf-8").splitlines()) <= 60


def test_files_hold_no_private_paths_and_no_registry_addresses() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        if path.suffix in TEXT_SUFFIXES and path != Path(__file__)
        for match in PRIVATE.finditer(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []
