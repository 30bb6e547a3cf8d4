"""ZIP archives that strangers made: read in memory, within limits, never extracted.

    raw bytes --open_archive--> Archive --read(name)--> a member's bytes, counted and checked
    raw bytes --text_members--> each text in it, and in the archives inside it, or its refusal

`zipfile` reads the directory; the members are unpacked here, for it would take the sizes that they
declare on trust. Only "stored" and "deflated" are known, which is all that EPUB permits and nearly
all that is met; bzip2 and LZMA pack thousands of bytes into one.
"""

import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import pairwise
from pathlib import PurePosixPath
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from pydantic import PositiveInt

from data.documents import Unreadable
from data.raw_book import ARCHIVE_SUFFIX, TEXT_SUFFIXES
from data.settings import Settings

_GET_AGAIN = "Get the file again, or unpack it and give the texts."
_UNPACK = "If you trust it, unpack it yourself and give the texts."
# Ends with the lengths of the name and of the extra field.
_LOCAL_HEADER = struct.Struct("<4s22xHH")
_END_RECORD = struct.Struct("<4s8xI")  # ends with the directory's size
_SMALL = 1 << 20  # bytes; a member as small may be packed as well as it can be
# What `zipfile` raises of a damaged directory; UnicodeDecodeError is a ValueError.
_DAMAGED = (BadZipFile, RuntimeError, ValueError, OverflowError, EOFError, OSError, struct.error)


class ArchiveLimits(Settings):
    """What an archive may cost: an EPUB is one too."""

    most_members: PositiveInt = 20_000
    """Members of one archive, those in archives inside it included; a long novel has a hundred."""
    most_bytes: PositiveInt = 1_000_000_000
    """Bytes that are unpacked in all."""
    most_bytes_of_a_member: PositiveInt = 200_000_000
    """Bytes that one member may unpack to; it is held in memory. *War and Peace* has 3 million."""
    highest_ratio: PositiveInt = 200
    """Unpacked bytes to packed ones, of a member or of all together, above a megabyte: text has up
    to 10, zeros 1,000."""
    deepest_nesting: PositiveInt = 2
    """How deep archives may lie in the given one: 1 reads a .zip in a .zip."""


@dataclass(frozen=True)
class Member:
    """A text in an archive; `name` is its path, `inner.zip/path.txt` where it lies in another."""

    name: str
    content: bytes


@dataclass(frozen=True)
class RefusedMember:
    """A member of an archive that is not read, and why."""

    name: str
    error: Unreadable


class _Spent:
    """What an archive of `num_packed` bytes, and those inside it, have cost so far."""

    def __init__(self, limits: ArchiveLimits, num_packed: int) -> None:
        self.limits, self._num_packed = limits, num_packed
        self.num_members = self.num_bytes = 0

    def count_members(self, number: int) -> None:
        self.num_members += number
        if self.num_members > self.limits.most_members:
            raise Unreadable(
                f"The archive holds {self.num_members:,} members or more; most_members is"
                f" {self.limits.most_members:,}.",
                "Raise most_members, or unpack it and give the texts.",
            )

    def count_bytes(self, name: str, number: int) -> None:
        total, limits = self.num_bytes + number, self.limits
        if total > limits.most_bytes:
            raise Unreadable(
                f"With {name!r} the archive unpacks to {total:,} bytes; most_bytes is"
                f" {limits.most_bytes:,}.",
                "Raise most_bytes, or unpack it and give the texts.",
            )
        if total > _SMALL and total > limits.highest_ratio * self._num_packed:
            raise Unreadable(
                f"With {name!r} the archive unpacks to {total:,} bytes out of"
                f" {self._num_packed:,} packed ones, as no texts do; highest_ratio is"
                f" {limits.highest_ratio}.",
                _UNPACK,
            )
        self.num_bytes = total


