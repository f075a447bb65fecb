"""Members of zip archives, read with distrust: names are no paths, sizes are bounded, and what can be read of a damaged archive is.

The standard library lists the members; it does not unpack Zstandard (before Python 3.14), gives nothing of an archive whose end is missing,
and believes the sizes that an archive names.
"""

from __future__ import annotations

import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import IO

import zstandard

MAX_MEMBER_BYTES = 256 << 20
# Deflate cannot exceed 1,032 to 1; logs that repeat themselves reach some hundred with Zstandard.
MAX_RATIO = 1_000
_SMALL_BYTES = 1 << 20
_STORED, _DEFLATE, _ZSTD = 0, 8, 93
_ENCRYPTED, _SIZES_FOLLOW, _UTF8 = 0x1, 0x8, 0x800
# signature, version, flags, method, time, date, CRC, packed bytes, bytes, length of the name, length of extra fields
_HEADER = struct.Struct("<4s5H3L2H")
_SIGNATURE, _DIRECTORY = b"PK\x03\x04", b"PK\x01\x02"
# What `zipfile` raises where the directory is missing, cut off, or nonsense.
_UNREADABLE = (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, EOFError, struct.error)


@dataclass(frozen=True, slots=True)
class Member:
    """One member, as the archive describes it.

    Attributes:
        name: Its name: text from outside, never a path.
        method: How it is packed.
        flags: Bits of the header.
        crc: Checksum of the unpacked bytes.
        packed_size: Bytes in the archive.
        size: Bytes once unpacked.
        offset: Where its header begins.
        is_overlapped: Another member begins within it, as in archives made to unpack without end.
    """

    name: str
    method: int
    flags: int
    crc: int
    packed_size: int
    size: int
    offset: int
    is_overlapped: bool = False

    @property
    def end_offset(self) -> int:
        """Where it ends in the archive, or a little before."""
        return self.offset + _HEADER.size + self.packed_size


class MemberError(Exception):
    """A member cannot be unpacked; `reason` is damaged_member or member_too_large, `start` what could be read of it."""

    def __init__(self, reason: str, detail: str, start: bytes = b"") -> None:
        super().__init__(detail)
        self.reason, self.detail, self.start = reason, detail, start


def list_members(file: IO[bytes]) -> tuple[list[Member], str]:
    """The members in the order in which they were added, of those with one name the last.

    Returns:
        The members, and why the archive is not whole ("" when it is): what was written before the damage is listed all the same.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            found = [info for info in archive.infolist() if archive.NameToInfo[info.filename] is info]
    except _UNREADABLE:
        return _list_headers(file)
    members = [
        Member(i.filename, i.compress_type, i.flag_bits, i.CRC, i.compress_size, i.file_size, i.header_offset)
        for i in found
    ]
    by_place = sorted(members, key=lambda member: member.offset)
    overlapped = {one.name for one, following in pairwise(by_place) if one.end_offset > following.offset}
    return [replace(member, is_overlapped=member.name in overlapped) for member in members], ""


def unpack_member(file: IO[bytes], member: Member) -> bytes:
    """The member's bytes.

    Raises:
        MemberError: It is damaged, packed in a way that cannot be read, or too large.
    """
    if member.is_overlapped or max(member.size, member.packed_size) > MAX_MEMBER_BYTES:
        raise MemberError("member_too_large", f"It is larger than {MAX_MEMBER_BYTES >> 20} MB, or shares its bytes.")
    if member.size > max(_SMALL_BYTES, MAX_RATIO * member.packed_size):
        raise MemberError("member_too_large", f"It unpacks to more than {MAX_RATIO:,} times its size.")
    if member.flags & _ENCRYPTED:
        raise MemberError("damaged_member", "It is encrypted.")
    file.seek(max(member.offset, 0))
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size or header[:4] != _SIGNATURE:
        raise MemberError("damaged_member", "It does not begin where the archive says.")
    *_, name_length, extra_length = _HEADER.unpack(header)
    file.seek(name_length + extra_length, os.SEEK_CUR)
    data = _unpack(file.read(member.packed_size), member)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise MemberError("damaged_member", "Its checksum does not fit: bytes were changed or lost.", data)
    return data


def _unpack(packed: bytes, member: Member) -> bytes:
    """At most one byte more than the member is said to hold."""
    limit = member.size + 1
    try:
        if member.method == _STORED:
            return packed
        if member.method == _DEFLATE:
            return zlib.decompressobj(wbits=-15).decompress(packed, limit)
        if member.method == _ZSTD:
            return zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True).read(limit)
    except (zlib.error, zstandard.ZstdError) as error:
        raise MemberError("damaged_member", f"It cannot be unpacked: {error}.") from error
    raise MemberError("damaged_member", f"It is packed by method {member.method}; Deflate and Zstandard can be read.")


def _list_headers(file: IO[bytes]) -> tuple[list[Member], str]:
    """The members by their own headers, up to the damage; what an archive without its end still tells."""
    file.seek(0, os.SEEK_END)
    members = {member.name: member for member in _walk_headers(file, file.tell())}
    end = max((member.end_offset for member in members.values()), default=0)
    file.seek(end)
    is_cut = _DIRECTORY not in file.read(1 << 16)
    return list(members.values()), "the archive ends early" if is_cut else "the archive's directory is damaged"


def _walk_headers(file: IO[bytes], size: int) -> Iterator[Member]:
    at = 0
    while True:
        file.seek(at)
        header = file.read(_HEADER.size)
        if len(header) < _HEADER.size or header[:4] != _SIGNATURE:
            return
        _, _, flags, method, _, _, crc, packed_size, full_size, name_length, extra_length = _HEADER.unpack(header)
        name = file.read(name_length).decode("utf-8" if flags & _UTF8 else "cp437", errors="replace")
        data_at = at + _HEADER.size + name_length + extra_length
        if flags & _SIZES_FOLLOW or data_at + packed_size > size:
            return
        yield Member(name, method, flags, crc, packed_size, full_size, at)
        at = data_at + packed_size
