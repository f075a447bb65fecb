"""A power cut at any moment of an ingest or of a compaction: nothing is lost, nothing is doubled."""

from __future__ import annotations

import multiprocessing
import random
from datetime import datetime
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from core.events import EventStore
from core.settings import Settings
from ingest.inbox import Inbox
from ingest.schema import create_tables
from tests.ingest.kill_worker import LIVE_ROWS, compact, count_rows, home_settings, ingest_inbox, let_age, retain
from tests.ingest.logs import make_check, make_turn, read_store, to_jsonl
from tests.soak import repeats

ROUNDS = repeats(8)
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([ingest_inbox.__module__])


class PowerCut:
    """Kills workers at random moments of their work, whose length on this machine it learns from those that were done before.

    Args:
        seed: Of the moments.
        longest_s: The latest moment at first, in seconds.
    """

    def __init__(self, seed: int, *, longest_s: float) -> None:
        self._chance = random.Random(seed)
        self._longest_s = longest_s
        self.interrupted = 0

    def strike(self, worker: BaseProcess, progress: Connection) -> None:
        """Waits a moment, unless the worker says before that it is done, and kills it."""
        if progress.poll(self._chance.uniform(0.0, self._longest_s)):
            self._longest_s /= 2
        else:
            self._longest_s *= 1.3
            self.interrupted += 1
        worker.kill()
        worker.join()


def test_kill_at_random_points__same_store_as_an_undisturbed_one(tmp_path: Path) -> None:
    cut = PowerCut(7, longest_s=0.25)
    home = tmp_path / "home"
    inbox = home / "inbox"
    inbox.mkdir(parents=True)
    records, turns = 0, 0
    checks_log, turns_log = inbox / "checks.jsonl", inbox / "turns.jsonl"
    for round_number in range(ROUNDS):
        with checks_log.open("ab") as file:
            file.write(to_jsonl([make_check(records + number, content="x" * 500) for number in range(400)]))
            records += 400
            if round_number % 10 == 0:
                file.write(b"broken line %d\n" % round_number)
        with turns_log.open("ab") as file:
            file.write(to_jsonl([make_turn(turns + number) for number in range(200)]))
            turns += 200
        progress, other_end = PROCESSES.Pipe()
        worker = PROCESSES.Process(target=ingest_inbox, args=(home, other_end), daemon=True)
        worker.start()
        other_end.close()
        checks, evaluated, known, counted = progress.recv()
        assert (checks, known) == (evaluated, counted)
        assert checks <= records - 400
        cut.strike(worker, progress)
    assert cut.interrupted > ROUNDS / 5

    settings = Settings().model_copy(update={"home": home})
    survivor = EventStore(settings.events_path)
    Inbox(settings.inbox).ingest_new(survivor, settings=settings)
    undisturbed = EventStore(tmp_path / "undisturbed.duckdb")
    create_tables(undisturbed)
    Inbox(settings.inbox).ingest_new(undisturbed, settings=settings)
    assert survivor.read("SELECT count(*) FROM checks").item() == records
    assert survivor.read("SELECT count(*) FROM quarantine").item() == -(-ROUNDS // 10)
    assert read_store(survivor) == read_store(undisturbed)
    survivor.close()
    undisturbed.close()


def test_kill_during_compaction__every_sum_stays(tmp_path: Path) -> None:
    cut = PowerCut(11, longest_s=0.05)
    home = tmp_path / "home"
    (home / "inbox").mkdir(parents=True)
    for number in range(ROUNDS):
        progress, other_end = PROCESSES.Pipe()
        worker = PROCESSES.Process(target=compact, args=(home, number, other_end), daemon=True)
        worker.start()
        other_end.close()
        stored = (number + 1) * LIVE_ROWS
        assert progress.recv() == (stored, stored, stored // 2, stored // 2)
        cut.strike(worker, progress)
    assert cut.interrupted > ROUNDS / 5
    survivor = EventStore(home / "events.duckdb")
    stored = ROUNDS * LIVE_ROWS
    assert count_rows(survivor) == (stored, stored, stored // 2, stored // 2)
    survivor.close()


def test_kill_during_retention__a_day_goes_whole_and_its_figures_stay(tmp_path: Path) -> None:
    cut = PowerCut(17, longest_s=0.05)
    home = tmp_path / "home"
    home.mkdir()
    for number in range(ROUNDS):
        progress, other_end = PROCESSES.Pipe()
        worker = PROCESSES.Process(target=retain, args=(home, number, other_end), daemon=True)
        worker.start()
        other_end.close()
        checks, evaluated, turns, counted = progress.recv()
        assert (evaluated, counted) == (number * LIVE_ROWS, number * LIVE_ROWS // 2)
        assert (checks % LIVE_ROWS, turns) == (0, checks // 2)
        assert progress.recv() == "stored"
        cut.strike(worker, progress)
    assert cut.interrupted > ROUNDS / 5
    survivor = EventStore(home / "events.duckdb")
    let_age(survivor, home_settings(home), at=datetime(2027, 1, 1))
    assert count_rows(survivor) == (0, ROUNDS * LIVE_ROWS, 0, ROUNDS * LIVE_ROWS // 2)
    survivor.close()


@pytest.mark.parametrize("table", ["checks", "check_rollup", "turns", "checkpoints", "ingests"])
def test_failure_while_storing__leaves_nothing_behind(table: str, events: EventStore, settings: Settings) -> None:
    settings.inbox.mkdir()
    (settings.inbox / "a.jsonl").write_bytes(to_jsonl([make_check(number) for number in range(5)]))
    events.write(lambda connection: connection.execute(f"ALTER TABLE {table} RENAME TO hidden"))
    inbox = Inbox(settings.inbox)
    with pytest.raises(Exception, match=table):
        inbox.ingest_new(events, settings=settings)
    events.write(lambda connection: connection.execute(f"ALTER TABLE hidden RENAME TO {table}"))
    for name in ("checks", "turns", "check_rollup", "turn_rollup", "ingests", "checkpoints"):
        assert events.read(f"SELECT count(*) FROM {name}").item() == 0, name
    # The same inbox tries again, though the file did not change.
    assert inbox.ingest_new(events, settings=settings).checks == 5
