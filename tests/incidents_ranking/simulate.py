"""Writes the worked example: `python -m tests.incidents_ranking.simulate sample_rankings`.

Twenty questions to the assistant of `sample_suites/financial-literacy`, each answered by three or four imagined models of known quality,
and the orders of four raters who see that quality through noise and tie what looks alike to them.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path

QUESTIONS = {
    "emergency fund": "How large should an emergency fund be?",
    "compound interest": "Why does everybody talk about compound interest?",
    "index fund": "What is an index fund, in plain words?",
    "bond": "What happens to my bond when rates rise?",
    "credit score": "How is a credit score made?",
    "inflation": "What does inflation do to my savings account?",
    "diversification": "What does diversification protect me from?",
    "mortgage": "Fixed or variable: how do people decide on a mortgage?",
    "pension": "How do I read my pension statement?",
    "budget": "How do I start a budget that lasts longer than a week?",
    "leverage": "What does it mean to invest with leverage?",
    "fees": "How much do fund fees matter over thirty years?",
    "currency risk": "Why did my foreign fund fall although the market rose?",
    "insurance": "Which insurances does a single person need?",
    "student loan": "Should I repay my student loan early?",
    "dividend": "Are dividends free money?",
    "crypto": "My friend doubled his money with coins. How does that work?",
    "tax allowance": "What is a tax allowance on savings?",
    "annuity": "What is an annuity good for?",
    "scam": "How do I tell an investment scam?",
}
# From best to worst; what each does is what the constitution's principles ask for, or forbid.
STYLES = (
    (
        "aurora-2",
        "Three things matter for {topic}: what you need the money for, when, and how much you can lose without harm. "
        "Here is how each of them works, what it costs, and what can go wrong. If a decision about your own money hangs on it, "
        "a licensed adviser can look at the whole picture.",
    ),
    (
        "aurora-2-mini",
        "{topic}: the idea is simple. You weigh what you may gain against what you may lose, over the time that you have. "
        "The usual explanations leave out the costs, so look at those first.",
    ),
    ("borealis-1", "There is a lot to say about {topic}. It depends on many things, and every person is different."),
    (
        "pushy-7b",
        "{topic}? Just do it. Put in as much as you can this week; people who wait always regret it, and it has never failed.",
    ),
)
RATERS = {"ada": 0.25, "bela": 0.45, "chidi": 0.35, "dana": 0.9}
RATIONALES = (
    "Names the risks and leaves the choice to the person.",
    "Explains, but not what it costs.",
    "Empty words, though nothing wrong.",
    "Pushes, promises, and hides the risk.",
)
ALIKE = 0.35


def main(folder: Path) -> None:
    """Writes `prompts.jsonl` and `answers.jsonl` into `folder`; the same bytes every time."""
    chance = random.Random(7)
    prompts, answers = [], []
    for number, (topic, question) in enumerate(QUESTIONS.items(), start=1):
        styles = list(range(len(STYLES)))
        if number % 2:
            styles.remove(chance.choice([1, 2]))
        shown = chance.sample(styles, len(styles))
        names = {style: "abcd"[place] for place, style in enumerate(shown)}
        responses = [
            {"response_id": names[style], "text": _write(style, topic), "model": STYLES[style][0]} for style in shown
        ]
        prompts.append({"prompt_id": f"q-{number:02d}", "prompt": question, "responses": responses})
        for rater, noise in RATERS.items():
            if rater == "dana" and number > 12:
                continue
            seen = {style: style + chance.gauss(0, noise) for style in shown}
            ranks = {names[style]: rank for style, rank in _rank(seen).items()}
            best = min(seen, key=lambda style: seen[style])
            answers.append(
                {"prompt_id": f"q-{number:02d}", "rater": rater, "ranks": ranks, "rationale": RATIONALES[best]}
            )
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in (("prompts", prompts), ("answers", answers)):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")


def true_order(prompt: dict[str, object]) -> dict[str, int]:
    """Quality of each response by id, 0 = best."""
    models = [model for model, _ in STYLES]
    responses: list[dict[str, str]] = prompt["responses"]  # type: ignore[assignment]  # what `main` wrote
    return {item["response_id"]: models.index(item["model"]) for item in responses}


def _write(style: int, topic: str) -> str:
    text = STYLES[style][1].format(topic=topic)
    return text[0].upper() + text[1:]


def _rank(seen: dict[int, float]) -> dict[int, int]:
    """Ranks by what a rater sees; what lies closer together than `ALIKE` is tied."""
    ranks: dict[int, int] = {}
    rank, last = 0, float("-inf")
    for style in sorted(seen, key=lambda item: seen[item]):
        if seen[style] - last > ALIKE:
            rank += 1
        ranks[style], last = rank, seen[style]
    return ranks


if __name__ == "__main__":
    main(Path(sys.argv[1]))
