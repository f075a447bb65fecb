"""Obvious personal data in text: e-mail addresses, phone numbers, payment card numbers, IP addresses; and what masks leave.

A last gate before training, not a detector: names, postal addresses and the like pass. Redaction belongs to
ingest.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable

import polars as pl

# Repetitions are bounded or begin after a rare character, so that hostile text costs linear time.
_EMAIL = r"[\w.+-]@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+"
_PHONE = (
    r"\+\d{1,3}[ .()-]{0,2}\d(?:[ .()-]{0,2}\d){6,13}\b"
    r"|(?:\(\d{3}\) ?|\b\d{3}[ .-])\d{3}[ .-]\d{4}\b"
)
_CARD = r"\b\d(?:[ -]?\d){12,18}\b"
_IP = r"\b(?:\d{1,3}\.){3}\d{1,3}\b|(?:[0-9A-Fa-f]{1,4}:){2,7}(?::|[0-9A-Fa-f]{1,4})[0-9A-Fa-f:]{0,34}"
_TOLL_FREE = frozenset({"800", "833", "844", "855", "866", "877", "888"})
_RESERVED_DOMAIN = re.compile(r"(?:^|\.)(?:example\.(?:com|org|net)|example|test|invalid|localhost)$", re.IGNORECASE)

_MASKED_KINDS = (
    r"(?:US_|UK_)?(?:EMAIL(?:_ADDRESS)?|PHONE(?:_NUMBER)?|PERSON(?:_NAME)?|FIRST_NAME|LAST_NAME|STREET_ADDRESS|IP_ADDRESS"
    r"|CREDIT_CARD(?:_NUMBER)?|CREDIT_DEBIT_CARD_[A-Z]+|IBAN(?:_CODE)?|SSN|SOCIAL_SECURITY_NUMBER|ITIN|BANK_[A-Z_]+"
    r"|DATE_OF_BIRTH|DATE_TIME|PASSPORT(?:_NUMBER)?|DRIVERS?_LICENSE|MEDICAL_LICENSE|NRP|PII|PHI)"
)
MASK = (
    r"(?i:[\[<{(](?:redacted|masked|anonymi[sz]ed)\b[^\]>})\n]{0,40}[\]>})]|\[REDACTED_)"
    rf"|[\[<{{]{{1,2}}{_MASKED_KINDS}(?:_\d+)?[\]>}}]{{1,2}}"
    r"|\{(?:NAME|ADDRESS|AGE|USERNAME|PASSWORD|URL)\}"
    r"|(?:(?:\*{4}|[xX]{4})[ -]){2,3}(?:\*{4}|[xX]{4}|\d{4})|(?:\*{3}|[xX]{3})-(?:\*{2}|[xX]{2})-(?:[*xX]{4}|\d{4})"
    r"|\w\*{3,}@|[█▇■]{3,}"
)
"""Pattern of what redaction leaves in a text: the placeholders of Presidio, LLM Guard, Bedrock Guardrails and Google's DLP,
starred card and account numbers, blocks. `[NAME]` in a letter is a template's own, so that bare common words do not count."""


def has_personal_data(texts: pl.Series) -> pl.Series:
    """Whether each text holds obvious personal data; false for null.

    Addresses and domains that cannot belong to a person (private and loopback networks, RFC 2606 domains),
    toll-free numbers (help lines belong in good answers), and digits that fail the Luhn check of payment cards
    do not count.
    """
    frame = texts.to_frame("text").with_row_index()
    column = pl.col("text")
    candidates = frame.select(
        "index",
        *(column.str.extract_all(pattern).alias(name) for name, (pattern, _) in _KINDS.items()),
    ).filter(pl.any_horizontal(pl.col(name).list.len() > 0 for name in _KINDS))
    checks = [is_personal for _, is_personal in _KINDS.values()]
    found = {
        index
        for index, *matches in candidates.iter_rows()
        if any(check(match) for check, hits in zip(checks, matches, strict=True) for match in hits)
    }
    return pl.Series("has_personal_data", [index in found for index in range(len(texts))], dtype=pl.Boolean)


def _is_email(text: str) -> bool:
    domain = text.rpartition("@")[2]
    top = domain.rpartition(".")[2]
    return len(top) >= 2 and top.isalpha() and not _RESERVED_DOMAIN.search(domain)


def _is_phone(text: str) -> bool:
    digits = "".join(character for character in text if character.isdigit()).removeprefix("1")
    return not (len(digits) == 10 and digits[:3] in _TOLL_FREE)


def _is_card(text: str) -> bool:
    digits = [int(character) for character in text if character.isascii() and character.isdigit()]
    doubled = [sum(divmod(2 * digit, 10)) for digit in digits[-2::-2]]
    return 13 <= len(digits) <= 19 and any(digits) and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


_KINDS: dict[str, tuple[str, Callable[[str], bool]]] = {
    "email": (_EMAIL, _is_email),
    "phone": (_PHONE, _is_phone),
    "card": (_CARD, _is_card),
    "ip": (_IP, _is_address),
}
"""Per kind a pattern that finds candidates, and whether a candidate is personal."""
