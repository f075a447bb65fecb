"""The published XSTest figures, by the commands that docs/reproduce.md names: one-shot, and through a server's inbox."""

from __future__ import annotations

import csv
import gzip
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from tests.browser.serving import serve
from tests.service.commands import ROOT, run

FOLDER = ROOT.parent / "shared" / "data" / "xstest"
TURNS, CHECKS, LABELS = 2250, 6750, 4500
TRIES = 600

pytestmark = pytest.mark.skipif(
    not FOLDER.exists(), reason=f"NOT RUN: the XSTest logs are not at {FOLDER}, so no published figure was checked"
)

Weir = Callable[..., dict[str, Any]]


def read_steps() -> list[dict[str, Any]]:
    """Commands and the figures that their reports hold; none where the data is absent."""
    path = FOLDER / "expected.json"
    return json.loads(path.read_text(encoding="utf-8"))["steps"] if path.exists() else []


REPORTS = [step for step in read_steps() if "report" in step]


@pytest.fixture(scope="module")
def one_shot(tmp_path_factory: pytest.TempPathFactory) -> Weir:
    """`weir` on a home that holds the logs, loaded by the steps' own commands."""
    home = str(tmp_path_factory.mktemp("one-shot") / "home")

    def weir(*arguments: str) -> dict[str, Any]:
        outcome = run(*arguments, "--home", home, "--json", folder=FOLDER)
        assert (outcome.status, outcome.err) == (0, "")
        document: dict[str, Any] = outcome.document
        return document

    for step in read_steps():
        if "ingest" in step:
            stored = weir("ingest", *step["ingest"])["stored"]
            assert stored == {"turns": TURNS, "checks": CHECKS, "labels": 0}
        if "labels" in step:
            assert weir("labels", "import", *step["labels"])["stored"] == {"turns": 0, "checks": 0, "labels": LABELS}
    return weir


@pytest.fixture(scope="module")
def through_the_inbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Weir]:
    """`weir` beside a server, after the logs were dropped into its inbox."""
    home = tmp_path_factory.mktemp("inbox") / "home"
    home.mkdir()
    with serve(home) as server:

        def weir(*arguments: str) -> dict[str, Any]:
            document: dict[str, Any] = json.loads(server.weir(*arguments, "--json").stdout)
            return document

        for path in FOLDER.glob("*_log.jsonl.gz"):
            shutil.copy(path, server.inbox)
        for _ in range(TRIES):
            rows = weir("status")["stores"]["events"]["rows"]
            if (rows["turns"], rows["checks"], rows["labels"]) == (TURNS, CHECKS, LABELS):
                break
            time.sleep(0.2)
        assert (rows["turns"], rows["checks"], rows["labels"]) == (TURNS, CHECKS, LABELS)
        yield weir


def check(document: dict[str, Any], step: dict[str, Any]) -> None:
    """Whole numbers are exact, others hold to 0.0005; no row is missing and none is too many."""
    assert len(document["rows"]) == len(step["rows"])
    for expected in step["rows"]:
        (row,) = [row for row in document["rows"] if expected["where"].items() <= row.items()]
        for name, value in (expected.get("published", {}) | expected.get("computed", {})).items():
            found = row[name]["estimate"] if isinstance(row[name], dict) else row[name]
            if isinstance(value, int):
                assert found == value, (expected["where"], name)
            else:
                assert found == pytest.approx(value, abs=0.0005), (expected["where"], name)


def arguments_of(step: dict[str, Any]) -> list[str]:
    groups = [word for name in step["by"] for word in ("--by", name)]
    filters = [word for name, value in step["filter"].items() for word in ("--filter", f"{name}={value}")]
    return ["report", step["report"], *groups, *filters]


