import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.books import Section
from data.documents import Document, without
from data.gutenberg import BoilerplateSettings, boilerplate
from data.layout import Layout, _occurrences, tidy
from data.plain_text import read_text

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
DEFAULT = Layout()
ALWAYS = Layout(join_hyphens="always")


def tidied(text: str, settings: Layout = DEFAULT) -> str:
    return tidy(Document(text, "utf-8", "valid UTF-8"), settings).text


def pages(*between: str, num_pages: int = 6) -> str:
    """A book whose pages all turn in the middle of a sentence; {} is a page's number."""
    turns = ["\n\n".join(between).format(number) for number in range(12, 12 + num_pages)]
    return (
        "The rain fell upon\n\n" + "\n\nthe town. It fell upon\n\n".join(turns) + "\n\nthe sea.\n"
    )


ONE_BOOK = "The rain fell upon\n" + "the town. It fell upon\n" * 5 + "the sea.\n"


# Words cut at line ends


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("the Mar-\ntian machine\nA Martian.", "the Martian\nmachine\nA Martian."),
        ("the Mar-\n  tian, you see\nA martian.", "the Martian,\nyou see\nA martian."),
        ("the Mar-\ntian\n\nA Martian.", "the Martian\n\nA Martian."),
        ("a well-\nknown man\nwell-known", "a well-known\nman\nwell-known"),
        ("son-in-\nlaw of a son-in-law", "son-in-law\nof a son-in-law"),
        ("WAISTCOAT-\nPOCKET of a waistcoat-pocket", "WAISTCOAT-POCKET\nof a waistcoat-pocket"),
        ("an un-\nseen thing", "an un-\nseen thing"),  # it never occurs in one piece
        ("he went--\nthen came; wentthen", "he went--\nthen came; wentthen"),
        ("rain-\n\nfall rainfall", "rain-\n\nfall rainfall"),  # two paragraphs
        ("1914-\n18", "1914-\n18"),
        ("soft\xad\nly", "softly"),
    ],
)
def test_a_cut_word_is_joined_as_the_text_has_it_elsewhere(text: str, expected: str) -> None:
    assert tidied(text) == expected


@given(st.text(alphabet="ab-‐ \n", max_size=60))
def test_a_few_words_are_counted_as_all_are(text: str) -> None:
    words = ["a", "b", "ab", "a-b", "aa", "ba-a"]
    some, every = _occurrences(text, words), _occurrences(text, [*words, *map(str, range(20))])
    assert some == {word: every[word] for word in words}


def test_cut_words_are_joined_always_or_never() -> None:
    text = "an un-\nseen Anglo-\nSaxon MAR-\nTIAN"
    assert tidied(text, ALWAYS) == "an unseen\nAnglo-Saxon\nMARTIAN"
    assert tidied("Mar-\ntian Martian", Layout(join_hyphens="never")) == "Mar-\ntian Martian"


# Page numbers and running heads


@pytest.mark.parametrize(
    "number", ["{}", "- {} -", "[{}]", "[Pg {}]", "{{{}}}", "Page {}", "— {} —"]
)
def test_page_numbers_go_and_broken_sentences_are_whole_again(number: str) -> None:
    assert tidied(pages(number)) == ONE_BOOK
    kept = Layout(remove_page_numbers=False)
    assert tidied(pages(number), kept) == pages(number)


