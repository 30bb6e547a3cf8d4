"""Archives that are damaged or made to harm: what each is refused for, and that no byte too many
comes out.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterable
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.archives import (
    ArchiveLimits,
    Member,
    RefusedMember,
    open_archive,
    text_members,
)
from data.documents import Unreadable

LIMITS = ArchiveLimits()
TALE = b"It was a dark and stormy night. " * 20


def zipped(members: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return buffer.getvalue()


def directory_at(raw: bytes) -> int:
    return raw.index(b"PK\x01\x02")


def patched(raw: bytes, offset: int, value: bytes) -> bytes:
    return raw[:offset] + value + raw[offset + len(value) :]


def refused(raw: bytes, limits: ArchiveLimits = LIMITS) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        open_archive(raw, limits)
    assert caught.value.remedy
    return caught.value


def refused_member(raw: bytes, name: str, limits: ArchiveLimits = LIMITS) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        open_archive(raw, limits).read(name)
    assert caught.value.remedy
    return caught.value


contents = st.dictionaries(
    st.text("abc/. ", min_size=1, max_size=8)
    .map(lambda stem: f"x{stem}.txt")
    .filter(lambda name: ".." not in name),
    st.binary(max_size=300),
    max_size=5,
)


@given(contents, st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_members_are_what_was_packed(files: dict[str, bytes], method: int) -> None:
    archive = open_archive(zipped(files.items(), method), LIMITS)
    assert {name: archive.read(name) for name in archive.names} == files


def test_what_a_made_stream_writes_and_what_lies_before_it_are_read() -> None:
    class Unseekable(BytesIO):
        def seekable(self) -> bool:
            return False

        def tell(self) -> int:
            raise OSError

        def seek(self, *_: int) -> int:
            raise OSError

    buffer = Unseekable()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.txt", TALE)
    for raw in (buffer.getvalue(), b"#!/bin/sh\n" + buffer.getvalue()):
        assert open_archive(raw, LIMITS).read("a.txt") == TALE


@pytest.mark.parametrize("raw", [b"", b"PK", b"It was a dark and stormy night."])
def test_no_archive(raw: bytes) -> None:
    assert refused(raw).reason == "It is no ZIP archive."


@pytest.mark.parametrize("kept", [4, 30, 100, 200, 250])
def test_an_archive_cut_in_its_members(kept: int) -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", bytes(range(256)))])
    assert kept < directory_at(raw)
    assert refused(raw[:kept]).reason == "The archive is cut short: its directory is missing."


def test_an_archive_cut_anywhere_is_refused() -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", TALE)])
    reasons = {refused(raw[:kept]).reason for kept in range(len(raw))}
    assert all(reason.startswith(("The archive", "It is no ZIP archive")) for reason in reasons)


def test_a_directory_that_lies_elsewhere() -> None:
    raw = zipped([("a.txt", TALE)])
    end = raw.index(b"PK\x05\x06")
    assert refused(patched(raw, end + 12, struct.pack("<I", 1 << 20))).reason.startswith(
        "The archive's directory is damaged: "
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("/etc/passwd", "is an absolute path"),
        ("../up.txt", "leads out of the archive"),
        ("a/../../up.txt", "leads out of the archive"),
        ("C:/autoexec.txt", "names a drive"),
        ("a\\b.txt", "has backslashes in it"),
        ("a.txt\0.jpg", "has a NUL in it"),
    ],
)
def test_names_that_lead_astray(name: str, reason: str) -> None:
    # zipfile writes none of them; a name of as many letters stands in.
    stand_in = "n" * len(name)
    raw = zipped([("a.txt", TALE), (stand_in, b"x")]).replace(stand_in.encode(), name.encode())
    assert refused(raw).reason == f"The name of the member {name!r} {reason}."


def test_a_member_without_a_name() -> None:
    assert refused(zipped([("", TALE)])).reason == "The name of the member '' is empty."


def test_two_members_of_one_name() -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", TALE)]).replace(b"b.txt", b"a.txt")
    assert refused(raw).reason == "Two members of the archive have the name 'a.txt'."


def test_members_that_share_their_bytes() -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", TALE)])
    second = raw.index(b"PK\x01\x02", directory_at(raw) + 4)
    # The second entry of the directory points to the first member.
    same = patched(raw, second + 42, struct.pack("<I", 0)).replace(b"b.txt", b"a.txu")
    assert refused(same).reason == "The members 'a.txt' and 'a.txu' of the archive overlap."
    # The first member is said to go on through the second one's header.
    quoting = patched(raw, directory_at(raw) + 20, struct.pack("<I", 100))
    assert refused(quoting).reason == "The members 'a.txt' and 'b.txt' of the archive overlap."
    over = patched(raw, second + 20, struct.pack("<I", 1000))
    assert refused(over).reason == "The member 'b.txt' overlaps the archive's directory."


def test_too_many_members() -> None:
    raw = zipped((f"{number}.txt", b"") for number in range(30_000))
    assert refused(raw).reason == (
        "The archive holds 30,000 members or more; most_members is 20,000."
    )
    archive = open_archive(raw, ArchiveLimits(most_members=30_000))
    assert len(archive.names) == 30_000


def test_an_encrypted_member_is_named_and_others_are_read() -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", TALE)])
    raw = patched(raw, directory_at(raw) + 8, struct.pack("<H", 1))
    assert refused_member(raw, "a.txt").reason == "The member 'a.txt' is encrypted."
    assert open_archive(raw, LIMITS).read("b.txt") == TALE


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_other_compression(method: int) -> None:
    assert refused_member(zipped([("a.txt", TALE)], method), "a.txt").reason == (
        f"The member 'a.txt' is compressed by method {method}, not by 8 (deflate)."
    )


def test_a_bomb_of_zeros() -> None:
    raw = zipped([("zeros.txt", bytes(10_000_000))])
    assert refused_member(raw, "zeros.txt").reason.endswith(
        " packed ones, as no text does; highest_ratio is 200."
    )
    assert len(open_archive(raw, ArchiveLimits(highest_ratio=2000)).read("zeros.txt")) == 10**7


def test_a_bomb_of_many_small_members() -> None:
    raw = zipped((f"{number}.txt", bytes(10**6)) for number in range(3))
    archive = open_archive(raw, ArchiveLimits())
    assert len(archive.read("0.txt")) == 10**6
    with pytest.raises(Unreadable) as caught:
        archive.read("1.txt")
    assert caught.value.reason == (
        f"With '1.txt' the archive unpacks to 2,000,000 bytes out of {len(raw):,} packed ones, as"
        " no texts do; highest_ratio is 200."
    )
    assert len(open_archive(raw, ArchiveLimits(highest_ratio=2000)).read("1.txt")) == 10**6


def test_a_bomb_that_declares_little() -> None:
    raw = zipped([("zeros.txt", bytes(10_000_000))])
    raw = patched(raw, directory_at(raw) + 24, struct.pack("<I", 1000))
    assert refused_member(raw, "zeros.txt").reason == (
        "The member 'zeros.txt' unpacks to more than the 1,000 bytes that it declares."
    )


def test_a_member_that_declares_too_much() -> None:
    raw = zipped([("a.txt", TALE)])
    raw = patched(raw, directory_at(raw) + 24, struct.pack("<I", 1000))
    assert refused_member(raw, "a.txt").reason == (
        "The member 'a.txt' unpacks to 640 of the 1,000 bytes that it declares."
    )
    assert refused_member(raw, "a.txt", ArchiveLimits(most_bytes_of_a_member=999)).reason == (
        "The member 'a.txt' declares 1,000 bytes; most_bytes_of_a_member is 999."
    )


def test_what_is_unpacked_is_counted_in_all() -> None:
    archive = open_archive(
        zipped([("a.txt", TALE), ("b.txt", TALE)]), ArchiveLimits(most_bytes=1000)
    )
    assert archive.read("a.txt") == TALE
    with pytest.raises(Unreadable, match=r"With 'b.txt' the archive unpacks to 1,280 bytes"):
        archive.read("b.txt")


def test_a_wrong_checksum_and_a_damaged_stream() -> None:
    raw = zipped([("a.txt", TALE)])
    wrong = patched(raw, directory_at(raw) + 16, b"\0\0\0\0")
    assert refused_member(wrong, "a.txt").reason == (
        "The member 'a.txt' is damaged: its checksum differs."
    )
    broken = patched(raw, len("a.txt") + 30, b"\xff" * 8)
    assert refused_member(broken, "a.txt").reason.startswith("The member 'a.txt' is damaged: ")


def test_a_missing_member_folders_and_links() -> None:
    link = zipfile.ZipInfo("link.txt")
    link.create_system, link.external_attr = 3, 0o120777 << 16
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(link, "/etc/passwd")
        archive.writestr("folder/", "")
        archive.writestr("folder/a.txt", TALE)
    assert open_archive(buffer.getvalue(), LIMITS).names == ("folder/a.txt",)
    assert refused_member(buffer.getvalue(), "link.txt").reason == (
        "The archive holds no file 'link.txt'."
    )


def test_texts_come_by_name_and_archives_are_gone_into() -> None:
    inner = zipped([("deep/c.HTML", b"<p>c</p>"), ("picture.png", b"png")])
    raw = zipped(
        [
            ("z.txt", b"z"),
            ("inner.zip", inner),
            ("a.md", b"a"),
            ("__MACOSX/a.txt", b"of macOS"),
            ("shelf/.hidden.txt", b"of an editor"),
            ("./b.epub", b"an EPUB is not opened here"),
            ("readme", b"no suffix"),
        ]
    )
    assert list(text_members(raw, LIMITS)) == [
        Member("./b.epub", b"an EPUB is not opened here"),
        Member("a.md", b"a"),
        Member("inner.zip/deep/c.HTML", b"<p>c</p>"),
        Member("z.txt", b"z"),
    ]


def test_one_damaged_text_does_not_lose_the_others() -> None:
    raw = zipped([("a.txt", TALE), ("b.zip", b"no archive"), ("c.txt", b"c")])
    raw = patched(raw, directory_at(raw) + 16, b"\0\0\0\0")
    first, second, third = text_members(raw, LIMITS)
    assert isinstance(first, RefusedMember) and isinstance(second, RefusedMember)
    assert (first.name, second.name) == ("a.txt", "b.zip")
    assert first.error.reason == "The member 'a.txt' is damaged: its checksum differs."
    assert second.error.reason == "It is no ZIP archive."
    assert third == Member("c.txt", b"c")


def test_archives_three_deep() -> None:
    raw = zipped([("d.txt", b"d")])
    for name in ("c.zip", "b.zip", "a.zip"):
        raw = zipped([(name, raw), (f"{name}.txt", b"beside")])
    *texts, refusal = sorted(
        text_members(raw, LIMITS), key=lambda one: isinstance(one, RefusedMember)
    )
    assert [text.name for text in texts] == [
        "a.zip/b.zip/c.zip.txt",
        "a.zip/b.zip.txt",
        "a.zip.txt",
    ]
    assert isinstance(refusal, RefusedMember)
    assert refusal.error.reason == (
        "The archive 'a.zip/b.zip/c.zip' lies 3 deep in archives; deepest_nesting is 2."
    )
    names = [one.name for one in text_members(raw, ArchiveLimits(deepest_nesting=3))]
    assert names[0] == "a.zip/b.zip/c.zip/d.txt"


def test_limits_hold_for_archives_inside_together() -> None:
    inner = zipped([("a.txt", TALE), ("b.txt", TALE)], zipfile.ZIP_STORED)
    raw = zipped([("one.zip", inner), ("two.zip", inner)])
    items = list(text_members(raw, ArchiveLimits(most_bytes=3 * len(inner))))
    assert [type(one) for one in items] == [Member, Member, RefusedMember, RefusedMember]
    items = list(text_members(raw, ArchiveLimits(most_members=5)))
    assert [one.name for one in items] == ["one.zip/a.txt", "one.zip/b.txt", "two.zip"]
    assert isinstance(items[-1], RefusedMember)
    assert items[-1].error.reason.startswith("The archive holds 6 members")


def test_an_archive_without_texts() -> None:
    with pytest.raises(Unreadable, match=r"holds no files of the kinds .txt, .md, .html"):
        next(text_members(zipped([("a.png", b"png")]), LIMITS))


@given(st.data())
def test_damage_anywhere_never_yields_other_words(data: st.DataObject) -> None:
    raw = zipped([("a.txt", TALE), ("b.txt", zlib.compress(TALE))])
    offset = data.draw(st.integers(0, len(raw) - 1))
    damaged = patched(raw, offset, bytes([raw[offset] ^ data.draw(st.integers(1, 255))]))
    try:
        archive = open_archive(damaged, LIMITS)
        for name in archive.names:
            assert archive.read(name) in (TALE, zlib.compress(TALE))
    except Unreadable:
        pass
