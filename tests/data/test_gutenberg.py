import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.documents import Document, without
from data.gutenberg import BoilerplateSettings, Fields, Receipt, boilerplate, header_fields
from data.plain_text import read_text

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
SETTINGS = BoilerplateSettings()
STORY = "It was a dark and stormy night; the rain fell in torrents.\n\n" * 60
TITLE = "The Project Gutenberg EBook of A Storm, by Jane Doe\n\n"
START = "*** START OF THIS PROJECT GUTENBERG EBOOK A STORM ***\n\n"
END = "\n\nEnd of the Project Gutenberg EBook of A Storm, by\nJane Doe\n\n"
STARRED_END = "*** END OF THIS PROJECT GUTENBERG EBOOK A STORM ***\n\n"
LICENCE = (
    "Updated editions will replace the previous one.\n\n"
    "*** START: FULL LICENSE ***\n\nTHE FULL PROJECT GUTENBERG LICENSE\n"
    + "1.A. Terms of electronic works.\n\n"
    * 600
)
SMALL_PRINT = (
    "***START**THE SMALL PRINT!**FOR PUBLIC DOMAIN ETEXTS**START***\n"
    + "For this etext you may sue nobody.\n\n" * 300
    + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n"
)


def left_of(text: str, settings: BoilerplateSettings = SETTINGS) -> str:
    found = boilerplate(text, settings)
    assert all(one.kind for one in found.removals)
    return without(Document(text, "utf-8", "valid UTF-8"), found.removals).text


@pytest.mark.parametrize(
    ("header", "footer"),
    [
        (TITLE + START, END + STARRED_END + LICENCE),
        ("Title: A Storm\n\nAuthor: Jane Doe\n\n" + START, "\n\n" + STARRED_END + LICENCE),
        (TITLE + "***START OF THE PROJECT GUTENBERG EBOOK A STORM***\n\n", END),
        (TITLE + START + "Produced by Ann Onymous and the\nOnline Team\n\n", "\n\n" + STARRED_END),
        (
            TITLE + START + "E-text prepared by Ann Onymous\n\n[Illustration]\n\n"
            "(This file was produced from images at http://gallica.bnf.fr)\n\n"
            "Note: Project Gutenberg also has an HTML version of this file.\n\n",
            END + STARRED_END + LICENCE,
        ),
        (TITLE + START + "Transcribed from the 1891 edition by Ann Onymous\n\n", END),
        (TITLE + SMALL_PRINT, ""),
        (TITLE + SMALL_PRINT + "This etext was prepared by Ann Onymous.\n\n", END),
        (TITLE + SMALL_PRINT, "\n\nEnd of Project Gutenberg's Etext of A Storm"),
        (TITLE + START + SMALL_PRINT, "\n\nEnd of The Project Gutenberg Etext\n" + SMALL_PRINT),
        (TITLE + SMALL_PRINT + "A STORM\n\n" + START, END),
        (TITLE + START, "\n\nThis etext was prepared by Ann Onymous\n\n" + END),
        (TITLE + START, "\n\n" + LICENCE.partition("\n\n")[2]),  # no END marker, but a licence
        (
            TITLE + START,
            "\n\n***END OF THE PROJECT GUTENBERG EBOOK A STORM***\n\n\n*******\n" + LICENCE,
        ),
        (TITLE + START, "\n\nEnde dieses Projekt Gutenberg Etextes A Storm"),
        (TITLE + START, "\n\nFin de Project Gutenberg's A Storm, by Jane Doe\n\n" + LICENCE),
        (
            TITLE + START + "Dieses Buch wurde uns freundlicherweise vom Projekt Gutenberg-DE zur\n"
            "Verfügung gestellt: http://gutenberg.spiegel.de/\n\n",
            END,
        ),
        (TITLE + START + "Ce document fut présenté en lecture par Ann Onymous\n\n", END),
        (
            TITLE
            + "*** START OF THE PROJECT GUTENBERG EBOOK A STORM; OR, THE\nRAIN AT NIGHT ***\n\n",
            END,
        ),
        ("This is the Project Gutenberg Etext of A Storm\n\nTitle: A Storm\n\n", END),  # no marker
    ],
)
def test_headers_and_footers_of_every_era_go_and_nothing_else(header: str, footer: str) -> None:
    assert left_of(header + STORY + footer).strip() == STORY.strip()


