"""The worked suite, end to end by the commands that docs/constitution.md shows, against the stub model over HTTP."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from core.settings import load_settings
from service.home import open_home
from tests.service.commands import ROOT, run
from tests.stub_model import MODEL, serve_stub


def test_documented_commands_give_the_before_and_after_table_and_the_gaps(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "constitution.md").read_text(encoding="utf-8")
    commands = [shlex.split(line)[1:] for line in re.findall(r"^weir .*$", page, re.MULTILINE)]
    assert [words[:2] for words in commands][-2:] == [["stress", "report"], ["constitution", "show"]]
    home = tmp_path / "home"
    home.mkdir()
    with serve_stub() as stub:
        critique = f'base_url = "{stub.address}"\nmodel = "{MODEL}"\nrequests_per_minute = 1000000\n'
        (home / "weir.toml").write_text(f"[critique]\n{critique}", encoding="utf-8")
        with open_home(load_settings(home)) as opened:
            outcomes = [run(*words, "--json", home=opened) for words in commands]
    assert [(outcome.status, outcome.err) for outcome in outcomes] == [(0, "")] * len(commands)
    report, coverage = (outcome.document for outcome in outcomes[-2:])
    total = report["rows"][-1]
    assert (total["principle_id"], total["prompts"], total["change"]["pairs"]) == ("all", 60, 60)
    assert (total["before"]["numerator"], total["after"]["numerator"]) == (46, 9)
    assert total["change"]["high"] < 0
    assert {(gap["kind"], gap["principle_id"]) for gap in report["gaps"]} == {
        ("principle still broken after revision", "F-6")
    }
    assert [(row["principle_id"], row["prompts"]) for row in coverage["principles"]] == [
        (f"F-{number}", 6) for number in range(1, 11)
    ]
