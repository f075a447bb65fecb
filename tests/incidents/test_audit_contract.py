"""Nothing changes the decision store, and nothing is revealed, without an entry of the audit log: read from the code."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for room in ("incidents", "service", "dashboard")
    for path in (ROOT / room).rglob("*.py")
    if "migrations" not in path.parts
)
WRITES = {"add", "add_all", "merge", "delete", "commit", "bulk_save_objects"}
STATEMENTS = {"insert", "update", "delete"}
# How far recurring work has come, and what is put before whom: bookkeeping without an entry, each with its reason.
KEPT = {
    "incidents/alerts/watch.py": "what an alert last measured; its changes of state are recorded",
    "incidents/facets.py": "the copy of facets by which queues select",
    "incidents/judgement/offers.py": "which decided cases wait for a second look, by a hash",
    "incidents/judgement/serving.py": "an assignment that nobody took, or that ran out",
    "incidents/notify/outbox.py": "the position in the log itself",
    "incidents/notify/sending.py": "tries of a delivery; giving up is recorded",
    "incidents/opening.py": "a cursor that moved over nothing",
    "incidents/reviews.py": "how far votes were copied to the event store",
    "incidents/response/recurrence.py": "the position of the look-out for recurrences",
}


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (found for found in ast.walk(node) if isinstance(found, ast.Call))


def _opened(block: ast.With, name: str) -> bool:
    """Whether the block opens a plain session: `with x.session() as name`."""
    for item in block.items:
        call = item.context_expr
        is_session = isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "session"
        if is_session and isinstance(item.optional_vars, ast.Name) and item.optional_vars.id == name:
            return True
    return False


def _writes(block: ast.With) -> list[str]:
    """Writes within a block that opened a plain session."""
    names = {item.optional_vars.id for item in block.items if isinstance(item.optional_vars, ast.Name)}
    found = []
    for call in _calls(block):
        match call.func:
            case ast.Attribute(value=ast.Name(id=owner), attr=attr) if owner in names and attr in WRITES:
                found.append(f"{owner}.{attr} in line {call.lineno}")
            case ast.Attribute(value=ast.Name(id="sa"), attr=attr) if attr in STATEMENTS:
                found.append(f"sa.{attr} in line {call.lineno}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_only_a_change_writes(path: Path) -> None:
    """A plain session only reads: what writes runs through `change`, which keeps nothing without an entry."""
    if path.name == "audit.py":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for block in ast.walk(tree):
        if isinstance(block, ast.With) and any(
            _opened(block, item.optional_vars.id) for item in block.items if isinstance(item.optional_vars, ast.Name)
        ):
            assert _writes(block) == []


def test_what_is_kept_without_an_entry_is_listed_with_its_reason() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        for call in _calls(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(call.func, ast.Attribute) and call.func.attr == "keep" and not call.args
    }
    assert found == set(KEPT)


def test_every_function_that_reveals_takes_the_actor_and_records() -> None:
    seen = 0
    for path in MODULES:
        if path.parts[-2] in ("components", "pages") or "dashboard" in path.parts:
            continue
        functions = {
            node.name: node
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.FunctionDef)
        }
        for name, function in functions.items():
            if name.startswith("reveal_"):
                seen += 1
                taken = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
                assert {"actor", "at"} <= taken, name
                called = _named(function)
                called |= {inner for helper in called & functions.keys() for inner in _named(functions[helper])}
                assert called & {"record", "note_deed"} or any(inner.startswith("reveal_") for inner in called), name
    assert seen >= 4


def _named(function: ast.FunctionDef) -> set[str]:
    """The names of what a function calls."""
    return {
        call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        for call in _calls(function)
    }