class Archive:
    """An archive whose directory was checked; made by `open_archive`.

    Members are unpacked when they are read, and count towards the limits each time.
    """

    def __init__(self, raw: bytes, members: Mapping[str, ZipInfo], spent: _Spent) -> None:
        self._raw, self._members, self._spent = raw, members, spent

    @property
    def names(self) -> tuple[str, ...]:
        """The files in it, as its directory has them; folders and links are no files."""
        return tuple(self._members)

    def __contains__(self, name: str) -> bool:
        return name in self._members

    def read(self, name: str) -> bytes:
        """Unpack a member; at most one byte more than it declares ever comes out.

        Raises:
            Unreadable: there is none of the name, it is encrypted, damaged or beyond a limit.
        """
        if name not in self._members:
            raise Unreadable(f"The archive holds no file {name!r}.", _GET_AGAIN)
        info = self._members[name]
        self._check_cost(name, info)
        self._spent.count_bytes(name, info.file_size)
        start = _content_start(self._raw, info)
        packed = memoryview(self._raw)[start : start + info.compress_size]
        content = bytes(packed) if info.compress_type == ZIP_STORED else _inflated(packed, info)
        if len(content) > info.file_size:
            reason = f"unpacks to more than the {info.file_size:,} bytes that it declares"
        elif len(content) < info.file_size:
            reason = f"unpacks to {len(content):,} of the {info.file_size:,} bytes that it declares"
        elif zlib.crc32(content) != info.CRC:
            reason = "is damaged: its checksum differs"
        else:
            return content
        raise Unreadable(f"The member {name!r} {reason}.", _GET_AGAIN, info.header_offset)

    def _check_cost(self, name: str, info: ZipInfo) -> None:
        """Refuse what need not be unpacked to be refused."""
        limits, reason, remedy = self._spent.limits, "", _UNPACK
        if info.flag_bits & 1:
            reason, remedy = "is encrypted", "Unpack it with its password and give the texts."
        elif info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
            reason = f"is compressed by method {info.compress_type}, not by 8 (deflate)"
        elif info.file_size > limits.most_bytes_of_a_member:
            reason = (
                f"declares {info.file_size:,} bytes; most_bytes_of_a_member is"
                f" {limits.most_bytes_of_a_member:,}"
            )
            remedy = "Raise most_bytes_of_a_member, or give the text in parts."
        elif info.file_size > _SMALL and info.file_size > limits.highest_ratio * info.compress_size:
            reason = (
                f"declares {info.file_size:,} bytes out of {info.compress_size:,} packed ones, as"
                f" no text does; highest_ratio is {limits.highest_ratio}"
            )
        if reason:
            raise Unreadable(f"The member {name!r} {reason}.", remedy, info.header_offset)


def open_archive(raw: bytes, limits: ArchiveLimits) -> Archive:
    """Open an archive from its bytes, which are not copied; nothing is unpacked yet.

    Raises:
        Unreadable: it is no ZIP archive or cut short, has too many members, or is made to deceive:
            members overlap, two have one name, or a name leads out of the folder it is unpacked to.
    """
    return _open(raw, _Spent(limits, len(raw)))


def text_members(raw: bytes, limits: ArchiveLimits) -> Iterator[Member | RefusedMember]:
    """Yield the texts of an archive by their names, and refusals of those that are damaged.

    Archives inside it are gone into; files that begin with a dot and those that macOS adds are left
    out. One text, and the archives around it, are in memory at a time.

    Raises:
        Unreadable: the archive is none, see `open_archive`, or holds no texts.
    """
    spent = _Spent(limits, len(raw))
    texts = _texts(_open(raw, spent), "", spent, 0)
    first = next(texts, None)
    if first is None:
        raise Unreadable(
            f"The archive holds no files of the kinds {', '.join(TEXT_SUFFIXES)}.",
            "Give an archive with books in it.",
        )
    yield first
    yield from texts


def _texts(
    archive: Archive, prefix: str, spent: _Spent, depth: int
) -> Iterator[Member | RefusedMember]:
    for name in sorted(archive.names):
        path = PurePosixPath(name)
        suffix = path.suffix.lower()
        if path.parts[:1] == ("__MACOSX",) or any(part.startswith(".") for part in path.parts):
            continue
        full_name = prefix + name
        try:
            if suffix in TEXT_SUFFIXES:
                yield Member(full_name, archive.read(name))
            elif suffix == ARCHIVE_SUFFIX:
                if depth == spent.limits.deepest_nesting:
                    raise Unreadable(
                        f"The archive {full_name!r} lies {depth + 1} deep in archives;"
                        f" deepest_nesting is {depth}.",
                        "Raise deepest_nesting, or unpack it and give the texts.",
                    )
                inner = _open(archive.read(name), spent)
                yield from _texts(inner, f"{full_name}/", spent, depth + 1)
        except Unreadable as error:
            yield RefusedMember(full_name, error)


