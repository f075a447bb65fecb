"""Overturn rates by rule, counted by hand."""

from __future__ import annotations

from canonical_rows import add

from core.events import EventStore
from metrics.query import Query
from metrics.run import run_report


def test_the_overturn_rate_of_each_rule(events: EventStore) -> None:
    rules = {"r1": "kw-1", "r2": "kw-1", "r3": "kw-1", "r4": "kw-2", "r5": "kw-2", "r6": "kw-1"}
    fired = {"filter_name": "words", "triggered": True, "decision": "block", "enforced": True}
    add(
        events,
        turns=[{"request_id": name} for name in rules],
        checks=[{"request_id": name, "rule_id": rule, **fired} for name, rule in rules.items()]
        # Shadow checks acted on nobody.
        + [{"request_id": "r1", "rule_id": "kw-9", **fired, "enforced": False, "mode": "shadow"}],
        labels=[
            *(
                {"request_id": name, "reviewer": f"user:{name}", "harmful": None, "selection": "appeal"}
                for name in ("r1", "r1", "r2", "r3", "r4")
            ),
            {"request_id": "r1", "reviewer": "ana", "harmful": False},
            {"request_id": "r2", "reviewer": "ana", "harmful": True},
            {"request_id": "r5", "reviewer": "ana", "harmful": False},
            {"request_id": "r6", "reviewer": "ana", "harmful": False},
        ],
    )
    rows = run_report(events, "appeals", Query(by=("rule_id",), min_sample=2)).rows.to_dicts()
    counts = [
        (row["rule_id"], *(row[name] for name in ("appealed", "decided", "upheld", "overturned"))) for row in rows
    ]
    assert counts == [("kw-1", 3, 2, 1, 1), ("kw-2", 1, 0, 0, 0)]
    assert [row["overturn_rate"]["estimate"] for row in rows] == [0.5, None]
    (whole,) = run_report(events, "appeals", Query(min_sample=2)).rows.to_dicts()
    assert (whole["appealed"], whole["overturned"]) == (4, 1)