def test_a_receipt_tells_what_went_and_where() -> None:
    picture = "[Illustration: Rain]"
    text = TITLE + START + STORY + picture + STORY + END + STARRED_END + LICENCE
    found = boilerplate(text, SETTINGS)
    assert found.receipt == Receipt(
        head_characters=len(TITLE + START),
        tail_characters=len(END + STARRED_END + LICENCE) - len("\n\n"),
        inside_characters=len(picture),
        start_marker=START.strip(),
        end_marker="End of the Project Gutenberg EBook of A Storm, by",
        share_removed=pytest.approx(1 - (2 * len(STORY) + 2) / len(text)),
        kept_whole=False,
        reason="what was found was taken out",
    )
    assert [one.kind for one in found.removals] == ["header", "illustration", "footer", "licence"]
    assert [one.start for one in found.removals] == sorted(one.start for one in found.removals)


def test_a_text_without_the_sign_is_left_alone() -> None:
    text = "Produced by Ann\n\n[Illustration]\n\nTranscriber's Note: none\n\n" + STORY
    found = boilerplate(text, SETTINGS)
    assert (found.removals, found.fields, found.receipt) == ((), Fields(), Receipt())


def test_markers_quoted_in_the_middle_cut_nothing() -> None:
    quotes = START + END + STARRED_END + "*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*END*\n\n"
    assert left_of(STORY + quotes + STORY) == STORY + quotes + STORY
    whole = TITLE + START + STORY + quotes + STORY + END + STARRED_END + LICENCE
    assert left_of(whole).strip() == (STORY + quotes + STORY).strip()


def test_a_book_about_project_gutenberg_keeps_its_words() -> None:
    about = "PROJECT GUTENBERG\n\n" + "Project Gutenberg makes etexts, all say.\n\n" * 200
    assert left_of(about) == about
    assert left_of(TITLE + START + about + END).strip() == about.strip()


def test_the_single_works_of_a_collection_stay_with_their_markers() -> None:
    work = STORY + END + STARRED_END + TITLE + START
    text = TITLE + START + work * 30 + STORY + END + STARRED_END + LICENCE
    assert left_of(text).strip() == (work * 30 + STORY).strip()
    without_last_marker = TITLE + START + work * 30 + STORY * 20
    assert left_of(without_last_marker).strip() == (work * 30 + STORY * 20).strip()


def test_a_notice_above_each_work_goes() -> None:
    notice = (
        "<<THIS ELECTRONIC VERSION OF THE COMPLETE WORKS OF WILLIAM SHAKESPEARE IS\n"
        "COPYRIGHT 1990-1993 BY WORLD LIBRARY, INC.>>\n\n"
    )
    text = TITLE + SMALL_PRINT + (STORY + notice) * 5 + STORY + END
    assert left_of(text).strip() == (STORY * 6).strip()


def test_a_text_that_would_lose_too_much_is_kept_whole() -> None:
    poem = TITLE + START + "Rain.\n\n" * 20 + END + LICENCE
    found = boilerplate(poem, SETTINGS)
    assert (found.removals, found.receipt.kept_whole) == ((), True)
    assert "characters would stay; 2,000 must" in found.receipt.reason
    assert found.receipt.share_removed == found.receipt.head_characters == 0
    assert found.receipt.start_marker == START.strip()
    assert found.fields.title == "A Storm"
    lenient = BoilerplateSettings(least_characters=100)
    assert left_of(poem, lenient).strip() == ("Rain.\n\n" * 20).strip()

    story = TITLE + SMALL_PRINT + STORY + END + LICENCE  # most of it licence, as in short stories
    assert left_of(story).strip() == STORY.strip()
    strict = BoilerplateSettings(few_characters=10_000)
    found = boilerplate(story, strict)
    assert (found.removals, found.receipt.kept_whole) == ((), True)
    assert "30% may" in found.receipt.reason