def _open(raw: bytes, spent: _Spent) -> Archive:
    end = raw.rfind(b"PK\x05\x06")
    if end < 0:
        if raw.startswith(b"PK\x03\x04"):
            raise Unreadable("The archive is cut short: its directory is missing.", _GET_AGAIN)
        raise Unreadable("It is no ZIP archive.", "Check that it is the file you mean.")
    # `zipfile` makes an object of each member, some 500 bytes, before it can tell how many.
    end_record = raw[end : end + _END_RECORD.size].ljust(_END_RECORD.size, b"\0")
    start = max(0, end - int(_END_RECORD.unpack(end_record)[1]))
    num_members = raw.count(b"PK\x01\x02", start, end)
    if num_members > spent.limits.most_members:
        spent.count_members(num_members)
    try:
        with ZipFile(BytesIO(raw)) as archive:
            infos, directory_start = archive.infolist(), archive.start_dir
    except _DAMAGED as error:
        raise Unreadable(f"The archive's directory is damaged: {error}.", _GET_AGAIN) from None
    spent.count_members(len(infos))
    members: dict[str, ZipInfo] = {}
    for info in infos:
        name = info.orig_filename
        _check_name(name)
        if name in members:
            raise Unreadable(f"Two members of the archive have the name {name!r}.", _UNPACK)
        members[name] = info
    _check_apart(raw, infos, directory_start)
    return Archive(raw, {name: info for name, info in members.items() if _is_file(info)}, spent)


def _check_name(name: str) -> None:
    reason = (
        "is empty" if not name
        else "has a NUL in it" if "\0" in name
        else "has backslashes in it" if "\\" in name
        else "is an absolute path" if name.startswith("/")
        else "names a drive" if name[1:2] == ":"
        else "leads out of the archive" if ".." in name.split("/")
        else ""
    )  # fmt: skip
    if reason:
        raise Unreadable(f"The name of the member {name!r} {reason}.", _UNPACK)


def _check_apart(raw: bytes, infos: list[ZipInfo], directory_start: int) -> None:
    """Refuse members that share bytes: so 10 MB hold 281 TB (Fifield, A better zip bomb, 2019)."""
    spans = sorted(
        (info.header_offset, _content_start(raw, info) + info.compress_size, info.orig_filename)
        for info in infos
    )
    for (_, end, name), (start, _, following) in pairwise(spans):
        if start < end:
            raise Unreadable(
                f"The members {name!r} and {following!r} of the archive overlap.", _UNPACK, start
            )
    if spans and spans[-1][1] > directory_start:
        raise Unreadable(f"The member {spans[-1][2]!r} overlaps the archive's directory.", _UNPACK)


def _content_start(raw: bytes, info: ZipInfo) -> int:
    """Where a member's packed bytes begin, which only its own header tells."""
    start = info.header_offset
    header = raw[max(0, start) : max(0, start) + _LOCAL_HEADER.size]
    if start < 0 or len(header) < _LOCAL_HEADER.size or not header.startswith(b"PK\x03\x04"):
        raise Unreadable(f"The member {info.orig_filename!r} has no header.", _GET_AGAIN)
    _, name_length, extra_length = _LOCAL_HEADER.unpack(header)
    return start + _LOCAL_HEADER.size + int(name_length) + int(extra_length)


def _inflated(packed: memoryview, info: ZipInfo) -> bytes:
    try:
        # One byte more than declared tells that there is more.
        return zlib.decompressobj(-zlib.MAX_WBITS).decompress(packed, info.file_size + 1)
    except zlib.error as error:
        raise Unreadable(
            f"The member {info.orig_filename!r} is damaged: {error}.",
            _GET_AGAIN,
            info.header_offset,
        ) from None


def _is_file(info: ZipInfo) -> bool:
    """Whether it is no folder and no symbolic link, whose content is a path."""
    is_link = stat.S_ISLNK(info.external_attr >> 16)
    return not is_link and not info.orig_filename.endswith("/")
