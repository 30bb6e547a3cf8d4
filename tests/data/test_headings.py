import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data import headings
from data.documents import without
from data.gutenberg import BoilerplateSettings, boilerplate
from data.headings import FRONT_MATTER, find_sections, is_heading
from data.plain_text import read_text

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
PROSE = "It was a dark and stormy night; the rain fell in torrents. " * 4


def headings_of(text: str) -> list[str]:
    return [section.heading for section in find_sections(text)]


@pytest.mark.parametrize(
    "heading",
    [
        "CHAPTER I",
        "Chapter 12. The Title",
        "chapter xlii",
        "Chapter Twenty-One",
        "BOOK THE FIRST",
        "Book the Second--the Golden Thread",
        "PART TWO",
        "LETTER 4",
        "ACT II",
        "SCENE III. The same.",
        "STAVE ONE",
        "PROLOGUE",
        "Epilogue",
        "XIV.",
        "II",
        "I. The Period",
        "VII. THE ADVENTURE OF THE BLUE CARBUNCLE.",
        "CHAPTER IV\nThe Rabbit Sends in a Little Bill",
        "CHAPITRE PREMIER",
        "Chapitre XII. La suite",
        "LIVRE DEUXIÈME",
        "PREMIÈRE PARTIE",
        "Avant-propos",
        "Kapitel 3",
        "Erstes Kapitel",
        "EINUNDZWANZIGSTES KAPITEL. Der Abend",
        "I. TEIL",
        "Zweiter Theil",
        "3. Kapitel",
        "Vorwort",
    ],
)
def test_headings(heading: str) -> None:
    text = f"{PROSE}\n\n   {heading}  \n\n{PROSE}\n\nChapter 99\n\n{PROSE}"
    assert headings_of(text) == [FRONT_MATTER, heading.replace("\n", " "), "Chapter 99"]


@pytest.mark.parametrize(
    "line",
    [
        "Chapters I have read",
        "Part two of the plan had failed.",
        "Book a room for me.",
        "C. Auguste Dupin bowed.",
        "MIX",
        "I am.",
        "Introduction was needless",
        "Erstes Kapitel ist gelesen",
        "Partie de cartes",
        "Chapitre par chapitre",
        f"CHAPTER I\n{PROSE}",
        "Chapter I\nChapter II\nChapter III",
    ],
)
def test_other_lines_are_no_headings(line: str) -> None:
    text = f"Chapter 1\n\n{PROSE}\n\n{line}\n\n{PROSE}\n\nChapter 2\n\n{PROSE}"
    assert headings_of(text) == ["Chapter 1", "Chapter 2"]


def test_a_table_of_contents_makes_no_sections() -> None:
    entries = [f"Chapter {number}. The Title of It" for number in range(1, 20)]
    text = "\n\n".join(
        ["My Book", "BOOK ONE", *entries, "BOOK TWO", "\n".join(entries)]
        + [part for entry in entries for part in (entry, PROSE)]
        + ["EPILOGUE", "The end."]
    )
    sections = find_sections(text)
    assert [section.heading for section in sections] == entries
    assert text[sections[0].char_start :].startswith("My Book")
    assert text[: sections[-1].char_end].endswith("The end.")


def test_a_text_without_headings_is_cut_between_paragraphs() -> None:
    text = "\n\n".join(["x" * 1_998] * 9)
    assert [
        (section.heading, section.char_start, section.char_end) for section in find_sections(text)
    ] == [("part 1", 0, 7_998), ("part 2", 8_000, 15_998), ("part 3", 16_000, 17_998)]
    lines = "\n".join(["x" * 2_000] * 6)  # every line is a paragraph
    assert [section.char_end for section in find_sections(lines)] == [6_002, 12_005]
    assert headings_of("short") == ["part 1"]
    assert headings_of(f"Chapter 1\n\n{PROSE}") == ["part 1"]
    assert find_sections(" \n") == ()


wild_text = st.text() | st.lists(
    st.sampled_from(["CHAPTER I", "IV.", "PROLOGUE", "\n", "\n\n", " ", "a", PROSE, "x" * 7_000])
).map("".join)


@given(wild_text)
@settings(deadline=None)
def test_sections_hold_every_character_but_white_space_in_order(text: str) -> None:
    sections = find_sections(text)
    end = 0
    for section in sections:
        assert end <= section.char_start < section.char_end <= len(text)
        assert not text[end : section.char_start].strip()
        inside = text[section.char_start : section.char_end]
        assert inside == inside.strip()
        end = section.char_end
    assert not text[end:].strip()


