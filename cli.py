"""The command `weir`: one function per command, no logic. With a server on the home, commands run inside it.

Rooms are imported inside the commands: together they cost seconds, which a command that the server runs must not pay.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from functools import cache
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from core.errors import AppError, UsageError
from core.logs import configure_logs
from core.settings import describe, load_settings
from service import render
from service.alert_commands import alerts_app
from service.arguments import find_home_argument, get_operator
from service.audit_commands import audit_app
from service.backup_commands import back_up, restore
from service.calibration_commands import calibration_app, guidelines_app
from service.case_commands import cases_app
from service.change_commands import changes_app
from service.constitution_commands import constitution_app, stress_app
from service.erase_commands import erase_data
from service.export_commands import export_app
from service.golden_commands import golden_app
from service.incident_commands import incidents_app
from service.invocation import (
    FAILED,
    INVOCATION,
    OK,
    PARTLY,
    WRONG_USAGE,
    Invocation,
    emit,
    home_settings,
    named_paths,
    opened_home,
    progress,
    waiting,
)
from service.loop_commands import check_regressions, close_loop
from service.notify_commands import notify_app
from service.options import HomeOption, JsonOption, SeedOption
from service.proposal_commands import proposals_app
from service.quarantine_commands import quarantine_app
from service.ranking_commands import ranking_app
from service.remote import CommandResult, call, check_unserved, find_address, read_stdin
from service.report_command import print_report
from service.retention_commands import retain
from service.sample_command import draw_reviews
from service.tokens import print_token

if TYPE_CHECKING:
    from incidents.audit_log import Deed
    from service.home import Home

_INTERRUPTED = 130  # Typer's answer to Ctrl-C

app = typer.Typer(
    name="weir",
    help="See what flows over the safety filters, decide about what was flagged, train on the decisions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
labels_app = typer.Typer(help="Human verdicts.", no_args_is_help=True)
app.command("report")(print_report)
app.command("sample")(draw_reviews)
app.command("token")(print_token)
app.command("backup")(back_up)
app.command("restore")(restore)
app.command("retention")(retain)
app.command("erase")(erase_data)
app.command("loop")(close_loop)
app.command("regress")(check_regressions)
GROUPS = {
    "labels": labels_app,
    "quarantine": quarantine_app,
    "constitution": constitution_app,
    "stress": stress_app,
    "ranking": ranking_app,
    "alerts": alerts_app,
    "changes": changes_app,
    "golden": golden_app,
    "calibration": calibration_app,
    "guidelines": guidelines_app,
    "incidents": incidents_app,
    "notify": notify_app,
    "audit": audit_app,
    "proposals": proposals_app,
    "cases": cases_app,
    "export": export_app,
}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to bind.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Serves the dashboard, with scheduled ingest. Example: weir serve --port 8501"""
    from service.home import check_binding

    settings = home_settings(home)
    host, port = host or settings.serve.host, port or settings.serve.port
    check_binding(host, settings)
    check_unserved(settings.home)
    address = f"http://{host}:{port}"
    emit(
        as_json,
        {"address": address, "home": str(settings.home)},
        lambda out: print(f"Weir serves {settings.home} on {address}", file=out),
    )
    sys.stdout.flush()
    os.environ["WEIR_HOME"] = str(settings.home)
    script = Path(__file__).parent / "app.py"
    os.chdir(script.parent)  # Streamlit reads the theme of the folder that it starts in.
    arguments = ["-m", "streamlit", "run", str(script), "--server.address", host, "--server.port", str(port)]
    os.execv(sys.executable, [sys.executable, *arguments, "--server.headless", "true"])  # noqa: S606  our own interpreter


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, max=365, help="Days of traffic, ending now.")] = 30,
    seed: SeedOption = 0,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Fills a home with simulated traffic of a four-layer cascade, marked as demo data. Example: weir demo --days 30"""
    from ingest.demo.fill import fill_demo
    from metrics.report import plain

    with opened_home(home) as opened, progress("simulating") as advance:
        summary = fill_demo(
            opened.events,
            settings=opened.settings,
            days=days,
            seed=seed,
            on_progress=lambda path, done, size: advance(path.name, done / max(size, 1)),
        )
    document: Any = {**summary.ingest.to_json(), "facts": plain(summary.facts), "folder": str(summary.folder)}
    emit(as_json, document, lambda out: render.print_pairs(document, out))


@app.command()
def ingest(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.")],
    format_key: Annotated[
        str | None, typer.Option("--format", help="Log format; detected from content without it.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of the source (default: the format).")] = None,
    is_explained: Annotated[
        bool, typer.Option("--explain", help="Store nothing; show how each field of the first records is read.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Ingests logs once; records known already are not stored again. Example: weir ingest logs/ --source gateway; weir ingest new.jsonl --explain"""
    if is_explained:
        _explain(paths, format_key, home, as_json)
    else:
        _ingest(paths, format_key, source, home, as_json)