def test_settings_keep_pictures_and_notes() -> None:
    extra = "[Illustration: Rain]\n\n[Transcriber's Note: Thunder was added.]\n\n"
    text = TITLE + START + extra + STORY + END
    assert left_of(text).strip() == STORY.strip()
    settings = BoilerplateSettings(remove_illustrations=False, remove_notes=False)
    assert left_of(text, settings).strip() == (extra + STORY).strip()


@pytest.mark.parametrize(
    "picture",
    [
        "[Illustration]\n\n",
        "[Illustration: “Rain,” said she,\nand went on.\n\n[_Copyright 1894_]]\n\n",
        "  [ILLUSTRATION: FRONTISPIECE]\n",
    ],
)
def test_pictures_go_with_their_captions_and_lines(picture: str) -> None:
    assert left_of(TITLE + START + STORY + picture + STORY + END).strip() == (STORY + STORY).strip()


def test_a_bracket_that_is_never_closed_takes_nothing() -> None:
    text = STORY + "[Illustration: a caption that goes on\n\n" + STORY
    assert left_of(TITLE + START + text + END).strip() == text.strip()


@pytest.mark.parametrize(
    "note",
    [
        "Transcriber's Note: Obvious errors were\ncorrected.\n\n",
        "[Transcriber’s Notes: The [sic] is kept.\n\nSo is the rest.]\n\n",
        "TRANSCRIBER'S NOTE\n\nErrors were corrected.\n\nSo was the rest.\n\n\n\n",
        "Transcriber's Note\n\nErrors were corrected.\n\nCHAPTER I\n\n",
        "Anmerkungen zur Transkription\n\nFehler wurden verbessert.\n\n\n\n",
    ],
)
def test_notes_at_the_beginning_go(note: str) -> None:
    kept = "CHAPTER I\n\n" if "CHAPTER" in note else ""
    text = TITLE + START + "A STORM\n\n\n" + note + STORY + END
    assert (
        re.sub(r"\n{3,}", "\n\n", left_of(text)).strip() == ("A STORM\n\n" + kept + STORY).strip()
    )


def test_notes_at_the_end_go_and_a_note_in_the_middle_only_in_brackets() -> None:
    note = "Transcriber's Notes:\n\nErrors were corrected.\n\nPage 3: 'rain' for 'rian'.\n"
    assert left_of(TITLE + START + STORY + note + END).strip() == STORY.strip()
    middle = "Transcriber's Note\n\nHe read the words aloud.\n\n"
    bracketed = "[Transcriber's Note: A page is missing.]\n\n"
    text = STORY * 10 + middle + bracketed + STORY * 10
    expected = STORY * 10 + middle + STORY * 10
    assert left_of(TITLE + START + text + END).strip() == expected.strip()


def test_an_unmarked_note_never_takes_a_whole_book() -> None:
    text = "Transcriber's Note\n\nErrors were corrected.\n\n" + STORY * 5
    assert left_of(TITLE + START + text + END).strip() == (STORY * 5).strip()


@pytest.mark.parametrize(
    "opening",
    ["THE STORM\n\nBy Jane Doe\n\n" + STORY, "FOREWORD\n\nIt rained.\n\nCHAPTER I\n\n" + STORY],
)
@pytest.mark.parametrize("end", ["II\n\n", ""])
def test_a_note_without_a_gap_takes_nothing_that_is_not_of_files(opening: str, end: str) -> None:
    """As in a text made of HTML, where a blank line is all there is between any two paragraphs."""
    note = (
        "Transcriber's Note:\n\nThis etext was produced from Rain Stories, May 1930.\n\n"
        "Spelling and punctuation are those of the magazine.\n\n"
    )
    text = opening + end + STORY * 3
    assert left_of(TITLE + START + note + text + END).strip() == text.strip()
    assert left_of(TITLE + START + note + opening + END).strip() == opening.strip()


