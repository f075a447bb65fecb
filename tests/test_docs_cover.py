"""Commands, reports, formats and settings are documented as they are. `python -m tests.test_docs_cover` rewrites those parts."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

import cli
from core.settings import Settings
from incidents.alerts.kinds import KINDS
from incidents.enums import AlertState
from incidents.exports import EXPORTS
from ingest.formats import FORMATS, LogFormat
from metrics import REPORTS
from metrics.report import Report

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BEGIN = "<!-- written by `python -m tests.test_docs_cover` from the code -->\n"
END = "<!-- end -->\n"
SHARED_OPTIONS = ("--home", "--json")


def render_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |\n" for line in lines)


def find_commands(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    if not hasattr(command, "commands"):
        yield " ".join(words), command
        return
    for name, child in command.commands.items():
        yield from find_commands(child, (*words, name))


def render_commands() -> str:
    return "\n".join(_render_command(*found) for found in find_commands(typer.main.get_command(cli.app)))


def _render_command(words: str, command: Any) -> str:
    what, example = command.help.split(" Example: ")
    own = [param for param in command.params if not set(SHARED_OPTIONS) & set(param.opts)]
    rows = [(_name_parameter(param), _show_default(param), param.help or "") for param in own]
    table = "\n" + render_table(("argument or option", "default", "meaning"), rows) if rows else ""
    examples = "\n".join(example.split("; "))
    return f"### `weir {words}`\n{what}\n\n```\n{examples}\n```\n{table}"


def _name_parameter(param: Any) -> str:
    name: str = param.opts[0]
    return f"`{name}`" if name.startswith("-") else f"`{name.upper()}`{' ...' if param.nargs == -1 else ''}"


def _show_default(param: Any) -> str:
    if param.required:
        return "required"
    return "" if param.default is None else f"`{param.default}`"


def render_reports() -> str:
    return "\n".join(_render_report(report) for report in REPORTS.values())


def _render_report(report: Report) -> str:
    better = {"lower": "Lower is better.", "higher": "Higher is better.", "neither": ""}[report.better]
    table = render_table(("column", "meaning"), [(f"`{name}`", text) for name, text in report.columns.items()])
    dimensions = ", ".join(f"`{name}`" for name in report.dimensions)
    facts = f"Counts: {report.unit}s. {better}".rstrip()
    return (
        f"### `{report.key}`: {report.title}\n{report.description}\n\n{table}\n"
        f"- {facts}\n- `--by`: {dimensions or 'nothing'}\n- Source: {report.source}\n"
    )


def render_formats() -> str:
    return "\n".join(_render_format(log_format) for log_format in FORMATS.values())


def _render_format(log_format: LogFormat) -> str:
    fields = ", ".join(f"`{name}`" for name in _leaves(log_format.structure))
    rules = [(f"`{rule.field}`", f"`{rule.reason}`", rule.remedy) for rule in log_format.rules]
    return (
        f"### `{log_format.key}`: {log_format.title}\n{log_format.description}\n\n"
        f"Yields: {', '.join(log_format.yields)}. Fields read: {fields}.\n\n"
        f"{render_table(('field', 'rejected as', 'remedy'), rules)}"
    )


def _leaves(structure: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    for name, child in structure.items():
        if isinstance(child, Mapping):
            yield from _leaves(child, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def render_settings() -> str:
    rows = [
        (f"`{name}`", _name_variable(name), _default(field), field.description or "") for name, field in find_settings()
    ]
    return render_table(("in `weir.toml`", "variable", "default", "meaning"), rows)


def _name_variable(name: str) -> str:
    """A table that may be given several times has no variable of its own."""
    return "" if name.startswith("[[") else f"`WEIR_{name.replace('.', '__').upper()}`"


def find_settings() -> Iterator[tuple[str, FieldInfo]]:
    """Every setting by its name in `weir.toml`. The home is none of them: it says where `weir.toml` is."""
    for name, field in Settings.model_fields.items():
        if get_origin(field.annotation) is tuple and issubclass(model := get_args(field.annotation)[0], BaseModel):
            yield from ((f"[[{name}]].{key}", inner) for key, inner in model.model_fields.items())
        elif isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from ((f"{name}.{key}", inner) for key, inner in field.annotation.model_fields.items())
        elif name != "home":
            yield name, field


def _default(field: FieldInfo) -> str:
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    return "" if value in (None, "", {}, ()) else f"`{json.dumps(value)}`"


PAGES: dict[str, Callable[[], str]] = {
    "commands.md": render_commands,
    "reports.md": render_reports,
    "formats.md": render_formats,
    "settings.md": render_settings,
}


def split_page(page: str) -> tuple[str, str, str]:
    """What stands before, between and after the markers."""
    before, rest = page.split(BEGIN)
    written, after = rest.split(END)
    return before + BEGIN, written, END + after


@pytest.mark.parametrize("name", PAGES)
def test_page_is_what_the_code_says(name: str) -> None:
    written = split_page((DOCS / name).read_text(encoding="utf-8"))[1]
    assert written == PAGES[name](), f"docs/{name} is stale: run `python -m tests.test_docs_cover`"


@pytest.mark.parametrize("report", REPORTS.values(), ids=list(REPORTS))
def test_every_column_of_a_report_has_a_meaning(report: Report) -> None:
    assert report.columns
    assert all(text.strip() for text in (report.description, report.source, *report.columns.values()))


def test_every_setting_has_a_meaning() -> None:
    assert all(field.description for _, field in find_settings())


def test_every_export_is_documented() -> None:
    page = (DOCS / "exports.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([a-z-]+)` \| .* \| .* \|$", page.split("## ")[0], re.MULTILINE) == list(EXPORTS)


def test_every_alert_kind_is_documented_with_its_limit() -> None:
    section = (DOCS / "alerts.md").read_text(encoding="utf-8").split("## Kinds\n")[1].split("\n## ")[0]
    documented = re.findall(r"^\| `([a-z_]+)` \| .+ \| .+ \| ([\d.]+) \|$", section, re.MULTILINE)
    assert [(key, float(limit)) for key, limit in documented] == [(key, kind.limit) for key, kind in KINDS.items()]


def test_every_alert_state_is_documented() -> None:
    page = (DOCS / "alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `(\w+)` \| [^|]+ \|$", page, re.MULTILINE) == [state.value for state in AlertState]


def _shown_commands() -> list[tuple[str, str]]:
    """Every `weir ...` line of the code blocks of all pages."""
    pages = [*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "sample_logs" / "README.md"]
    found = []
    for page in pages:
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            lines = re.sub(r"\\\n\s*", "", block).splitlines()
            found += [(page.name, line) for line in lines if re.match(r"(\S+/)?weir ", line)]
    return found


def test_every_command_in_the_documentation_exists() -> None:
    commands = dict(find_commands(typer.main.get_command(cli.app)))
    shown = _shown_commands()
    assert len(shown) > len(commands)
    for page, line in shown:
        words = shlex.split(line, comments=True)[1:]
        if words[0] == "export" and " ".join(words[:2]) not in commands:
            words.insert(1, "build")  # which may be left out
        (name,) = [name for name in commands if words[: len(name.split())] == name.split()]
        options = {option for param in commands[name].params for option in param.opts} | {"--help"}
        unknown = {word.split("=")[0] for word in words if word.startswith("--")} - options
        assert not unknown, f"{page}: {line}"


def test_links_of_the_front_pages_lead_somewhere() -> None:
    for page in ROOT.glob("*.md"):
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (ROOT / target).exists(), f"{page.name}: {target}"


if __name__ == "__main__":
    for name, render in PAGES.items():
        first, _, last = split_page((DOCS / name).read_text(encoding="utf-8"))
        (DOCS / name).write_text(first + render() + last, encoding="utf-8")
        sys.stdout.write(f"docs/{name}\n")
