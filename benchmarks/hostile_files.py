r"""Hostile files: real books as a disk, a network, a careless program or an enemy would leave them.

    hostile_file(shelf, seed=1, index=42)  -->  HostileFile("cut", ".epub", b"PK\x03\x04...")

A file follows from the shelf, the seed and its index alone, so that one of ten thousand can be made
again. Of four files one is damaged twice. What is packed is also damaged inside and packed anew,
with checksums that are right, or no damage would come past them.
"""

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from markdown_it import MarkdownIt

from benchmarks.hostile_runs import RUNS, repeats
from data.plays import play_paths

MOST_BYTES = 2_000_000
PACKED = (".epub", ".zip")
SUFFIXES = (".txt", ".md", ".html", *PACKED)
INSERTED = (
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\xff\xfe\0\0", b"\xed\xa0\x80"),
    *(b"\r", b"\r\r\n", b"\f", b"\x0b", b"\x1a", b"\x1b[31m", b"\x7f", b"\x85", b"\xc2\x85"),
    *(b"\xe2\x80\xa8", b"\xe2\x80\x8b", b"\xc2\xa0", b"\xc2\xad", b"\xf4\x90\x80\x80", b"\xe9"),
)
MEMBER_NAMES = (
    *("../../escaped.txt", "/escaped.txt", "C:escaped.txt", "..\\escaped.txt", "a/../../b.txt"),
    *(
        "a\nb\x1b[31m.txt",
        "\u202etxt.md",
        "a" * 300 + ".txt",
        "é" * 200 + ".md",
        "con.txt",
        " .txt",
    ),
    *(
        "inner.zip",
        "inner/inner.zip",
        ".txt",
        "__MACOSX/a.txt",
        "a.txt/b.txt",
        "a?.html",
        "\x7f.md",
    ),
)


@dataclass(frozen=True)
class File:
    """A file's bytes and what its name ends with."""

    suffix: str
    content: bytes


@dataclass(frozen=True)
class HostileFile(File):
    """`damage` says what was done to a real book: 'cut, bits flipped'."""

    damage: str


def packaged_shelf(num_plays: int | None = None) -> list[File]:
    """The packaged plays in Markdown, as HTML, as EPUBs and four in an archive in an archive."""
    plays = [path.read_bytes() for path in play_paths()[:num_plays]]
    parser = MarkdownIt()
    pages = [parser.render(play.decode()).encode() for play in plays]
    files = [File(".md", play) for play in plays]
    files += [File(".html", page) for page in pages]
    files += [File(".epub", _epub(page)) for page in pages]
    some = {f"plays/{index}.md": play for index, play in enumerate(plays[:4])}
    files.append(
        File(".zip", zipped({**some, "pages/1.html": pages[0], "inner.zip": zipped(some)}))
    )
    return files


def shelf_of(folders: Sequence[str], suffixes: Sequence[str] = (".htm", *SUFFIXES)) -> list[File]:
    """Every real file below some folders that a reader is for."""
    paths = sorted(path for name in folders for path in Path(name).rglob("*"))
    chosen = [path for path in paths if path.suffix.lower() in suffixes]
    return [File(path.suffix.lower(), path.read_bytes()) for path in chosen]


def hostile_file(
    shelf: Sequence[File], seed: int, index: int, most_bytes: int = MOST_BYTES
) -> HostileFile:
    """The file of a seed and an index, of at most so many bytes."""
    draw = Random(f"{seed}/{index}")
    num_damages = draw.choice((1, 1, 1, 2))
    names = draw.choices([*DAMAGES], [weight for weight, _ in DAMAGES.values()], k=num_damages)
    file = _shortened(draw, draw.choice(shelf), most_bytes)
    done = []
    for name in names:
        details, file = DAMAGES[name][1](draw, file, shelf)
        done.append(f"{name} ({details})" if details else name)
        file = File(file.suffix, file.content[:most_bytes])
    return HostileFile(file.suffix, file.content, ", ".join(done))


def zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of members; an EPUB's type comes first and is not packed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method, compresslevel=1) as archive:
        for name, content in members.items():
            stored = zipfile.ZIP_STORED if name == "mimetype" else None
            archive.writestr(zipfile.ZipInfo(name), content, stored)
    return buffer.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    """The members of an archive; none where it is too damaged."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # zipfile raises a dozen kinds
        return {}


def _epub(page: bytes) -> bytes:
    """A play as an EPUB 3: a page for each act, and a table of contents of both kinds."""
    acts = page.split(b"<h2>")
    names = [f"p{index}.xhtml" for index in range(len(acts))]
    items = "".join(
        f'<item id="{name}" href="{name}" media-type="application/xhtml+xml"/>' for name in names
    )
    spine = "".join(f'<itemref idref="{name}"/>' for name in names)
    entries = "".join(f'<li><a href="{name}">Part {name}</a></li>' for name in names)
    points = "".join(
        f"<navPoint><navLabel><text>{name}</text></navLabel><content src='{name}'/></navPoint>"
        for name in names
    )
    opf = (
        '<package xmlns="http://www.idpf.org/2007/opf" version="3.0"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>A Play</dc:title><dc:creator>William'
        " Shakespeare</dc:creator><dc:date>1600</dc:date><dc:language>en</dc:language></metadata>"
        f'<manifest>{items}<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml"'
        ' properties="nav"/><item id="ncx" href="toc.ncx"'
        f' media-type="application/x-dtbncx+xml"/></manifest><spine toc="ncx">{spine}</spine>'
        "</package>"
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile'
        ' full-path="O/b.opf" media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    nav = (
        '<html xmlns:epub="http://www.idpf.org/2007/ops"><body><nav epub:type="toc"><ol>'
        f"{entries}</ol></nav></body></html>"
    )
    members = {"mimetype": "application/epub+zip", "META-INF/container.xml": container}
    members |= {
        "O/b.opf": opf,
        "O/nav.xhtml": nav,
        "O/toc.ncx": f"<ncx><navMap>{points}</navMap></ncx>",
    }
    pages = {
        f"O/{name}": b"<html><body><h2>" + act + b"</body></html>"
        for name, act in zip(names, acts, strict=True)
    }
    return zipped({name: text.encode() for name, text in members.items()} | pages)


Damaged = tuple[str, File]


def _shortened(draw: Random, file: File, most_bytes: int) -> File:
    """A part of a book that is too long; of what is packed, only whole members."""
    if len(file.content) <= most_bytes:
        return file
    if file.suffix not in PACKED:
        start = draw.randrange(len(file.content) - most_bytes + 1)
        return File(file.suffix, file.content[start : start + most_bytes])
    members = unzipped(file.content)
    own = {name: content[: most_bytes // 2] for name, content in members.items()}
    return File(file.suffix, zipped(own))


def _cut(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    content = file.content
    first, second = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    end = draw.choice((first, second, draw.randrange(200)))
    kept = draw.choice((content[:end], content[first:], content[:first] + content[second:]))
    return "", File(file.suffix, kept)


def _flipped(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    content = bytearray(file.content)
    number = int(10 ** draw.uniform(0, 3))
    for _ in range(number if content else 0):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    return "", File(file.suffix, bytes(content))


def _spliced(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    same = [one for one in shelf if one.suffix == file.suffix]
    other = draw.choice(draw.choice((same or shelf, shelf))).content
    cut, resumed = draw.randrange(len(file.content) + 1), draw.randrange(len(other) + 1)
    return "", File(file.suffix, file.content[:cut] + other[resumed:])


def _inserted(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    content = file.content
    inserted = draw.choice(INSERTED)
    for _ in range(draw.choice((1, 1, 3, 100))):
        at = draw.choice((0, draw.randrange(len(content) + 1), len(content)))
        content = content[:at] + inserted * draw.choice((1, 1, 2, 1000)) + content[at:]
        if len(content) > MOST_BYTES:
            break
    return repr(inserted)[1:], File(file.suffix, content)


def _mislabelled(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    suffix = draw.choice([one for one in SUFFIXES if one != file.suffix])
    return f"{file.suffix} as {suffix}", File(suffix, file.content)


def _with_run(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    """A text with a hostile run before, inside or after it, between its lines, or in its place."""
    if file.suffix in PACKED:
        texts = [File(Path(n).suffix, c) for n, c in unzipped(file.content).items() if c]
        texts = [one for one in texts if one.suffix in (".md", ".html", ".htm", ".xhtml", ".txt")]
        file = draw.choice(texts or [File(".txt", b"A text.\n\nAnd no more.\n")])
    text = file.content.decode("utf-8", "replace")
    name = draw.choice([*RUNS])
    run = RUNS[name](draw, text)
    at = draw.randrange(len(text) + 1)
    way = draw.randrange(6)
    if way == 0:
        text = run
    elif way == 1:
        lines = text.split("\n")
        every = draw.choice((1, 3, 30))
        part = run[: draw.choice((3, 30, 300))]
        text = "\n".join(line + (part if i % every == 0 else "") for i, line in enumerate(lines))
    else:
        at = (0, len(text), at, at)[way - 2]
        text = text[:at] + run + text[at:]
    suffix = draw.choice((file.suffix, ".txt", ".md", ".html"))
    return f"{name} {run[:12]!r}", File(suffix, text.encode("utf-8", "surrogatepass"))


def _member_damaged(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    """An archive of which one member, or each of three, is damaged."""
    members = unzipped(file.content)
    if file.suffix not in PACKED or not members:
        file = draw.choice([one for one in shelf if one.suffix in PACKED])
        members = unzipped(file.content)
    names = [name for name in members if name.endswith((".opf", ".ncx", ".xml")) or "nav" in name]
    done = []
    for _ in range(draw.choice((1, 1, 3))):
        name = draw.choice(draw.choice((names or [*members], [*members])))
        damage = draw.choice((_cut, _flipped, _spliced, _inserted, _with_run))
        details, damaged = damage(draw, File(Path(name).suffix, members[name]), shelf)
        members[name] = damaged.content
        done.append(f"{name[-20:]} {damage.__name__.strip('_')} {details}".strip())
    return "; ".join(done), File(file.suffix, zipped(members))


def _archive(draw: Random, file: File, shelf: Sequence[File]) -> Damaged:
    """An archive that is wrong as such: its names, how many members it has, how they are packed."""
    way = draw.choice(("names", "many members", "many pages", "zeros", "archives", "swapped"))
    suffix = draw.choice((*PACKED, ".txt"))
    if way == "names":
        names = draw.sample(MEMBER_NAMES, draw.choice((1, 3)))
        return way, File(suffix, zipped({"a.txt": b"A text.", **dict.fromkeys(names, b"A text.")}))
    if way == "many members":
        text = draw.choice((b"", b"A text.", b"\xe9t\xe9, " * 20, file.content[:50], b"\0"))
        number = draw.choice((repeats(draw, 4), 20_000))
        return way, File(suffix, zipped({f"{index}.txt": text for index in range(number)}))
    if way == "many pages":
        page = draw.choice((b"", b"A page.", b"<h2>I</h2>A page. " * 20, file.content[:50]))
        return way, File(".epub", _epub(b"<h2>".join([page] * repeats(draw, 4))))
    if way == "zeros":
        size = draw.choice((1 << 20, 10_000_000, 60_000_000))
        return way, File(suffix, zipped({"a.txt": draw.choice((b"\0", b"a", b"a\n")) * size}))
    if way == "archives":
        content = zipped({"a.txt": b"A text."})
        for depth in range(draw.choice((2, 3, 40))):
            content = zipped({f"{depth}.zip": content, f"{depth}.txt": b"A text."})
        return way, File(suffix, content)
    members = unzipped(draw.choice([one for one in shelf if one.suffix in PACKED]).content)
    contents = [*members.values()]
    draw.shuffle(contents)
    return way, File(suffix, zipped(dict(zip(members, contents, strict=True))))


DAMAGES: Mapping[str, tuple[int, Callable[[Random, File, Sequence[File]], Damaged]]] = {
    "cut": (15, _cut),
    "bits flipped": (12, _flipped),
    "spliced": (10, _spliced),
    "bytes inserted": (12, _inserted),
    "wrong suffix": (6, _mislabelled),
    "run": (28, _with_run),
    "member damaged": (14, _member_damaged),
    "archive": (3, _archive),
}
"""How often each damage is done, of 100 times, and what does it."""
