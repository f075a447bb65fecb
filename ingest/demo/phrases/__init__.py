"""The words of the demo, one module per language. Nothing here instructs anyone to do harm."""

from __future__ import annotations

from ingest.demo.phrases import de, en, es, fr, pt
from ingest.demo.phrases.book import Phrasebook

PHRASEBOOKS: dict[str, Phrasebook] = {
    "en": en.BOOK,
    "de": de.BOOK,
    "es": es.BOOK,
    "fr": fr.BOOK,
    "pt": pt.BOOK,
}
