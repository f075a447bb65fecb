"""Every kind of alert rule, on a small store of its own: stays calm, fires, recovers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import get_args

import pytest
from alert_traffic import HOUR, START, put_hours
from case_house import ANA, LEA, House

from core.errors import ConfigError
from core.events import Connection
from core.settings import DEFAULT_ALERTS, AlertRule
from incidents.alerts import desk
from incidents.alerts.kinds import KINDS, get_limit, judge_rule
from incidents.alerts.watch import GRACE, Firing, evaluate_alerts
from incidents.cases import escalate_case, lease_case, list_cases
from incidents.enums import AlertState, EscalationReason
from incidents.opening import MIRROR_SOURCE

Step = Callable[[House, datetime], datetime]


@dataclass(frozen=True, slots=True)
class Story:
    """What happens to one filter.

    Attributes:
        calm: Puts history in from a moment on; returns its end. Nothing may fire by then.
        break_: Puts in the fault; returns its end.
        mend: Puts in what ends it; returns its end.
        about: The filter and rule, or the source, that the alarm names.
        words: What its sentence holds.
        window_min: Window of the rule.
    """

    calm: Step
    break_: Step
    mend: Step
    about: tuple[str | None, ...]
    words: str
    window_min: int = 60


def hours(*triggered: int, **options: int) -> Step:
    def put(house: House, start: datetime) -> datetime:
        return put_hours(house.events, triggered, start=start, **options)

    return put


def two_filters(*other: int) -> Step:
    """`guard` goes on; `other` runs in the hours that are not 0."""

    def put(house: House, start: datetime) -> datetime:
        for place, evaluated in enumerate(other):
            if evaluated:
                put_hours(house.events, [5], filter_name="other", evaluated=evaluated, start=start + place * HOUR)
        return put_hours(house.events, [5] * len(other), evaluated=100, start=start)

    return put


def turns(*counts: int, orphans: int = 0) -> Step:
    """So many turns, hour by hour, of which some are known from their checks alone."""

    def put(house: House, start: datetime) -> datetime:
        rows = [(start + place * HOUR, count, orphans) for place, count in enumerate(counts)]

        def work(connection: Connection) -> None:
            for minute, count, orphans in rows:
                connection.execute(
                    "INSERT INTO turn_rollup BY NAME SELECT $at::TIMESTAMP AS minute, 'a' AS app, $n AS turns, $o AS orphans, 0 AS stopped",
                    {"at": minute, "n": count, "o": orphans},
                )

        house.events.write(work)
        return start + len(counts) * HOUR

    return put


def arrivals(*counts: int, other: int = 60) -> Step:
    """So many records of `eu` come hour by hour, and `other` of `us`."""

    def put(house: House, start: datetime) -> datetime:
        rows = [
            (start + place * HOUR, source, number)
            for place, count in enumerate(counts)
            for source, number in (("eu", count), ("us", other))
            if number
        ]

        def work(connection: Connection) -> None:
            connection.executemany(
                "INSERT INTO ingests BY NAME SELECT coalesce(max(ingest_id), 0) + 1 AS ingest_id, "
                "$1::TIMESTAMP AS ingested_at, $2 AS source, $3 AS read_count FROM ingests",
                rows,
            )

        if rows:
            house.events.write(work)
        return start + len(counts) * HOUR

    return put


def checks(count: int, *, hours: int = 1, **fields: object) -> Step:
    """So many checks, and their turns, in each hour."""

    def put(house: House, start: datetime) -> datetime:
        for hour in range(hours):
            ids = [f"{start + hour * HOUR}-{number}" for number in range(count)]
            times = [(start + hour * HOUR + number * HOUR / (2 * count)).isoformat() for number in range(count)]
            pairs = list(zip(ids, times, strict=True))
            house.add_turns(*({"request_id": key, "ts": ts, "conversation_id": key} for key, ts in pairs))
            rows = ({"request_id": key, "ts": ts, "triggered": False, "decision": "allow"} for key, ts in pairs)
            house.add_checks(*(row | fields for row in rows))
        return start + hours * HOUR

    return put


def failing(count: int, failures: int) -> Step:
    """Enforced checks, some of which time out while the answer goes out."""

    def put(house: House, start: datetime) -> datetime:
        checks(failures, triggered=None, decision="error", error="timeout", enforced=False, mode="enforce")(
            house, start
        )
        late = start + timedelta(minutes=30)
        checks(count - failures, mode="enforce")(house, late)
        return start + HOUR

    return put


def reviewed(count: int, benign: int) -> Step:
    """Turns that rule `kw-1` blocked, each judged in a probability sample."""

    def put(house: House, start: datetime) -> datetime:
        fields = {"triggered": True, "decision": "block", "enforced": True, "mode": "enforce", "rule_id": "kw-1"}
        end = checks(count, **fields)(house, start)
        sample = {"selection": "sample", "stratum": "all", "inclusion_probability": 1.0}
        house.add_labels(
            *(
                {"request_id": f"{start}-{number}", "ts": start.isoformat(), "harmful": number >= benign} | sample
                for number in range(count)
            )
        )
        return end

    return put


def escalate(house: House, start: datetime) -> datetime:
    """Somebody hands a case on, and nobody takes it for two hours."""
    checks(1, triggered=True, decision="block", enforced=True)(house, start)
    house.open_cases()
    (case,) = list_cases(house.records, actor=ANA)
    escalate_case(house.records, case.case_id, actor=ANA, reason=EscalationReason.LEGAL, at=start, note="")
    return start + 3 * HOUR


def take(house: House, start: datetime) -> datetime:
    """A lead takes the case that was handed on."""
    (case,) = list_cases(house.records, actor=LEA)
    lease_case(house.records, case.case_id, actor=LEA, lease_s=600, at=start)
    return start + HOUR


STORIES = {
    "rate_change": Story(
        hours(*[20] * 72),
        hours(90),
        hours(20),
        ("guard", None),
        "triggered 90 times; 20 expected, 4.5x (n 1,000)",
    ),
    "silence": Story(
        hours(*[20] * 48), hours(0), hours(20), ("guard", None), "has not triggered in 1,000 checks; 20 triggers"
    ),
    "no_data": Story(two_filters(*[100] * 48), two_filters(0), two_filters(100), ("other", None), "ran no check; 100"),
    # Its filters go on: what they tell of are no logged turns.
    "no_turns": Story(
        turns(*[60] * 24 * 8), turns(60, orphans=60), turns(60), (None, None), "no turn was logged; 60 expected"
    ),
    "source_stopped": Story(
        arrivals(*[60] * 24 * 8), arrivals(0), arrivals(60), (None, None, "eu"), "brought nothing; 60 records expected"
    ),
    "error_share": Story(
        hours(20, 20, errors=10), hours(20, errors=60), hours(20), ("guard", None), "failed in 5.7% of 1,060"
    ),
    "coverage": Story(
        hours(20, 20, errors=10), hours(20, errors=90), hours(20), ("guard", None), "decided in 91.7% of 1,090"
    ),
    "fail_open": Story(
        checks(60, mode="enforce"), failing(60, 12), checks(60, mode="enforce"), ("guard", None), "in 20.0% of 60"
    ),
    "latency": Story(
        checks(40, hours=6, latency_ms=10),
        checks(40, latency_ms=25),
        checks(40, latency_ms=12),
        ("guard", None),
        "took 25 ms at the 95th percentile; 10 ms in the week before (n 40)",
    ),
    "score_drift": Story(
        checks(1000, hours=4, score=0.1, threshold=0.5, score_kind="probability", filter_version="1"),
        checks(210, score=0.4, threshold=0.5, score_kind="probability", filter_version="1"),
        checks(210, score=0.1, threshold=0.5, score_kind="probability", filter_version="1"),
        ("guard", None),
        "scores moved: PSI",
    ),
    "wrong_blocks": Story(
        reviewed(20, 6), reviewed(40, 40), reviewed(250, 0), ("guard", "kw-1"), "wrong blocks are 76.7% of 60"
    ),
    "escalation_backlog": Story(
        lambda _house, start: start + HOUR,
        escalate,
        take,
        (None, None),
        "1 escalation waits for a person, the oldest for",
    ),
}


def make_rule(kind: str) -> AlertRule:
    return AlertRule(
        name="r",
        kind=kind,
        windows=1,
        recover_windows=1,
        window_min=STORIES[kind].window_min,
        false_alarms_per_week=0.1,
    )


def evaluate(house: House, rule: AlertRule, end: datetime) -> list[Firing]:
    settings = house.settings.model_copy(update={"alerts": (rule,)})
    return evaluate_alerts(house.records, house.events, settings=settings, at=end + GRACE)


def test_every_kind_is_a_setting_has_a_story_and_a_shipped_rule() -> None:
    assert set(KINDS) == set(STORIES) == set(get_args(AlertRule.model_fields["kind"].annotation))
    assert {rule.kind for rule in DEFAULT_ALERTS} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_fires_says_its_numbers_and_recovers(house: House, kind: str) -> None:
    story, rule = STORIES[kind], make_rule(kind)
    calm = story.calm(house, START)
    assert evaluate(house, rule, calm) == []
    assert desk.list_alerts(house.records, actor=ANA, at=calm) == []
    broken = story.break_(house, calm)
    (firing,) = evaluate(house, rule, broken)
    assert (firing.filter_name, firing.rule_id, firing.source) == (*story.about, None)[:3]
    assert story.words in firing.sentence
    mended = story.mend(house, broken)
    assert evaluate(house, rule, mended) == []
    (view,) = desk.list_alerts(house.records, actor=ANA, at=mended, with_ok=True)
    assert view.state is AlertState.OK


@pytest.mark.parametrize("kind", KINDS)
def test_kind_says_nothing_about_an_empty_store(house: House, kind: str) -> None:
    judged = judge_rule(house.events, house.records, make_rule(kind), [START, START + HOUR])
    assert not any(found.is_breached for found in judged)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_says_what_it_is(kind: str) -> None:
    entry = KINDS[kind]
    assert all(text.strip() for text in (entry.title, entry.description, entry.limit_means))
    assert get_limit(make_rule(kind)) == entry.limit
    assert get_limit(make_rule(kind).model_copy(update={"limit": 7.0})) == 7.0


def test_one_persons_attempts_are_one_event(house: House) -> None:
    """Twelve hits of one conversation move no rate; of twelve conversations they do."""
    rule = make_rule("rate_change")
    start = put_hours(house.events, [1] * 72, rule_id="kw-1")
    end = put_hours(house.events, [12], rule_id="kw-1", conversation_id="c1", start=start)
    assert evaluate(house, rule, end) == []
    end = put_hours(house.events, [12], rule_id="kw-1", start=end)
    assert {firing.rule_id for firing in evaluate(house, rule, end)} == {None, "kw-1"}


def test_a_fall_is_seen_as_well_as_a_rise(house: House) -> None:
    start = put_hours(house.events, [60] * 72)
    end = put_hours(house.events, [15], start=start)
    (firing,) = evaluate(house, make_rule("rate_change"), end)
    assert firing.sentence.startswith("triggered 15 times; 60 expected, 0.25x")


def test_a_change_too_small_to_matter_is_none(house: House) -> None:
    """Ten per cent more, however certain, is not 1.25 times as often."""
    start = put_hours(house.events, [5000] * 72, evaluated=100_000)
    end = put_hours(house.events, [5500], evaluated=100_000, start=start)
    assert evaluate(house, make_rule("rate_change"), end) == []


def test_a_rhythm_of_the_day_is_no_change(house: House) -> None:
    nights = [10 if hour % 24 < 8 else 60 for hour in range(24 * 8)]
    end = put_hours(house.events, nights)
    assert evaluate(house, make_rule("rate_change"), end) == []


def test_no_filter_at_all_is_an_alarm_about_all(house: House) -> None:
    end = put_hours(house.events, [5] * 24 * 8, evaluated=200)
    assert evaluate(house, make_rule("no_data"), end) == []
    (firing,) = evaluate(house, make_rule("no_data"), end + HOUR)
    assert (firing.filter_name, firing.sentence) == (None, "ran no check; 200 expected")


def test_a_model_log_that_pauses_every_night_is_no_alarm(house: House) -> None:
    """Nor is one that has not been there for a week."""
    nights = [0 if hour % 24 < 8 else 60 for hour in range(24 * 8)]
    end = turns(*nights, *[0] * 8)(house, START)
    assert evaluate(house, make_rule("no_turns"), end) == []
    assert len(evaluate(house, make_rule("no_turns"), turns(0)(house, end))) == 1


def test_a_source_that_pauses_or_comes_once_a_day_has_not_stopped(house: House) -> None:
    rule = make_rule("source_stopped")
    end = arrivals(*[0 if hour % 24 < 8 else 60 for hour in range(24 * 8)], *[0] * 8)(house, START)
    assert evaluate(house, rule, end) == []
    (firing,) = evaluate(house, rule, arrivals(0)(house, end))
    assert firing.source == "eu"


def test_where_nothing_came_at_all_no_single_source_has_stopped(house: House) -> None:
    """The server was down: what was brought meanwhile comes later."""
    rule = make_rule("source_stopped")
    end = arrivals(*[60] * 24 * 8)(house, START)
    assert evaluate(house, rule, end) == []
    assert evaluate(house, rule, arrivals(0, 0, other=0)(house, end)) == []


def test_what_people_judged_is_no_source_that_could_stop(house: House) -> None:
    end = arrivals(*[60] * 24 * 8)(house, START)
    house.events.write(
        lambda connection: connection.execute("UPDATE ingests SET source = $1 WHERE source = 'eu'", [MIRROR_SOURCE])
    )
    assert evaluate(house, make_rule("source_stopped"), arrivals(0)(house, end)) == []


def test_sources_that_stop_are_alerts_of_their_own(house: House) -> None:
    """Each has its own group, and keeps it."""
    end = arrivals(*[60] * 24 * 8)(house, START)
    house.events.write(
        lambda connection: connection.execute(
            "INSERT INTO ingests SELECT * REPLACE (ingest_id + 1000 AS ingest_id, 'asia' AS source) FROM ingests WHERE source = 'us'"
        )
    )
    rule = make_rule("source_stopped")
    firings = evaluate(house, rule, arrivals(0)(house, end))
    assert {firing.source for firing in firings} == {"eu", "asia"}
    assert len({firing.group_id for firing in firings}) == len({firing.alert_id for firing in firings}) == 2


@pytest.mark.parametrize("kind", [key for key, kind in KINDS.items() if not kind.has_filters])
def test_a_filter_that_would_not_apply_is_refused(house: House, kind: str) -> None:
    rule = make_rule(kind).model_copy(update={"filters": ("filter_name=guard",)})
    with pytest.raises(ConfigError, match="does not apply"):
        judge_rule(house.events, house.records, rule, [START])


def test_a_handful_of_checks_raises_no_share(house: House) -> None:
    """Two of thirteen is 15 %, and proves nothing against a limit of 2 %."""
    end = put_hours(house.events, [1], evaluated=11, errors=2)
    assert evaluate(house, make_rule("error_share"), end) == []


def test_a_rule_looks_only_at_what_its_filters_name(house: House) -> None:
    rule = make_rule("error_share").model_copy(update={"filters": ("filter_name=other",)})
    end = put_hours(house.events, [1], errors=500)
    assert evaluate(house, rule, end) == []


@pytest.mark.parametrize("text", ["filter_name", "colour=red"])
def test_a_filter_that_cannot_be_read_is_named(house: House, text: str) -> None:
    rule = make_rule("silence").model_copy(update={"filters": (text,)})
    with pytest.raises(ConfigError, match="r: "):
        judge_rule(house.events, house.records, rule, [START])


def test_a_shadow_version_hides_no_silence_and_makes_no_change(house: House) -> None:
    """The candidate triggers twice as often, and goes on when the version in force falls silent."""
    end = put_hours(house.events, [20] * 48)
    put_hours(house.events, [40] * 6, start=end, mode="shadow")
    still = put_hours(house.events, [20] * 3, start=end)
    silent = put_hours(house.events, [0] * 3, start=still)
    rate, silence = (AlertRule(name="r", kind=kind) for kind in ("rate_change", "silence"))
    before, after = [end + HOUR, end + 2 * HOUR, still], [still + HOUR, still + 2 * HOUR, silent]
    assert [
        (item.is_breached, item.observed, item.trials) for item in judge_rule(house.events, house.records, rate, before)
    ] == [(False, 20, 1000)] * 3
    assert not any(item.is_breached for item in judge_rule(house.events, house.records, silence, before))
    for rule in (rate, silence):
        assert all(item.is_breached for item in judge_rule(house.events, house.records, rule, after)), rule.kind


def test_a_filter_that_runs_in_shadow_only_is_watched(house: House) -> None:
    end = put_hours(house.events, [20] * 48, mode="shadow")
    silent = put_hours(house.events, [0] * 2, start=end, mode="shadow")
    rule = AlertRule(name="r", kind="silence")
    assert judge_rule(house.events, house.records, rule, [end + HOUR, silent])[-1].is_breached
