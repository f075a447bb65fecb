"""Explicit registries: a duplicate key raises, an unknown one names the valid ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, Protocol, TypeVar

from core.errors import UsageError


class Keyed(Protocol):
    """Anything with a stable key."""

    @property
    def key(self) -> str: ...


T = TypeVar("T", bound=Keyed)


class Registry(Mapping[str, T], Generic[T]):
    """An ordered mapping from key to entry, fixed at import."""

    def __init__(self, kind: str, *entries: T) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}
        for entry in entries:
            if entry.key in self._entries:
                raise ValueError(f"{kind} {entry.key!r} is registered twice")
            self._entries[entry.key] = entry

    def __getitem__(self, key: str) -> T:
        try:
            return self._entries[key]
        except KeyError:
            valid = ", ".join(self._entries)
            raise UsageError(f"Unknown {self.kind}", repr(key), f"Valid: {valid}.") from None

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
