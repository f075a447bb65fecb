"""Inspect AI's `.eval` archives: each sample's member becomes a record, `{"eval": facts of the run, "sample": the sample}`.

The layout is that of inspect_ai/log/_recorders/eval.py: samples in `samples/{id}_epoch_{n}.json`, the run in `header.json`, before it has
ended in `_journal/start.json`; summaries and reductions repeat the samples. What a sample holds twice is left in the archive: the steps that
led to its messages (`events`, of which the approvals of tool calls are kept, `events_data`, `timelines`), and images.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import msgspec

from core.errors import FormatError
from ingest.sources.archive import Member, MemberError, list_members, unpack_member

MAX_MEMBERS = 200_000
MAGIC = b"PK\x03\x04"
_RUN = ("header.json", "_journal/start.json")
_RUN_FACTS = (
    *("eval_id", "run_id", "created", "task", "task_id", "task_version", "task_args", "model", "solver", "tags"),
    "metadata",
)
_STEPS = ("events_data", "timelines")
_KEPT_EVENTS = frozenset({"approval"})
_WHOLE = re.compile(r"samples/.+_epoch_\d+\.json", re.DOTALL)
_IN_PARTS = re.compile(r"samples/.+_epoch_\d+/sample\.json", re.DOTALL)
_ATTACHED = "attachment://"
_RawObject = dict[str, msgspec.Raw]


@dataclass(frozen=True, slots=True)
class Sample:
    """What became of a sample's member: a record, or the reason why there is none.

    Attributes:
        end_offset: Where the member ends in the file.
        line: The record as JSON; "" where there is none.
        reason: Machine-readable.
        detail: A sentence that names the member.
        start: The first bytes that could be read.
    """

    end_offset: int
    line: str = ""
    reason: str = ""
    detail: str = ""
    start: bytes = b""


def holds_samples(path: Path) -> bool:
    """Whether the archive holds a sample already.

    Raises:
        FormatError: It is no evaluation log.
    """
    with path.open("rb") as file:
        members, fault = list_members(file)
    names = [member.name for member in members]
    if any(_WHOLE.fullmatch(name) or _IN_PARTS.fullmatch(name) for name in names):
        return True
    if members and not fault and not set(_RUN) & set(names):
        raise FormatError(
            "The zip archive holds no log", path.name, "Unpack it: only Inspect AI's .eval archives are read."
        )
    return False


def read_samples(path: Path) -> Iterator[Sample | str]:
    """The samples in the order in which they were logged; last of all why the archive is not whole, if it is not.

    Raises:
        FormatError: It holds more members than a log does.
    """
    with path.open("rb") as file:
        members, fault = list_members(file)
        if len(members) > MAX_MEMBERS:
            detail = f"{path.name}: {len(members):,}, more than {MAX_MEMBERS:,}"
            raise FormatError("The archive holds too many members", detail, "Split the evaluation's log.")
        run, refused = _read_run(file, members)
        yield from refused
        for member in members:
            if _WHOLE.fullmatch(member.name):
                yield _read_sample(file, member, run)
            elif _IN_PARTS.fullmatch(member.name):
                yield _refuse(
                    member, MemberError("damaged_member", "A sample in parts (log version 3) cannot be read.")
                )
    if fault:
        yield fault


def _read_run(file: IO[bytes], members: Sequence[Member]) -> tuple[bytes, list[Sample]]:
    """The facts of the run as JSON, and the members that should have told them and cannot be read."""
    by_name = {member.name: member for member in members}
    refused = []
    for name in _RUN:
        if name not in by_name:
            continue
        try:
            told = _decode(_decode(unpack_member(file, by_name[name])).get("eval", msgspec.Raw(b"{}")))
        except MemberError as error:
            refused.append(_refuse(by_name[name], error))
            continue
        return msgspec.json.encode({fact: told[fact] for fact in _RUN_FACTS if fact in told}), refused
    return b"{}", refused


def _read_sample(file: IO[bytes], member: Member, run: bytes) -> Sample:
    try:
        sample = _decode(unpack_member(file, member))
        line = b'{"eval":' + run + b',"sample":' + msgspec.json.encode(_thin(sample)) + b"}"
        return Sample(member.end_offset, msgspec.json.format(line, indent=-1).decode())
    except MemberError as error:
        return _refuse(member, error)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        return _refuse(member, MemberError("damaged_member", f"It is not JSON: {error}."))


def _refuse(member: Member, error: MemberError) -> Sample:
    name = "".join(letter if letter.isprintable() else "?" for letter in member.name[:200])
    return Sample(member.end_offset, "", error.reason, f"{name}: {error.detail}", error.start)


def _decode(text: bytes | msgspec.Raw) -> _RawObject:
    """The members of a JSON object, as text; Python's NaN and Infinity, which logs hold and JSON has not, are null.

    Raises:
        MemberError: It is no JSON object.
    """
    try:
        return msgspec.json.decode(text, type=_RawObject)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        document = json.loads(bytes(text), parse_constant=lambda _name: None)
        return {key: msgspec.Raw(json.dumps(value).encode()) for key, value in document.items()}
    except (ValueError, RecursionError, AttributeError) as error:
        raise MemberError("damaged_member", f"It is not a JSON object: {error}.", bytes(text)) from error


def _thin(sample: _RawObject) -> _RawObject:
    """The sample without its steps, and with the texts that its messages refer to in their places."""
    thin = {name: value for name, value in sample.items() if name not in _STEPS}
    if "events" in thin:
        thin["events"] = _keep_events(thin["events"])
    try:
        texts = msgspec.json.decode(thin.get("attachments", msgspec.Raw(b"{}")), type=dict[str, str])
    except msgspec.DecodeError:
        return thin
    thin.pop("attachments", None)
    for name, value in thin.items():
        if _ATTACHED.encode() in bytes(value):
            thin[name] = msgspec.Raw(msgspec.json.encode(_put_back(msgspec.json.decode(value), texts)))
    return thin


class _Event(msgspec.Struct):
    event: str = ""


def _keep_events(events: msgspec.Raw) -> msgspec.Raw:
    try:
        listed = msgspec.json.decode(events, type=list[msgspec.Raw])
        kept = [event for event in listed if msgspec.json.decode(event, type=_Event).event in _KEPT_EVENTS]
    except msgspec.DecodeError:
        return events
    return msgspec.Raw(msgspec.json.encode(kept))


def _put_back(value: Any, texts: dict[str, str]) -> Any:
    """`value` with each text that stands for an attached one replaced by it; references to images stay."""
    if isinstance(value, str) and value.startswith(_ATTACHED):
        text = texts.get(value.removeprefix(_ATTACHED), value)
        return value if text.startswith("data:") else text
    if isinstance(value, dict):
        return {key: _put_back(child, texts) for key, child in value.items()}
    return [_put_back(child, texts) for child in value] if isinstance(value, list) else value