@labels_app.command("import")
def labels_import(
    paths: Annotated[list[str], typer.Argument(help="Files, folders, or - for standard input.")],
    source: Annotated[str | None, typer.Option(help="Name of the source.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Imports human verdicts (label_log). Example: weir labels import verdicts.jsonl"""
    _ingest(paths, "label_log", source, home, as_json, deed="labels.import")


@app.command()
def formats(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Lists the log formats, with what each yields. Example: weir formats"""
    from ingest.mapping import find_formats

    rows = [
        {"format": key, "title": entry.title, "yields": list(entry.yields), "description": entry.description}
        for key, entry in find_formats(home_settings(home)).items()
    ]
    emit(as_json, {"formats": rows}, lambda out: render.print_rows(rows, out))


@app.command()
def status(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Shows sources, lag, coverage, quarantine, jobs and store sizes. Example: weir status"""
    from service.status import build_status

    with opened_home(home) as opened:
        document = build_status(opened)

    def show(out: TextIO) -> None:
        days = [(row["source"], row.pop("last_day")) for row in document["sources"]]
        render.print_rows(document["sources"], out, title="sources")
        render.print_rows([{"source": name} | day for name, day in days if day], out, title="last day with turns")
        render.print_rows(document["filters"]["rows"], out, title="filters that were due in it")
        render.print_rows(document["jobs"], out, title="jobs")
        render.print_pairs(document["stores"]["events"], out)

    emit(as_json, document, show)


@app.command()
def config(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Prints the settings in force, secrets masked. Example: weir config"""
    document = describe(home_settings(home))
    emit(as_json, document, lambda out: render.print_settings(document, out))


def main() -> None:
    """The entry point: runs in the server of the home where there is one, else in this process."""
    configure_logs()
    arguments = sys.argv[1:]
    try:
        status = _forward(arguments) if _needs_home(arguments) else None
        sys.exit(_run(arguments, Invocation()) if status is None else status)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        sys.exit(FAILED)


def _needs_home(arguments: Sequence[str]) -> bool:
    words = [word for word in arguments if not word.startswith("-")]
    is_whole = bool(words) and words not in [[name] for name in GROUPS]
    return is_whole and words[0] not in ("serve", "config", "formats", "token", "restore") and "--help" not in arguments


def _forward(arguments: Sequence[str]) -> int | None:
    """Lets the server of the home run the command; returns the exit status, None where no server runs."""
    try:
        address = find_address(load_settings(find_home_argument(arguments)).home)
        if address is None:
            return None
        with waiting(arguments[0]):
            result = call(address, arguments, folder=Path.cwd(), stdin=read_stdin(arguments))
    except AppError as error:
        sys.stderr.write(f"{render.make_inert(error.sentence())}\n")
        return FAILED
    sys.stdout.write(result.stdout)
    sys.stderr.write(result.stderr)
    return result.status


def run_in_server(arguments: Sequence[str], folder: Path, stdin: bytes, home: Home) -> CommandResult:
    """Runs a command line in the process that owns `home`."""
    out, err = StringIO(), StringIO()
    status = _run(arguments, Invocation(folder, stdin, out, err, home))
    return CommandResult(status, out.getvalue(), err.getvalue())


@cache
def _build_command() -> Any:
    """The commands, parsed once: doing so again takes a server longer than most commands do."""
    return typer.main.get_command(app)


def _run(arguments: Sequence[str], invocation: Invocation) -> int:
    """The boundary for commands: every error becomes a sentence and an exit status."""
    token = INVOCATION.set(invocation)
    try:
        outcome = _build_command()(list(arguments), prog_name="weir", standalone_mode=False)
        if outcome == _INTERRUPTED:
            raise KeyboardInterrupt
        return outcome if isinstance(outcome, int) else OK
    except typer.TyperException as error:
        invocation.err.write(f"{render.make_inert(error.format_message())}\n")
        return WRONG_USAGE
    except AppError as error:
        invocation.err.write(f"{render.make_inert(error.sentence())}\n")
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except OSError as error:  # a folder that may not be written, a full disk
        invocation.err.write(f"{render.make_inert(str(error))}\n")
        return FAILED
    finally:
        INVOCATION.reset(token)


def _ingest(
    paths: list[str],
    format_key: str | None,
    source: str | None,
    home: Path | None,
    as_json: bool,
    *,
    deed: Deed | None = None,
) -> None:
    from core.clock import now
    from ingest.files import ingest_paths

    with (
        opened_home(home, is_bulk=True) as opened,
        named_paths(paths) as files,
        progress("reading") as advance,
    ):
        summary = ingest_paths(
            opened.events,
            files,
            settings=opened.settings,
            format_key=format_key,
            source=source,
            on_progress=lambda path, done, size: advance(path.name, done / max(size, 1)),
        )
        if deed is not None:
            from incidents.audit_log import note_deed

            counts = {"files": len(files), "stored": summary.labels, "rejected": summary.rejected}
            note_deed(opened.records, deed, source or "label_log", counts, actor=get_operator(), at=now())
    document = summary.to_json()
    emit(as_json, document, lambda out: render.print_pairs(document, out))
    raise typer.Exit(PARTLY if summary.rejected else OK)


def _explain(paths: list[str], format_key: str | None, home: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from ingest.explain import explain_file, list_fields

    with opened_home(home) as opened, named_paths(paths) as files:
        found = [explain_file(opened.events, path, settings=opened.settings, format_key=format_key) for path in files]
    emit(as_json, {"files": [asdict(item) for item in found]}, lambda out: render.print_rows(list_fields(found), out))
