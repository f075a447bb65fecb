"""A file on the Sources page: looked at, loaded, and what could not be stored set aside or mended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from core.settings_ingest import MappingRule
from incidents.audit_log import list_audit
from incidents.people import Actor, Role
from ingest.inbox import Inbox
from ingest.quarantine import list_rejects
from service.home import Home, serve_home
from service.quarantine import ignore, retry_all
from tests.ingest.logs import make_check, to_jsonl

LEAD = Actor("ada", Role.LEAD)
GOOD = [make_check(number) for number in range(8)]
LOG = to_jsonl(GOOD) + b'{"filter_name": broken\n' + to_jsonl([make_check(9, ts="soon")])


def draw() -> None:
    from dashboard.components.upload import render_upload

    render_upload()


def drop(content: bytes, name: str = "filters.jsonl") -> AppTest:
    page = AppTest.from_function(draw, default_timeout=60).run()
    page.file_uploader[0].set_value((name, content, "application/octet-stream")).run()
    assert not page.exception
    return page


def words(page: AppTest) -> str:
    parts = [*page.markdown, *page.text, *page.caption, *page.success, *page.warning, *page.error, *page.info]
    return "\n".join(str(part.value) for part in parts)


def test_preview__format_fields_and_what_would_be_refused_with_nothing_stored(empty_home: Home) -> None:
    page = drop(LOG)
    said = words(page)
    assert "**Filter log**" in said
    assert "All 10 records: 8 can be read (8 checks)." in said
    assert "2 would go to quarantine" in said
    assert "1 invalid_json" in said.replace("\\", "")
    fields = {row["field"]: row for row in page.dataframe[0].value.to_dict("records")}
    assert fields["ts"]["read_as"] == "required"
    assert fields["layer"]["read_as"] == "checks.layer"
    # Its decision says the same.
    assert fields["triggered"]["read_as"] == "adds nothing"
    assert empty_home.events.read("SELECT count(*) FROM checks").item() == 0
    assert list(empty_home.settings.inbox.rglob("*")) == []


def test_load__counts_what_was_stored_and_names_the_quarantine(empty_home: Home) -> None:
    page = drop(LOG)
    page.button(key="upload_load").click().run()
    assert "about to be read" in str(page.get("progress")[0].proto.text)
    Inbox(empty_home.settings.inbox).ingest_new(empty_home.events, settings=empty_home.settings)
    page.run()
    assert "10 records read, 8 checks stored" in words(page)
    assert "2 of its records could not be stored" in words(page)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"colour": "blue"}\n', "No log format fits"),
        (b"", "No record can be read"),
        ("{}\n".encode("utf-16"), "UTF-16"),
    ],
)
def test_what_cannot_be_read__said_before_it_is_loaded(content: bytes, said: str, empty_home: Home) -> None:
    page = drop(content)
    assert said in words(page).replace("\\", "")
    assert not page.button


def test_text_in_the_preview__masked(empty_home: Home) -> None:
    page = drop(to_jsonl([make_check(3, content="secret words", note="y" * 60)]))
    values = dict(zip(page.dataframe[0].value["field"], page.dataframe[0].value["value"], strict=True))
    assert (values["content"], values["note"]) == ("masked text", "masked text")
    assert values["triggered"] == "true"
    assert "secret" not in words(page)


def test_rejects__ignored_by_a_lead_leave_the_list_and_stay_stored(empty_home: Home) -> None:
    path = empty_home.settings.inbox / "filters.jsonl"
    path.write_bytes(LOG)
    Inbox(empty_home.settings.inbox).ingest_new(empty_home.events, settings=empty_home.settings)
    first, _ = list_rejects(empty_home.events)["reject_id"].cast(str).to_list()
    assert ignore(empty_home, [first], actor=LEAD) == 1
    assert list_rejects(empty_home.events).height == 1
    assert empty_home.events.read("SELECT count(*) FROM quarantine").item() == 2
    assert [entry.action for entry in list_audit(empty_home.records, actor=LEAD)] == ["quarantine.ignore"]
    assert retry_all(empty_home, actor=LEAD).read == 1


def test_rejects__stored_by_a_retry_once_the_mapping_is_mended(empty_home: Home, tmp_path: Path) -> None:
    rule = MappingRule(
        name="house", columns={"ts": "at", "filter_name": "=g", "triggered": "bad", "decision": "did"},
        values={"decision": {"DENY": "block"}},
    )  # fmt: skip

    def served(rule: MappingRule) -> Home:
        home = replace(empty_home, settings=empty_home.settings.model_copy(update={"mapping": [rule]}))
        serve_home(home)
        return home

    home = served(rule)
    log = [{"at": f"2026-03-02T09:00:0{n}Z", "bad": True, "did": did} for n, did in enumerate(["DENY", "DENY", "HALT"])]
    page = drop(to_jsonl(log))
    assert "House format house" in words(page)
    assert "1 would go to quarantine" in words(page)
    page.button(key="upload_load").click().run()
    Inbox(home.settings.inbox).ingest_new(home.events, settings=home.settings)
    assert list_rejects(home.events)["reason"].to_list() == ["invalid_value"]
    mended = served(rule.model_copy(update={"values": {"decision": {"DENY": "block", "HALT": "block"}}}))
    summary = retry_all(mended, actor=LEAD, reject_ids=list_rejects(home.events)["reject_id"].cast(str).to_list())
    assert (summary.checks, list_rejects(home.events).height) == (1, 0)
