"""Every command: its JSON document, its exit status, what it says when it cannot."""

from __future__ import annotations

import json
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

import cli
from metrics import REPORTS
from metrics.query import DIMENSIONS
from service.home import Home
from service.render import make_inert
from tests.service.commands import ROOT, SAMPLES, Terminal, run, sample_counts

INGEST = {"files", "read", "stored", "duplicates", "ignored", "rejected", "rejections", "seconds"}
COVERAGE = {"turns", "checks", "errors", "not_run", "orphans", "rejected", "evaluated_share", "due", "ran", "ran_share"}
RATE = {"estimate", "low", "high", "numerator", "denominator", "method"}
# The contract's rows; a report may hold more.
ROWS = {
    "triggers": {"evaluated", "triggered", "errors", "not_run", "trigger_rate"},
    "coverage": {"filter_name", "due", "ran", "missed", "coverage"},
    "errors": {
        *("reviewed", "tp", "fp", "fn", "tn", "agreement", "wrong_block_share", "benign_blocked_rate"),
        *("missed_harm_rate", "precision", "recall", "f1", "average_precision"),
    },
    "prevalence": {"harm_prevalence", "reached_user_prevalence", "reviewed"},
    "escalations": {"turns", "escalated", "escalation_rate", "median_ack_s", "median_decide_s"},
    "outcomes": {"outcome", "turns", "share"},
    "funnel": {"layer", "reached", "triggered", "stopped", "unique_catches"},
    "overlap": {"first", "second", "evaluated", "first_triggered", "second_triggered", "both", "overlap"},
    "layers": {"layer", "turns", "added_p50_ms", "added_p95_ms", "failed", "failed_open", "failed_closed"},
    "latency": {"p50_ms", "p95_ms", "p99_ms", "errors"},
    "thresholds": {"threshold", "triggers", "precision", "recall", "benign_blocked_rate", "unknown"},
    "frontier": {"point", "filter_name", "threshold", "arm", "benign_blocked_rate", "missed_harm_rate", "on_frontier"},
    "shadow": {
        *("reference", "candidate", "pairs", "both", "only_reference", "only_candidate", "neither", "p_value"),
        *("difference", "cohen_kappa", "verdict", "unpaired"),
    },
    "drift": {"filter_name", "reference", "candidate", "psi", "wasserstein"},
    "changes": {"at", "what", "filter_name", "name", "from", "to", "rate_before", "rate_after", "difference"},
    "experiment": {"turns", "intervention_rate", "difference", "sequential_low", "sequential_high", "srm_p_value"},
    "agreement": {
        *("items", "raters", "percent_agreement", "krippendorff_alpha", "gwet_ac1", "cohen_kappa", "by_reviewer"),
        *(
            "gwet_ac1_low",
            "gwet_ac1_high",
            "cohen_kappa_low",
            "cohen_kappa_high",
            "pairwise_kappa",
            "by_value",
            "by_pair",
        ),
    },
    "appeals": {"appealed", "decided", "upheld", "overturned", "overturn_rate"},
    "transparency": {
        *("category", "turns", "automated_actions", "human_actions", "wrong_block_share", "user_reports", "appeals"),
        *("appeals_upheld", "appeals_overturned", "missed_harm_rate", "median_handling_s", "prevalence"),
    },
}
# What a report must be told before it has rows to show; the sample logs know no experiment.
ARGUMENTS = {
    "thresholds": ("--filter", "filter_name=tox-clf"),
    "shadow": ("--pair", "word-list", "tox-clf"),
}
NOT_SAMPLED = {"experiment"}
RATES = {
    *("trigger_rate", "agreement", "wrong_block_share", "benign_blocked_rate", "missed_harm_rate", "precision"),
    *("recall", "harm_prevalence", "reached_user_prevalence", "escalation_rate", "share", "overlap"),
}
ESCAPES = "\x1b]0;owned\x07\x1b[2J"
BIDI = "\u202egpj.exe\u2066"