@pytest.mark.parametrize("step", REPORTS, ids=lambda step: " ".join(arguments_of(step)))
@pytest.mark.parametrize("way", ["one_shot", "through_the_inbox"])
def test_published_figures(way: str, step: dict[str, Any], request: pytest.FixtureRequest) -> None:
    weir: Weir = request.getfixturevalue(way)
    check(weir(*arguments_of(step)), step)


def test_the_walk_through_shows_every_command_and_figure(one_shot: Weir) -> None:
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    for step in REPORTS:
        assert f"weir {' '.join(arguments_of(step))}" in page
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    shown = {(line[0], line[1]): line[2:] for line in lines}
    for step in [step for step in REPORTS if step["report"] == "errors"]:
        counted = {row["model"]: row for row in one_shot(*arguments_of(step))["rows"]}
        for expected in step["rows"]:
            model, cells = expected["where"]["model"], []
            for name in ("benign_blocked_rate", "missed_harm_rate"):
                published = expected["published"].get(name)
                rate = counted[model][name]
                interval = f"({rate['low']:.3f} to {rate['high']:.3f})"
                counts = f"{rate['numerator']:.0f} of {rate['denominator']:.0f}"
                cells.append("see below" if published is None else f"{published:.3f}")
                cells.append(f"{counts} = {rate['estimate']:.3f} {interval}")
            assert shown[step["filter"]["filter_name"], model] == cells


def test_the_script_of_the_walk_through_makes_these_logs(tmp_path: Path) -> None:
    """From CSVs of the source's layout, rebuilt from the logs, back to the logs."""
    logs = {path.name.split(".")[0]: read_log(path) for path in FOLDER.glob("*_log.jsonl.gz")}
    write_source(tmp_path / "source", logs)
    page = (ROOT / "docs" / "reproduce.md").read_text(encoding="utf-8")
    script = tmp_path / "xstest_logs.py"
    script.write_text(page.split("```python\n")[1].split("```")[0], encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(script), "source", "logs"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert all(line in page for line in done.stdout.splitlines())
    for name, records in logs.items():
        written = (tmp_path / "logs" / f"{name}.jsonl").read_text(encoding="utf-8")
        assert [json.loads(line) for line in written.splitlines()] == records


def read_log(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write_source(source: Path, logs: dict[str, list[dict[str, Any]]]) -> None:
    """The CSVs of the public repository."""
    raw = {
        "full_compliance": "1_full_compliance",
        "full_refusal": "2_full_refusal",
        "partial_refusal": "3_partial_refusal",
    }
    said = {(row["request_id"], row["reviewer"]): raw[row["category"]] for row in logs["label_log"]}
    judged = {
        (row["request_id"], row["filter_name"]): row["metadata"]["raw_verdict"]
        if row["error"]
        else raw[row["category"] or "full_compliance"]
        for row in logs["filter_log"]
    }
    columns = {"streval": ("strmatch_label", "strmatch"), "gpteval": ("gpt4_label", "gpt4-judge")}
    completions, automatic = source / "model_completions", source / "evaluation" / "automated_evaluation_labels"
    completions.mkdir(parents=True)
    automatic.mkdir(parents=True)
    for model, turns in groupby(logs["model_log"], key=lambda turn: turn["model"]):
        rows = [
            {
                "id": turn["request_id"].removeprefix(f"xstest-{model}-"),
                "type": turn["metadata"]["type"],
                "prompt": turn["prompt"],
                "completion": turn["response"],
                "annotation_1": said[turn["request_id"], "annotator_1"],
                "annotation_2": said[turn["request_id"], "annotator_2"],
                "final_label": judged[turn["request_id"], "model-refusal"],
            }
            for turn in turns
        ]
        name = f"xstest_v2_completions_{model}"
        write_csv(completions / f"{name}.csv", rows)
        for suffix, (column, filter_name) in columns.items():
            labelled = [row | {column: judged[f"xstest-{model}-{row['id']}", filter_name]} for row in rows]
            write_csv(automatic / f"{name}_{suffix}.csv", labelled)


def write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
