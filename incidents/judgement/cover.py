"""How much of a revealed text a person sees at first: all of it, or with what hurts covered until they ask for it.

What filters matched, and the words that the house lists (`wellness.words`), can be covered. A person sets it for mild and for
grave cases; a text is judged by what is left around the cover, or uncovered by one more key, which is audited like the reveal.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from incidents.enums import GuidedEnum

COVERED = "[covered]"
MIN_SPAN = 2
"""Characters of a matched text from which it is covered: a single letter would cover half of every text."""
EVERY = "any"
"""The entry of `wellness.words` whose words are covered in every category."""


class Cover(GuidedEnum):
    """What stays covered of a text that was revealed."""

    PLAIN = "plain", "Nothing", "The whole text is shown at once."
    SPANS = "spans", "What filters matched", "The parts that filters matched stay covered until you uncover them."
    WORDS = (
        "words",
        "Matches and sensitive words",
        "So do the sensitive words that the house lists for the category.",
    )


def list_spans(
    cover: Cover,
    evidence: Mapping[str, Any],
    *,
    words: Mapping[str, Sequence[str]],
    category: str | None,
    is_blind: bool,
) -> tuple[str, ...]:
    """The parts of texts that are to be covered, longest first.

    Args:
        cover: How much is covered.
        evidence: The case's evidence.
        words: The house's sensitive words by category (`EVERY` for all).
        category: Category of the case; None = not known, when the words of every category count.
        is_blind: The reviewer must not see what filters said, so that their matches are no reason to cover anything.
    """
    if cover is Cover.PLAIN:
        return ()
    matched = [] if is_blind else [check.get("matched_text") or "" for check in evidence.get("checks") or ()]
    spans = {text.strip() for text in matched if len(text.strip()) >= MIN_SPAN}
    if cover is Cover.WORDS:
        named = words if category is None or is_blind else (EVERY, category)
        spans |= {word for name in named for word in words.get(name, ())}
    return tuple(sorted(spans, key=lambda span: (-len(span), span)))


def cover_text(text: str, spans: Collection[str]) -> str:
    """`text` with each span, in any case, replaced by `COVERED`; a listed word is covered with its endings."""
    if not spans:
        return text
    parts = [re.escape(span) + (r"\w*" if span[-1].isalnum() else "") for span in spans]
    return re.sub("|".join(parts), COVERED, text, flags=re.IGNORECASE)
