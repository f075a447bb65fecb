"""`weir audit`: the log as rows, and a status that tells whether it is whole."""

from __future__ import annotations

import sqlalchemy as sa

from incidents.audit_log import HEADS
from service.home import Home
from service.jobs import build_jobs
from tests.service.commands import run


def test_verify_has_status_1_once_an_entry_was_deleted_and_list_filters(home: Home) -> None:
    run("incidents", "open", "--title", "t", home=home)
    run("incidents", "note", "1", "x", home=home)
    jobs = {job.key: job.run for job in build_jobs(home)}
    assert jobs["audit"]() == "head of the audit log noted"
    assert jobs["audit"]() == ""
    assert (home.settings.home / HEADS).read_text().count("\n") == 1
    whole = run("audit", "verify", "--json", home=home)
    assert whole.status == 0
    assert whole.document == {
        "entries": 2,
        "head": whole.document["head"],
        "heads": 1,
        "broken": None,
        "is_whole": True,
    }
    rows = run("audit", "list", "--action", "incident.note", "--json", home=home).document["entries"]
    assert [(row["seq"], row["subject"]) for row in rows] == [(2, "1")]
    with home.records.session() as session:
        session.connection().execute(sa.text("DELETE FROM audit WHERE seq = 2"))
        session.connection().execute(sa.text("UPDATE progress SET position = 1 WHERE name = 'audit'"))
    broken = run("audit", "verify", "--json", home=home)
    assert broken.status == 1
    assert broken.document["broken"] == {
        "seq": 2,
        "what": "Entry 2 is missing: its digest was noted outside the store.",
    }
