"""A home with the worked constitution and suite, run and criticised by the stub model, and the worked ranking set."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from core.settings import CritiqueSettings
from incidents.constitution.asking import plan_asking, run_asking
from incidents.constitution.critique import plan_critique, run_critique
from incidents.constitution.endpoint import Endpoint
from incidents.constitution.principles import parse_constitution, save_constitution
from incidents.constitution.suites import load_suite
from incidents.people import Actor, Role
from incidents.ranking.answers import load_answers, parse_answers
from incidents.ranking.prompts import load_prompts, parse_prompts
from service.home import Home
from tests.stub_model import MODEL, serve_stub

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "sample_suites" / "financial-literacy"
RANKINGS = ROOT / "sample_rankings"
AT = datetime(2026, 3, 2, 9)
LEA = Actor("lea", Role.LEAD)


def fill_constitution(home: Home) -> None:
    """Adopts, loads, runs `before` and `after`, criticises both, and loads rankings."""
    constitution = parse_constitution((SUITE / "constitution.toml").read_text(encoding="utf-8"))
    save_constitution(home.records, home.settings, constitution, actor=LEA, at=AT, base=0, note="first")
    load_suite(home.records, "money", (SUITE / "prompts.jsonl").read_text(encoding="utf-8"), actor=LEA, at=AT)
    with serve_stub() as stub:
        settings = CritiqueSettings(base_url=stub.address, model=MODEL, requests_per_minute=1_000_000)
        endpoint = Endpoint(settings, sleep=lambda _: None)
        for arm, rules in (("before", None), ("after", constitution)):
            work = plan_asking(home.events, home.records, suite="money", arm=arm, constitution=rules)
            run_asking(home.events, home.records, work, endpoint, settings=home.settings, actor=LEA)
            left = plan_critique(home.events, home.records, settings=home.settings, suite="money", arm=arm)
            run_critique(home.records, left, endpoint, actor=LEA)
    prompts = parse_prompts((RANKINGS / "prompts.jsonl").read_text(encoding="utf-8"))
    load_prompts(home.records, "money", prompts, actor=LEA, at=AT)
    answers = parse_answers((RANKINGS / "answers.jsonl").read_text(encoding="utf-8"))
    load_answers(home.records, "money", answers, actor=LEA, at=AT)
