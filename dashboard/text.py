"""What makes logged text harmless on a page; `core.text` explains each, and commands and documents use the same."""

from __future__ import annotations

from core.text import inert, plain, write_out

__all__ = ["inert", "plain", "write_out"]
