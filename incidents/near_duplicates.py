"""Texts that say nearly the same: groups by MinHash, each pair confirmed by its exact similarity.

Shingles are runs of characters, not words, so that the rule holds for languages without spaces. Method: Broder 1997 (MinHash),
Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", section 3.4 (banding).
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from functools import lru_cache

import polars as pl
from datasketch import MinHash, MinHashLSH
from scipy.cluster.hierarchy import DisjointSet

MIN_JACCARD = 0.7
"""Share of all shingles of two texts that both have, from which on they are near-duplicates."""
MIN_CHARS = 20
"""Length of a folded text below which only equal texts count: "yes, go on" resembles too much."""
SHINGLE_CHARS = 5
MAX_CHARS = 10_000
"""Characters that are compared; longer texts are told apart by their beginnings."""
# The scheme is named because another one would give other groups, and with them other splits.
_EMPTY = MinHash(num_perm=128, seed=1, scheme="affine32")
# 32 bands of 4 rows miss a pair at the limit with probability (1 - 0.7**4)**32 = 0.0002, and hardly any above it.
_BANDS = (32, 4)
# Most candidates of a band are far off: an estimate five standard errors below the limit spares the exact comparison.
_MIN_ESTIMATE = 0.5
_WORDS = re.compile(r"\w+")


def fold(text: str) -> str:
    """`text` without case, Unicode form, punctuation and white space, as words with one space between them."""
    return " ".join(_WORDS.findall(unicodedata.normalize("NFKC", text).lower()))


def hash_text(text: str | None) -> str | None:
    """A name for all texts that fold to the same; None for null and for texts too short to tie anything."""
    folded = fold(text or "")
    return hashlib.sha256(folded.encode()).hexdigest()[:32] if len(folded) >= MIN_CHARS else None


def group_near_duplicates(texts: pl.Series) -> pl.Series:
    """The group of each text: the position of its first member.

    Near-duplicates of near-duplicates share a group. A null or short text is alone. Another text never splits a group,
    and the same texts in the same order give the same groups.
    """
    folded = [fold(text or "")[:MAX_CHARS] for text in texts]
    first: dict[str, int] = {}
    groups = DisjointSet(range(len(folded)))
    index = MinHashLSH(num_perm=_EMPTY.num_perm, params=_BANDS)
    for position, text in enumerate(folded):
        if len(text) < MIN_CHARS:
            continue
        known = first.setdefault(text, position)
        if known != position:
            groups.merge(known, position)
            continue
        own = sketch(text)
        for other in sorted(index.query(own)):
            if groups.connected(other, position) or own.jaccard(sketch(folded[other])) < _MIN_ESTIMATE:
                continue
            if _jaccard(folded[other], text) >= MIN_JACCARD:
                groups.merge(other, position)
        index.insert(position, own)
    earliest: dict[int, int] = {}
    return pl.Series(
        "group", [earliest.setdefault(groups[position], position) for position in range(len(folded))], dtype=pl.Int64
    )


def _shingle(text: str) -> set[str]:
    return {text[start : start + SHINGLE_CHARS] for start in range(len(text) - SHINGLE_CHARS + 1)}


def _jaccard(one: str, other: str) -> float:
    first, second = _shingle(one), _shingle(other)
    return len(first & second) / len(first | second)


# A page asks for the same texts again with every choice that its reader tries.
@lru_cache(maxsize=50_000)
def sketch(text: str) -> MinHash:
    """The MinHash of a folded text; its agreement with another estimates the share of shingles that both have."""
    found = _EMPTY.copy()
    found.update_batch([shingle.encode() for shingle in _shingle(text)])
    return found