def leaves(command: Any, words: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command with the words that call it."""
    for name, child in getattr(command, "commands", {"": None}).items():
        if child is None:
            yield words, command
        else:
            yield from leaves(child, (*words, name))


COMMANDS = dict(leaves(typer.main.get_command(cli.app)))


def is_inert(text: str) -> bool:
    return not any(unicodedata.category(char) in ("Cc", "Cf", "Cs") for char in text if char != "\n")


def write_lines(path: Path, *records: dict[str, object] | str) -> Path:
    lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def check_row(number: int, **facts: object) -> dict[str, object]:
    moment = f"2026-03-02T09:00:{number:02d}Z"
    return {"ts": moment, "request_id": f"r{number}", "filter_name": "f", "triggered": False, **facts}


def count_turns(home: Home) -> int:
    count: int = home.events.read("SELECT count(*) FROM turns").item()
    return count


# Documents


def test_ingest__counts_every_record_once(home: Home) -> None:
    counts = sample_counts()
    first = run("ingest", "sample_logs", "--json", home=home)
    assert (first.status, first.err) == (0, "")
    assert set(first.document) == INGEST
    assert (first.document["files"], first.document["read"]) == (counts["files"], counts["records"])
    assert first.document["stored"]["checks"] == counts["checks"]
    assert first.document["stored"]["labels"] == counts["labels"]
    again = run("ingest", "sample_logs", "--json", home=home)
    assert again.status == 0
    assert again.document["duplicates"] + again.document["ignored"] == counts["records"]
    assert again.document["stored"] == {"turns": 0, "checks": 0, "labels": 0}


def test_ingest__rejected_records_give_status_3(home: Home, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "f.jsonl", check_row(1), "no json", check_row(2, triggered="perhaps"), check_row(3))
    outcome = run("ingest", str(path), "--source", "gateway", "--json", home=home)
    assert outcome.status == 3
    assert outcome.document["rejected"] == 2
    assert sum(outcome.document["rejections"].values()) == 2
    assert outcome.document["stored"]["checks"] == 2
    sources = run("status", "--json", home=home).document["sources"]
    assert [(row["source"], row["checks"], row["rejected"]) for row in sources] == [("gateway", 2, 2)]


def test_ingest__standard_input(home: Home) -> None:
    records = "\n".join(json.dumps(check_row(number)) for number in range(5)).encode()
    outcome = run("ingest", "-", "--json", home=home, stdin=records)
    assert outcome.status == 0
    assert outcome.document["stored"]["checks"] == 5


def test_labels_import__same_document_as_ingest(home: Home) -> None:
    outcome = run("labels", "import", "sample_logs/label_log.jsonl", "--json", home=home)
    assert outcome.status == 0
    assert set(outcome.document) == INGEST
    assert outcome.document["stored"] == {"turns": 0, "checks": 0, "labels": 29}


def test_labels_import__another_log_is_rejected_not_guessed(home: Home) -> None:
    outcome = run("labels", "import", "sample_logs/model_log.jsonl", "--json", home=home)
    assert outcome.status == 3
    assert outcome.document["rejected"] == 34


def test_formats__says_what_each_yields() -> None:
    rows = run("formats", "--json").document["formats"]
    assert {row["format"]: row["yields"] for row in rows}["filter_log"] == ["checks", "check_scores"]
    assert {row["format"] for row in rows} == {path.name.split(".")[0] for path in SAMPLES.iterdir()} - {"README"}


def test_every_report_of_the_contract_that_exists_is_checked_here() -> None:
    assert set(ROWS) == set(REPORTS)


@pytest.mark.parametrize("name", ROWS)
def test_report__document_of_the_contract(library: Home, name: str) -> None:
    outcome = run("report", name, "--by", "model", *ARGUMENTS.get(name, ()), "--json", home=library)
    assert (outcome.status, outcome.err) == (0, "")
    document = outcome.document
    assert list(document) == ["report", "generated_at", "window", "rows", "coverage", "notes"]
    assert document["report"] == name
    assert document["generated_at"].endswith("Z")
    assert document["window"] == {"since": None, "until": None}
    assert set(document["coverage"]) == COVERAGE
    assert document["coverage"]["turns"] == count_turns(library)
    assert bool(document["rows"]) == (name not in NOT_SAMPLED)
    for row in document["rows"]:
        assert next(iter(row)) == "model"
        assert row.keys() >= ROWS[name]
        assert all(row[rate].keys() >= RATE for rate in RATES & row.keys())


def test_report__window_and_filters_narrow_it(library: Home) -> None:
    window = ("--since", "2026-03-02T11:00Z", "--until", "2026-03-02T13:00:00+00:00")
    arguments = ("report", "triggers", "--filter", "filter_name=word-list", "--filter", "filter_name=tox-clf", *window)
    document = run(*arguments, "--by", "filter_name", "--by", "hour", "--json", home=library).document
    assert document["window"] == {"since": "2026-03-02T11:00:00Z", "until": "2026-03-02T13:00:00Z"}
    assert {row["filter_name"] for row in document["rows"]} == {"word-list", "tox-clf"}
    assert {row["hour"] for row in document["rows"]} == {"2026-03-02T11:00:00Z", "2026-03-02T12:00:00Z"}
    whole = run("report", "triggers", "--by", "filter_name", "--json", home=library).document
    seen = {row["filter_name"]: row["evaluated"] for row in whole["rows"]}
    assert sum(row["evaluated"] for row in document["rows"]) < seen["word-list"] + seen["tox-clf"]


def test_status__document_of_the_contract(library: Home) -> None:
    document = run("status", "--json", home=library).document
    assert list(document) == ["sources", "filters", "jobs", "stores"]
    for row in document["sources"]:
        assert set(row) == {
            *("source", "format", "last_event_at", "lag_s", "checks", "errors", "rejected", "evaluated_share"),
            *("last_error", "last_day"),
        }
        assert row["lag_s"] > 0
        assert row["last_day"] is None or set(row["last_day"]["join_rate"]) >= RATE
    assert {row["filter_name"] for row in document["filters"]["rows"]} >= {"word-list"}
    assert all(row["ran"] <= row["due"] for row in document["filters"]["rows"])
    assert {row["source"]: row["checks"] for row in document["sources"]}["llama_guard"] == 28
    assert document["stores"]["events"]["rows"]["turns"] == count_turns(library)


def test_sample__draws_and_says_how(samples: Home) -> None:
    document = run("sample", "--n", "24", "--seed", "3", "--json", home=samples).document
    assert document["population"] == count_turns(samples)
    assert document["drawn"] == 24
    assert sum(stratum["population"] for stratum in document["strata"]) == count_turns(samples)
    assert sum(stratum["drawn"] for stratum in document["strata"]) == 24
    for stratum in document["strata"]:
        # Turns of the label log's own sample lend theirs.
        assert stratum["drawn"] / stratum["population"] <= stratum["inclusion_probability"] <= 1


def test_sample__plans_without_drawing(samples: Home) -> None:
    arguments = ("sample", "--n", "24", "--target", "wrong_block_share", "--json")
    plan = run(*arguments, "--dry-run", home=samples).document
    assert (plan["sample_id"], plan["opened"], plan["target"]) == (None, 0, "wrong_block_share")
    assert {rate["measure"] for rate in plan["expected"]} >= {"wrong_block_share", "harm_prevalence"}
    for rate in plan["expected"]:
        assert 0 <= rate["low"] <= rate["estimate"] <= rate["high"] <= 1
    drawn = run(*arguments, home=samples).document
    assert drawn["sample_id"] == "s1"
    assert drawn["strata"] == plan["strata"]
    assert run("sample", "--n", "24", "--target", "f1", home=samples).status == 2


def test_export_then_verify(samples: Home, tmp_path: Path) -> None:
    outcome = run(
        "export", "classifier", "--out", "set", "--split", "train=0.5,test=0.5", "--json", home=samples, folder=tmp_path
    )
    document = outcome.document
    assert outcome.status == (3 if any(document["refused"].values()) else 0)
    assert document["rows"] == sum(
        len((tmp_path / "set" / f"{split}.jsonl").read_text().splitlines()) for split in ("train", "test")
    )
    assert Path(document["manifest"]) == tmp_path / "set" / "manifest.json"
    assert {Path(path).name for path in document["files"]} == {path.name for path in (tmp_path / "set").iterdir()}
    intact = run("export", "verify", "set", "--json", home=samples, folder=tmp_path)
    assert (intact.status, intact.document["is_intact"], intact.document["has_drifted"]) == (0, True, False)
    with (tmp_path / "set" / "train.jsonl").open("a") as file:
        file.write("{}\n")
    changed = run("export", "verify", "set", "--json", home=samples, folder=tmp_path)
    assert (changed.status, changed.document["is_intact"]) == (1, False)


def test_export__refused_rows_give_status_3(samples: Home, tmp_path: Path) -> None:
    outcome = run("export", "trl-preference", "--out", str(tmp_path / "set"), "--json", home=samples)
    assert outcome.status == 3
    assert sum(outcome.document["refused"].values()) > 0


def test_quarantine__list_show_retry(home: Home, tmp_path: Path) -> None:
    path = write_lines(tmp_path / "f.jsonl", check_row(1), check_row(2, ts="yesterday"))
    run("ingest", str(path), home=home)
    (reject,) = run("quarantine", "list", "--json", home=home).document["rejects"]
    assert (reject["file"], reject["line_no"], reject["reason"]) == ("f.jsonl", 2, "invalid_time")
    shown = run("quarantine", "show", reject["reject_id"][:8], "--json", home=home)
    assert json.loads(shown.document["record"])["ts"] == "yesterday"
    still = run("quarantine", "retry", "--json", home=home)
    assert (still.status, still.document["rejected"]) == (3, 1)
    assert set(still.document) == INGEST


def test_demo__loads_once_and_says_the_truth(tmp_path: Path) -> None:
    arguments = ("demo", "--days", "1", "--home", str(tmp_path / "home"), "--json")
    document = run(*arguments).document
    assert set(document) > INGEST
    assert document["stored"]["turns"] == document["facts"]["turns"] > 1000
    assert document["rejected"] == 0
    again = run(*arguments)
    assert (again.status, again.out) == (1, "")
    assert again.err.count("\n") == 1


def test_config__secrets_masked_and_the_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weir.toml").write_text("[serve]\nport = 9000\n[statistics]\nmin_sample = 7\n")
    monkeypatch.setenv("WEIR_INTAKE_TOKEN", "hunter2hunter2")
    monkeypatch.setenv("WEIR_SERVE__PORT", "9001")
    outcome = run("config", "--home", str(tmp_path), "--json")
    assert outcome.document["serve"]["port"] == 9001
    assert outcome.document["statistics"]["min_sample"] == 7
    shown = run("config", "--home", str(tmp_path))
    assert "serve.port" in shown.out
    assert "hunter2" not in shown.out + outcome.out


# Failures


@pytest.mark.parametrize(
    ("arguments", "status", "named"),
    [
        (("nosuch",), 2, "nosuch"),
        (("report",), 2, "name"),
        (("report", "triggers", "--nosuch"), 2, "--nosuch"),
        (("report", "nosuch"), 2, ", ".join(ROWS)),
        (("report", "triggers", "--by", "nosuch"), 2, "filter_version, layer"),
        (("report", "triggers", "--filter", "nosuch=1"), 2, ", ".join(DIMENSIONS)),
        (("report", "triggers", "--filter", "blocklist"), 2, "dimension=value"),
        (("report", "triggers", "--since", "soon"), 2, "ISO 8601"),
        (("report", "triggers", "--since", "2026-03-03", "--until", "2026-03-02"), 2, "window is empty"),
        (("ingest",), 2, "paths"),
        (("ingest", "nowhere.jsonl"), 1, "nowhere.jsonl"),
        (("ingest", "sample_logs/label_log.jsonl", "--format", "nosuch"), 2, "filter_log, model_log"),
        (("ingest", "LICENSE"), 1, "LICENSE"),
        (("labels", "import", "nowhere.jsonl"), 1, "nowhere.jsonl"),
        (("sample", "--n", "0"), 2, "--n"),
        (("sample",), 2, "--n"),
        (("demo", "--days", "many"), 2, "--days"),
        (("export", "trl-kto"), 2, "--out"),
        (("export", "nosuch", "--out", "set"), 2, "trl-kto"),
        (("export", "trl-kto", "--out", "set", "--split", "half"), 2, "train=0.8"),
        (("export", "verify"), 2, "folder"),
        (("export", "verify", "nowhere"), 1, "nowhere"),
        (("quarantine", "show", "ffff"), 1, "quarantine list"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_failure__one_sentence_and_its_status(
    library: Home, tmp_path: Path, arguments: tuple[str, ...], status: int, named: str
) -> None:
    folder = ROOT if arguments[0] == "ingest" else tmp_path
    outcome = run(*arguments, home=library, folder=folder)
    assert (outcome.status, outcome.out) == (status, "")
    assert outcome.err.count("\n") == 1
    assert named in outcome.err
    assert "Traceback" not in outcome.err


def test_failure__a_folder_that_may_not_be_written(library: Home) -> None:
    outcome = run("export", "classifier", "--out", "/proc/nowhere/set", home=library)
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[ingest]\ninterval = 5\n", ("ingest.interval", "valid")),
        ("[statistics]\nconfidence = 2\n", ("statistics.confidence", "less than 1")),
        ("colour = 'red'\n", ("colour", "intake_token")),
        ("home = '/elsewhere'\n", ("home", "WEIR_HOME")),
        ("[ingest\n", ("weir.toml",)),
    ],
)
def test_failure__setting_of_the_file(tmp_path: Path, text: str, named: tuple[str, ...]) -> None:
    (tmp_path / "weir.toml").write_text(text)
    outcome = run("status", "--home", str(tmp_path))
    assert (outcome.status, outcome.out) == (1, "")
    assert outcome.err.count("\n") == 1
    assert all(word.lower() in outcome.err.lower() for word in named)


def test_failure__setting_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEIR_INTAKE_TOKN", "x")
    outcome = run("status", "--home", str(tmp_path))
    assert outcome.status == 1
    assert "WEIR_INTAKE_TOKN" in outcome.err
    assert "WEIR_INTAKE_TOKEN" in outcome.err


def test_serve__refuses_to_listen_abroad_without_a_token(tmp_path: Path) -> None:
    outcome = run("serve", "--host", "0.0.0.0", "--home", str(tmp_path))
    assert (outcome.status, outcome.out) == (1, "")
    assert "WEIR_INTAKE_TOKEN" in outcome.err


# Help, progress, hostile text, import time


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help__has_an_example_and_json(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*words, "--help").status == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"Example: weir {' '.join(words)}" in said
    assert "--json" in said
    assert "--home" in said


def test_progress__on_a_terminal_only(home: Home) -> None:
    assert run("ingest", "sample_logs/filter_log.csv", home=home).err == ""
    assert "filter_log" in run("ingest", "sample_logs/filter_log.jsonl", home=home, err=Terminal()).err


def test_logged_text_is_inert(home: Home, tmp_path: Path) -> None:
    name = f"f{ESCAPES}{BIDI}"
    rows = (check_row(1, filter_name=name), check_row(2, filter_name=name, ts=ESCAPES), check_row(3, ts=BIDI))
    path = write_lines(tmp_path / f"{ESCAPES.replace('/', '')}.jsonl", *rows)
    outcome = run("ingest", str(path), "--source", f"s{ESCAPES}", home=home, err=Terminal())
    assert outcome.status == 3
    reject = run("quarantine", "list", "--json", home=home).document["rejects"][0]["reject_id"]
    for arguments in (
        ("report", "triggers", "--by", "filter_name"),
        ("report", "triggers", "--by", "filter_name", "--json"),
        ("status",),
        ("status", "--json"),
        ("quarantine", "list"),
        ("quarantine", "show", reject),
        ("quarantine", "show", reject, "--json"),
        ("ingest", f"nowhere{ESCAPES}{BIDI}"),
        ("report", f"nosuch{ESCAPES}"),
        ("report", "triggers", "--filter", f"{ESCAPES}=1"),
        (f"nosuch{ESCAPES}",),
    ):
        shown = run(*arguments, home=home)
        assert is_inert(shown.out), arguments
        assert is_inert(shown.err), arguments
    assert "\\u001b" in run("report", "triggers", "--by", "filter_name", home=home).out


@given(st.text())
def test_make_inert__changes_control_and_format_characters_only(text: str) -> None:
    shown = make_inert(text)
    assert is_inert(shown)
    if is_inert(text):
        assert shown == text


def test_a_forwarded_command_imports_no_engine() -> None:
    heavy = ("polars", "duckdb", "ibis", "pyarrow", "numpy", "sqlmodel", "streamlit")
    code = f"import cli, sys; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