# What the header says of the book


def test_fields_of_a_header() -> None:
    text = (
        "The Project Gutenberg EBook of Die Verwandlung, by Franz Kafka\n\n"
        "Title:  Die Verwandlung \nAuthor: Franz Kafka\nRelease Date: 2007 [EBook #22367]\n"
        "Language: German\n\n*** START OF THIS PROJECT GUTENBERG EBOOK DIE VERWANDLUNG ***\n\n"
        "Produced by Jana Srna and the\nOnline Team\n\n"
    )
    fields = Fields("Die Verwandlung", "Franz Kafka", "de", 22367)
    assert header_fields(text) == fields
    assert boilerplate(text + STORY, SETTINGS).fields == fields
    assert header_fields(text.replace("German", "Klingon")).language is None
    assert header_fields("Title: A Storm\nAuthor: Jane Doe\n") == Fields()


@pytest.mark.parametrize(
    ("title", "value"),
    [
        (
            "The Strange Case of Dr. Jekyll\n       and Mr. Hyde",
            "The Strange Case of Dr. Jekyll and Mr. Hyde",
        ),
        (
            "The Life and Strange Surprizing Adventures of Robinson\n  Crusoe, of York,\n  mariner",
            "The Life and Strange Surprizing Adventures of Robinson Crusoe, of York, mariner",
        ),
        ("A Tale of Two Cities\n       A Story of the French Revolution", "A Tale of Two Cities"),
        ("A Storm\n\n   in the margin", "A Storm"),
        ("A Storm\nand no indent", "A Storm"),
        ("A Storm\n  author: Nobody", "A Storm"),
    ],
)
def test_a_field_goes_on_over_the_lines_that_are_its_own(title: str, value: str) -> None:
    fields = header_fields(f"{START}\nTitle: {title}\nAuthor: Jane Doe\n")
    assert (fields.title, fields.author) == (value, "Jane Doe")


@pytest.mark.parametrize(
    ("line", "title", "author"),
    [
        (
            "***This is the Project Gutenberg Etext of Alice in Wonderland***",
            "Alice in Wonderland",
            None,
        ),
        (
            "The Project Gutenberg Etext of Moby Dick, by Herman Melville",
            "Moby Dick",
            "Herman Melville",
        ),
        ("Project Gutenberg's The Hound, by A. Conan Doyle", "The Hound", "A. Conan Doyle"),
        ("with this eBook under the Project Gutenberg License included", None, None),
    ],
)
def test_a_first_line_names_the_book_where_no_field_does(
    line: str, title: str | None, author: str | None
) -> None:
    fields = header_fields(line + "\n\nMarch, 1994  [Etext #11]\n")
    assert (fields.title, fields.author, fields.number) == (title, author, 11)


# Any text

pieces = st.sampled_from(
    [TITLE, START, END, STARRED_END, SMALL_PRINT, LICENCE[:300], STORY[:300], STORY * 4]
) | st.sampled_from(["[Illustration", "]", "[", "Transcriber's Note\n\n", "Title: ", "\n\n", " "])


@given(st.lists(pieces | st.text(max_size=20), max_size=12).map("".join))
def test_removals_lie_in_the_text_and_the_guards_hold(text: str) -> None:
    found = boilerplate(text, SETTINGS)
    receipt = found.receipt
    left = left_of(text)
    assert all(0 <= one.start < one.end <= len(text) for one in found.removals)
    taken = receipt.head_characters + receipt.inside_characters + receipt.tail_characters
    assert len(left) + taken == len(text)
    if taken:
        assert len(left) >= SETTINGS.least_characters
        assert receipt.share_removed == pytest.approx(taken / len(text))
    else:
        assert left == text


# Real books

