"""Errors that a person may read: what happened, where, and what to do about it."""

from __future__ import annotations


class AppError(Exception):
    """An expected failure with a sentence for the screen.

    Attributes:
        title: What failed, in a few words.
        detail: Where and why: file, line, field, value.
        hint: What the reader can do about it; may be empty.
    """

    def __init__(self, title: str, detail: str = "", hint: str = "") -> None:
        self.title = title
        self.detail = detail
        self.hint = hint
        super().__init__(": ".join(part for part in (title, detail) if part))

    def sentence(self) -> str:
        """All parts as one line of text."""
        body = ": ".join(part for part in (self.title, self.detail) if part)
        stop = "" if not self.hint or body.endswith((".", "!", "?")) else "."
        return f"{body}{stop} {self.hint}".strip()


class ConfigError(AppError):
    """A setting is unknown or invalid."""


class StoreBusyError(AppError):
    """Another process owns the store."""


class StoreFullError(AppError):
    """The disk that holds the store has no room; nothing of the transaction is stored."""


class UnfitValueError(AppError):
    """A value does not fit the column that it is for; nothing of the transaction is stored."""


class FormatError(AppError):
    """A whole file cannot be read as a log."""


class NotFoundError(AppError):
    """The named thing does not exist."""


class TransitionError(AppError):
    """The action is not allowed in the present state; `hint` lists the allowed ones."""


class ConflictError(AppError):
    """The record changed since it was read."""


class ExportError(AppError):
    """A feedback set could not be built; nothing half-written stays."""


class AccessError(AppError):
    """The actor's role does not permit the action."""


class UsageError(AppError):
    """The caller named something that does not exist; `hint` lists the valid names."""
