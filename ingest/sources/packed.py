"""Compressed files as streams that end, and say why, where the file is cut off or damaged."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import IO, Protocol

import zstandard

_PACKED_BYTES = 1 << 17


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes) -> bytes: ...


class PackedFile(io.RawIOBase):
    """The unpacked bytes of a file of one or more gzip members or Zstandard frames.

    The usual readers raise at a cut and keep back what they had unpacked so far, or end in silence. This one hands over
    everything, ends, and has the cause in `fault`.
    """

    def __init__(self, packed: IO[bytes], make_decoder: Callable[[], _Decoder]) -> None:
        self._packed = packed
        self._make_decoder = make_decoder
        self._decoder = make_decoder()
        self._is_inside = False
        self._ready = b""
        self.fault = ""

    def tell_packed(self) -> int:
        """Bytes of the packed file that were read."""
        return self._packed.tell()

    def readable(self) -> bool:
        """Always."""
        return True

    def close(self) -> None:
        """Closes the packed file too."""
        self._packed.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # typeshed names a private buffer type
        """Fills `buffer` with the next bytes; 0 at the end."""
        while not self._ready and not self.fault and self._advance():
            pass
        part = self._ready[: len(buffer)]
        buffer[: len(part)] = part
        self._ready = self._ready[len(part) :]
        return len(part)

    def _advance(self) -> bool:
        data = self._decoder.unused_data if self._decoder.eof else b""
        if self._decoder.eof:
            self._decoder, self._is_inside = self._make_decoder(), False
        data = data or self._packed.read(_PACKED_BYTES)
        if not data:
            self.fault = "the compressed data ends early" if self._is_inside else ""
            return False
        self._is_inside = True
        try:
            self._ready = self._decoder.decompress(data)
        except (zlib.error, zstandard.ZstdError) as error:
            self.fault = str(error)
        return True


def open_gzip(packed: IO[bytes]) -> io.BufferedReader:
    """A gzip file's text."""
    return io.BufferedReader(PackedFile(packed, lambda: zlib.decompressobj(wbits=31)))


def open_zstd(packed: IO[bytes]) -> io.BufferedReader:
    """A Zstandard file's text."""
    return io.BufferedReader(PackedFile(packed, lambda: zstandard.ZstdDecompressor().decompressobj()))


def get_fault(file: IO[bytes]) -> str:
    """Why a file ended early; "" when it did not."""
    raw = getattr(file, "raw", None)
    return raw.fault if isinstance(raw, PackedFile) else ""


def tell_packed(file: IO[bytes]) -> int:
    """Bytes of the packed file that were read to unpack what was."""
    raw = getattr(file, "raw", None)
    return raw.tell_packed() if isinstance(raw, PackedFile) else file.tell()
