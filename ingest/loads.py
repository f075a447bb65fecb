"""What the inbox is reading right now: how far each long file is, for whoever wants to look."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Load:
    """One file that is being stored in several transactions.

    Attributes:
        path: The file.
        read_bytes: Bytes of the file whose records are in the store.
        size: Its bytes.
    """

    path: Path
    read_bytes: int
    size: int

    @property
    def share(self) -> float:
        """How much of it is stored, 0 to 1."""
        return min(1.0, self.read_bytes / self.size) if self.size else 1.0


@dataclass(slots=True)
class Loads:
    """The long files under way. Thread-safe."""

    _loads: dict[Path, Load] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, path: Path, read_bytes: int, size: int) -> None:
        """Notes how far a file is; one that is read at once never shows."""
        with self._lock:
            if read_bytes < size:
                self._loads[path] = Load(path, read_bytes, size)
            else:
                self._loads.pop(path, None)

    def end(self, path: Path) -> None:
        """Nothing of the file is read any more, whatever became of it."""
        with self._lock:
            self._loads.pop(path, None)

    def list(self) -> list[Load]:
        """The files under way, by path."""
        with self._lock:
            return sorted(self._loads.values(), key=lambda load: load.path)