@pytest.mark.parametrize("around", ["{}", "[{}]", "- {} -"])
def test_roman_page_numbers_go_where_they_count(around: str) -> None:
    def roman(numbered: re.Match[str]) -> str:
        value, numeral = int(numbered[1]), ""
        for worth, letters in ((10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")):
            numeral += letters * (value // worth)
            value %= worth
        return around.format(numeral)

    in_roman = re.sub(r"@(\d+)@", roman, pages("@{}@"))
    assert around.format("xiv") in in_roman
    assert tidied(in_roman) == ONE_BOOK
    chapters = "\n\n".join(
        f"{one}\n\nIt rained all day." for one in ("i", "ii", "iii", "iv", "v", "vi")
    )
    assert tidied(chapters) == chapters


def test_marked_page_numbers_go_even_alone_and_inside_lines() -> None:
    assert tidied("It fell [Pg 12]upon\n\n[Page 13]\n\nthe sea.") == "It fell upon\nthe sea."
    assert tidied("It fell.\n\n{13}\n\n  It rose.") == "It fell.\n\n  It rose."
    assert tidied("See note [12] and {1}.") == "See note [12] and {1}."


def test_numbers_that_count_no_pages_stay() -> None:
    chapters = "\n\n".join(f"{number}\n\nIt rained all day." for number in range(1, 20))
    assert tidied(chapters) == chapters  # no sentence is broken by them
    not_counting = pages("{}").replace("13", "99").replace("15", "3")
    assert tidied(not_counting) == not_counting
    assert tidied(pages("{}", num_pages=4)) == pages("{}", num_pages=4)  # too few


@pytest.mark.parametrize(
    "between",
    [
        ("THE STORM",),
        ("THE STORM", "{}"),
        ("{}\nTHE STORM",),
        ("THE STORM {}",),
        ("{}  The Storm",),
    ],
)
def test_running_heads_go_with_their_numbers(between: tuple[str, ...]) -> None:
    assert tidied(pages(*between)) == ONE_BOOK


def test_heads_may_stay_where_their_numbers_go() -> None:
    settings = Layout(remove_running_heads=False)
    assert tidied(pages("THE STORM\n{}"), settings) == pages("THE STORM")


def test_lines_that_recur_in_a_play_or_a_poem_stay() -> None:
    play = "\n\n".join(["HAMLET.", "To be, or not to be.", "GHOST.", "Mark me."] * 30)
    assert tidied(play) == play
    refrain = "\n\n".join(["Once upon a midnight dreary,", "Nevermore.", "While I pondered."] * 30)
    assert tidied(refrain) == refrain
    chapters = "\n\n".join(f"CHAPTER {number}\n\nIt rained." for number in range(1, 40))
    assert tidied(chapters) == chapters


def test_a_word_cut_by_a_page_is_joined() -> None:
    text = pages("THE STORM", "{}") + "\n\nThe thun-\n\nTHE STORM\n\n18\n\nder and thunder."
    assert tidied(text) == ONE_BOOK + "\n\nThe thunder\nand thunder."


# What is off by default


def test_typography_and_lines_stay_unless_asked_for() -> None:
    text = "“It’s a storm—or rain…” he said; and the long line went\non to the next one.\nShort.\n"
    assert tidied(text) == text
    assert tidied(text, Layout(plain_typography=True)) == (
        '"It\'s a storm--or rain..." he said; and the long line went\non to the next one.\nShort.\n'
    )
    assert tidied(text, Layout(unwrap_lines=True)) == text.replace("went\non", "went on")
    verse = "The sun was shining on the sea,\n  Shining with all his might:\n"
    assert tidied(verse, Layout(unwrap_lines=True)) == verse


def test_sections_follow_their_words() -> None:
    first, second = pages("THE STORM", "{}"), "The Mar-\ntian — a Martian."
    text = first + "\n" + second
    sections = (
        Section("I", 0, len(first) - 1),
        Section("II", len(first) + 1, len(text)),
    )
    given = Document(text, "utf-8", "valid UTF-8", sections)
    after = tidy(given, Layout(plain_typography=True, unwrap_lines=True))
    assert [after.text[one.char_start : one.char_end] for one in after.sections] == [
        ONE_BOOK.strip(),
        "The Martian\n-- a Martian.",
    ]


pieces = st.sampled_from(
    ["word-\n", "well-", "known", " ", "\n", "\n\n", "12", "13", "- 14 -", "[Pg 3]", "THE STORM"]
) | st.text(max_size=8)


@given(st.lists(pieces, max_size=40).map("".join))
def test_tidying_loses_no_letters_but_those_of_pages(text: str) -> None:
    settings = Layout(remove_running_heads=False, remove_page_numbers=False, join_hyphens="always")
    letters = [
        character for character in text if character not in "-‐\xad" and not character.isspace()
    ]
    left = tidied(text, settings)
    assert [one for one in left if one not in "-‐\xad" and not one.isspace()] == letters
    tidied(text)  # raises no error about overlaps


# Real books


@needs_test_data
def test_books_without_pages_stay_as_they_are() -> None:
    for path in sorted((TEST_DATA / "books").glob("*.txt")):
        document = read_text(path.read_bytes())
        document = without(document, boilerplate(document.text, BoilerplateSettings()).removals)
        assert tidy(document, DEFAULT).text == document.text, path.name


@needs_test_data
def test_the_war_of_the_worlds_of_1992_gets_its_words_back() -> None:
    document = read_text((TEST_DATA / "books_awkward" / "warw11.txt").read_bytes())
    document = without(document, boilerplate(document.text, BoilerplateSettings()).removals)
    left = tidy(document, DEFAULT).text
    assert "the Mar-\ntian machine" in document.text
    assert "the Martian\nmachine that stands there still" in left
    assert document.text.count("-\n") - left.count("-\n") > 250
    assert len(left.split()) < len(document.text.split())