def test_a_chapter_of_one_sentence_stays_where_its_number_is_in_line() -> None:
    chapters = ["CHAPTER X. Shaking", PROSE, "CHAPTER XI. Waking", "--it really WAS a kitten."]
    text = "\n\n".join([*chapters, "CHAPTER XII. Which Dreamed it?", PROSE])
    assert headings_of(text) == [chapters[0], chapters[2], "CHAPTER XII. Which Dreamed it?"]
    out_of_line = text.replace("CHAPTER XI.", "CHAPTER XIII.")
    assert headings_of(out_of_line) == [chapters[0], "CHAPTER XII. Which Dreamed it?"]


def test_numerals_that_divide_a_chapter_are_no_chapters() -> None:
    adventures = ["ADVENTURE I. A SCANDAL", "I.", "II.", "ADVENTURE II. THE LEAGUE", "III. A CASE"]
    text = "\n\n".join(part for heading in adventures for part in (heading, PROSE))
    assert headings_of(text) == [adventures[0], adventures[3], adventures[4]]


def test_a_book_may_go_on_in_numerals_after_letters_or_in_parts() -> None:
    letters = ["LETTER 1", "LETTER 2", "I", "II", "III"]
    text = "\n\n".join(part for heading in letters for part in (heading, PROSE))
    assert headings_of(text) == letters
    parts = ["PART ONE", "I.", "II.", "PART TWO", "I.", "II."]
    text = "\n\n".join(part for heading in parts for part in (heading, PROSE))
    assert headings_of(text) == parts


def test_short_stanzas_stay_together() -> None:
    stanza = "The sun was shining on the sea,\n  Shining with all his might:"
    poem = "\n\n".join(["A POEM", "I.", stanza, "II.", stanza, "III.", stanza])
    assert headings_of(poem) == ["part 1"]


def test_a_paragraph_is_a_heading_or_is_not() -> None:
    assert is_heading("CHAPTER I\nDown the Rabbit-Hole")
    assert not is_heading("Chapter and verse were quoted.")


@needs_test_data
@pytest.mark.parametrize(
    ("name", "num_chapters", "first", "last"),
    [
        ("books/austen_persuasion.txt", 24, "Chapter 1", "Chapter 24"),
        ("books/austen_pride.txt", 61, "Chapter 1", "Chapter 61"),
        ("books/carroll_alice.txt", 12, "CHAPTER I. Down", "CHAPTER XII. Alice"),
        ("books/carroll_lookingglass.txt", 12, "CHAPTER I. Looking", "CHAPTER XII. Which"),
        ("books/dickens_expectations.txt", 59, "Chapter I", "Chapter LIX"),
        ("books/dickens_twocities.txt", 45, "I. The Period", "XV. The Footsteps"),
        ("books/doyle_adventures.txt", 12, "ADVENTURE I. A", "XII. THE ADVENTURE"),
        ("books/doyle_hound.txt", 15, "Chapter 1. Mr.", "Chapter 15. A"),
        ("books/wells_timemachine.txt", 17, "Introduction", "Epilogue"),  # 16 and an epilogue
        ("books/wells_worlds.txt", 27, "I.", "X."),  # 17 and 10
        ("books_awkward/alice30.txt", 12, "CHAPTER I", "CHAPTER XII"),
        ("books_awkward/warw11.txt", 27, "CHAPTER ONE", "CHAPTER TEN"),
        ("books_awkward/pg84_2025.txt", 28, "Letter 1", "Chapter 24"),  # 4 letters, 24 chapters
        ("books_awkward/kafka_verwandlung_de.txt", 3, "I.", "III."),
    ],
)
def test_real_books_have_as_many_chapters_as_in_print(
    name: str, num_chapters: int, first: str, last: str
) -> None:
    document = read_text((TEST_DATA / name).read_bytes())
    document = without(document, boilerplate(document.text, BoilerplateSettings()).removals)
    headings = [heading for heading in headings_of(document.text) if heading != FRONT_MATTER]
    assert len(headings) == num_chapters
    assert headings[0].startswith(first)
    assert headings[-1].startswith(last)


def test_a_heading_of_a_thousand_characters_is_prose() -> None:
    assert is_heading(f"CHAPTER {'1' * 900}")
    assert not is_heading(f"CHAPTER {'1' * 1_000}")
    assert is_heading("CHAPTER I\nThe Title")
    assert not is_heading("CHAPTER I\nThe Title\nAnd more")


HEADING_PIECES = [
    *"IVXLC. \n\u00a0:\t", "Chapter", "PART", "one", "I.", "Erstes", "Kapitel", "3.", "Preface",
    "Einleitung", "the", "Storm", "Teil", "II", "Première", "partie", "of",
]  # fmt: skip


@given(st.lists(st.sampled_from(HEADING_PIECES), max_size=7).map("".join).map(str.strip))
@settings(deadline=None, max_examples=3000)
def test_what_is_a_heading_opens_as_one(paragraph: str) -> None:
    """The first look, which saves the time of the second, turns no heading away."""
    if headings._heading(paragraph):
        assert headings._MAY_OPEN_HEADING.match(paragraph, 0, len(paragraph))