BOOKS = [
    ("books/austen_persuasion.txt", "Persuasion", "Sir Walter Elliot, of Kellynch Hall", "Finis"),
    (
        "books/austen_pride.txt",
        "PRIDE AND PREJUDICE",
        "It is a truth universally acknowledged",
        "had been the means of uniting them.",
    ),
    (
        "books/carroll_alice.txt",
        "ALICE’S ADVENTURES IN WONDERLAND",
        "Alice was beginning to get very tired",
        "THE END",
    ),
    (
        "books/carroll_lookingglass.txt",
        "THROUGH THE LOOKING-GLASS",
        "One thing was certain, that the WHITE kitten",
        "THE END",
    ),
    (
        "books/dickens_expectations.txt",
        "GREAT EXPECTATIONS",
        "My father's family name being Pirrip",
        "no shadow of another parting from her.",
    ),
    (
        "books/dickens_twocities.txt",
        "A TALE OF TWO CITIES",
        "It was the best of times",
        'rest that I go to than I have ever known."',
    ),
    (
        "books/doyle_adventures.txt",
        "THE ADVENTURES OF SHERLOCK HOLMES",
        "To Sherlock Holmes she is always THE woman.",
        "she has met with considerable success.",
    ),
    (
        "books/doyle_hound.txt",
        "THE HOUND OF THE BASKERVILLES",
        "Mr. Sherlock Holmes, who was usually very late",
        "a little dinner on the way?”",
    ),
    (
        "books/wells_timemachine.txt",
        "The Time Machine",
        "The Time Traveller (for so it will be convenient",
        "lived on in the heart of man.",
    ),
    (
        "books/wells_worlds.txt",
        "by H. G. Wells",
        "No one would have believed in the last years",
        "that she has counted me, among the dead.",
    ),
    (
        "books_awkward/alice30.txt",
        "ALICE'S ADVENTURES IN WONDERLAND",
        "Alice was beginning to get very tired",
        "THE END",
    ),
    (
        "books_awkward/warw11.txt",
        "The War of the Worlds, by H(erbert)",
        "No one would have believed in the last years",
        "among the dead.",
    ),
    (
        "books_awkward/pg84_2025.txt",
        "Frankenstein;",
        "You will rejoice to hear that no disaster",
        "lost in darkness and distance.",
    ),
    (
        "books_awkward/kafka_verwandlung_de.txt",
        "DIE VERWANDLUNG",
        "Als Gregor Samsa eines Morgens",
        "ihren jungen Körper dehnte.",
    ),
]
BOILERPLATE_WORDS = re.compile(
    r"gutenberg|\be-?texts?\b|electronic works|small print|^\W*produced by", re.IGNORECASE
)


@needs_test_data
@pytest.mark.parametrize(("name", "title", "first", "last"), BOOKS)
def test_real_books_keep_all_their_words_and_no_others(
    name: str, title: str, first: str, last: str
) -> None:
    document = read_text((TEST_DATA / name).read_bytes())
    found = boilerplate(document.text, SETTINGS)
    left = without(document, found.removals).text
    assert [line for line in left.split("\n") if BOILERPLATE_WORDS.search(line)] == []
    assert left.strip().startswith(title)
    assert 0 < left.index(first) < 6_000
    assert left.strip().endswith(last)
    assert not found.receipt.kept_whole
    assert found.fields.title
    has_new_footer = name not in ("books_awkward/alice30.txt", "books_awkward/warw11.txt")
    assert (18_000 < found.receipt.tail_characters < 20_000) == has_new_footer
    assert (found.receipt.end_marker is not None) == has_new_footer
    assert (found.receipt.head_characters > 10_000) == (not has_new_footer)


def test_a_number_that_no_catalogue_has_is_none() -> None:
    header = "The Project Gutenberg EBook of Emma [eBook #{}]\n\nTitle: Emma\n"
    assert header_fields(header.format(158)).number == 158
    assert header_fields(header.format("1" * 5_000)).number is None  # Python reads 4,300 digits
