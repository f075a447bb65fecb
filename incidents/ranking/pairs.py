"""From orders to pairs: which response people prefer, by how much, and how far they agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from core.records import RecordStore
from incidents.ranking.prompts import Prompt, read_prompts
from incidents.ranking.ranks import Standing, list_standing
from metrics.rank_agreement import average_ranks, estimate_concordance, estimate_rank_alpha


@dataclass(frozen=True, slots=True)
class Pair:
    """One response preferred over another.

    Attributes:
        margin: Share of the raters who prefer `chosen`, less the share who prefer `rejected`; above 0, at most 1.
        raters: Whose orders it rests on.
    """

    prompt_id: str
    chosen: str
    rejected: str
    margin: float
    raters: tuple[str, ...]


def derive_pairs(standing: Sequence[Standing]) -> list[Pair]:
    """The pairs that the raters' orders give, by prompt and id.

    `chosen` is preferred by more raters than prefer `rejected`, and stands before it on average, too: majorities alone can
    run in a circle. Ties, of one rater or between raters, give no pair.
    """
    pairs = []
    for prompt_id, orders in _by_prompt(standing):
        names = sorted(orders[0].ranks)
        mean = np.mean([average_ranks([order.ranks[name] for name in names]) for order in orders], axis=0)
        place = dict(zip(names, mean.tolist(), strict=True))
        for one, other in combinations(names, 2):
            ahead = sum(np.sign(order.ranks[other] - order.ranks[one]) for order in orders)
            first, second = (one, other) if ahead > 0 else (other, one)
            if ahead and place[first] < place[second]:
                raters = tuple(order.rater for order in orders)
                pairs.append(Pair(prompt_id, first, second, round(abs(int(ahead)) / len(orders), 6), raters))
    return pairs


def describe_set(records: RecordStore, ranking_set: str, *, min_sample: int, confidence: float) -> dict[str, Any]:
    """Progress, agreement and pairs of a set as plain values, without texts.

    Returns:
        prompts, ranked (by anybody), raters ({name: prompts}), krippendorff_alpha and kendall_w (estimate, low, high,
        method, n = prompts that two or more ranked; null below `min_sample`), pairs, ties (pairs of responses that give
        none).
    """
    prompts, standing = read_prompts(records, ranking_set), list_standing(records, ranking_set)
    grouped = list(_by_prompt(standing))
    shared = [
        np.array([average_ranks(list(order.ranks.values())) for order in orders])
        for _, orders in grouped
        if len(orders) > 1
    ]
    raters: dict[str, int] = defaultdict(int)
    for item in standing:
        raters[item.rater] += 1
    sizes = {prompt.prompt_id: len(prompt.responses) for prompt in prompts}
    possible = sum(sizes[name] * (sizes[name] - 1) // 2 for name, _ in grouped)
    pairs = derive_pairs(standing)
    return {
        "ranking_set": ranking_set,
        "prompts": len(prompts),
        "ranked": len(grouped),
        "raters": dict(sorted(raters.items())),
        "krippendorff_alpha": estimate_rank_alpha(shared, min_sample=min_sample, confidence=confidence),
        "kendall_w": estimate_concordance(shared, min_sample=min_sample, confidence=confidence),
        "pairs": len(pairs),
        "ties": possible - len(pairs),
    }


def find_texts(prompts: Sequence[Prompt]) -> Mapping[tuple[str, str], str]:
    """(prompt_id, response_id) to text."""
    return {
        (prompt.prompt_id, response.response_id): response.text
        for prompt in prompts
        for response in prompt.name_responses()
    }


def _by_prompt(standing: Sequence[Standing]) -> Iterator[tuple[str, list[Standing]]]:
    grouped: dict[str, list[Standing]] = defaultdict(list)
    for item in standing:
        grouped[item.prompt_id].append(item)
    yield from sorted(grouped.items())
