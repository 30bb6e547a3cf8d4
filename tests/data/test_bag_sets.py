"""Bag files: every text gives bag sets or a mistake that names its place."""

import json
import os
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bag_sets import BagSet, encode_bag_sets, nearest_words, parse_bag_sets
from data.errors import UserMistake

PROJECT = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("BOOKLOOM_TEST_DATA", PROJECT.parent / "shared" / "data"))


def test_both_notations_in_one_file() -> None:
    text = (
        "\ufeff# greetings | of all kinds\r\n"
        "\r\n"
        "good, sweet|morrow night ,| my\r\n"
        '  {"id": "aside", "bags": [["o", "|"], [",", "good lord"]]}\n'
        "  # the end\r"
        '{"bags": [["hello"]]}'
    )
    assert parse_bag_sets(text, "bags.txt") == [
        BagSet("3", 3, (("good", "sweet"), ("morrow", "night"), ("my",))),
        BagSet("aside", 4, (("o", "|"), (",", "good lord"))),
        BagSet("6", 6, (("hello",),)),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bags.txt holds no bag sets."),
        ("# only\n\n# comments", "bags.txt holds no bag sets."),
        ("a\n\nb | , | c", "bags.txt, line 3, bag 2 is empty."),
        ("a | b |", "bags.txt, line 1, bag 3 is empty."),
        ('{"bags": [["a"], []]}', "bags.txt, line 1, bag 2 is empty."),
        ('a\n{"bags": [["a"}', "bags.txt, line 2, column 15: malformed JSON: "),
        ('{"bags": [["a"]], "beam": 3}', "bags.txt, line 1: unknown key 'beam'."),
        ('{"id": "x"}', "bags.txt, line 1: 'bags' is not a list of bags."),
        ('{"bags": []}', "bags.txt, line 1: 'bags' is not a list of bags."),
        ('{"bags": {"a": 1}}', "bags.txt, line 1: 'bags' is not a list of bags."),
        ('{"bags": [["a"], "bc"]}', "bags.txt, line 1, bag 2 is not a list of words."),
        ('{"bags": [["a", 7]]}', "bags.txt, line 1, bag 1: 7 is not a word."),
        ('{"bags": [["a", ""]]}', "bags.txt, line 1, bag 1: '' is not a word."),
        ('{"bags": [["a"]], "id": 7}', "bags.txt, line 1: the id 7 is not a printable string."),
        ('{"bags": [["a"]], "id": "\\ud800"}', "bags.txt, line 1: the id '\\ud800' is not"),
        ('a\n{"bags": [["a"]], "id": "1"}', "line 2: the id '1' already belongs to line 1."),
        ('{"bags": ' + "[" * 100_000, "bags.txt, line 1: JSON that can't be read: "),
        ('{"bags": ' + "1" * 5_000 + "}", "bags.txt, line 1: JSON that can't be read: "),
    ],
)  # fmt: skip
def test_mistakes_name_their_place(text: str, message: str) -> None:
    with pytest.raises(UserMistake, match=re.escape(message)) as caught:
        parse_bag_sets(text, "bags.txt")
    assert caught.value.remedy


@given(st.text() | st.text(alphabet='{}[]",:| \n#ab\\u0d8').map("{".__add__))
def test_any_text_gives_whole_bag_sets_or_a_mistake(text: str) -> None:
    with suppress(UserMistake):
        bag_sets = parse_bag_sets(text, "bags.txt")
        assert bag_sets
        assert all(bag_set.bags and all(bag_set.bags) for bag_set in bag_sets)
        assert all(word for bag_set in bag_sets for bag in bag_set.bags for word in bag)


letters = st.characters(exclude_categories=["C", "Z"], exclude_characters=",|#{")
words = st.text(letters, min_size=1, max_size=5)
bags_of_words = st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=4)


@given(st.lists(bags_of_words, min_size=1, max_size=4))
def test_what_is_written_is_read_back(sets: list[list[list[str]]]) -> None:
    as_text = "\n".join(" | ".join(map(" ".join, bags)) for bags in sets)
    as_json = "\n".join(json.dumps({"bags": bags}) for bags in sets)
    expected = [
        BagSet(str(line), line, tuple(map(tuple, bags))) for line, bags in enumerate(sets, start=1)
    ]
    assert parse_bag_sets(as_text, "bags.txt") == expected
    assert parse_bag_sets(as_json, "bags.jsonl") == expected


TOKEN_ID_OF = {
    token: token_id
    for token_id, token in enumerate(
        ["_nothing_", "_start_", "_end_", "_unknown_", "zounds", "sounds", "wounds", "my", "lord"]
    )
}


def encode(text: str, unit: str = "word") -> list[list[list[int]]]:
    return encode_bag_sets(
        parse_bag_sets(text, "bags.txt"),
        TOKEN_ID_OF if unit == "word" else {" ": 4, "a": 5, "b": 6},
        normalise=str.lower,
        source="bags.txt",
        model_name="bookloom@champion",
        unit=unit,
    )


def test_words_become_ids_after_the_tokenisers_own_normalisation() -> None:
    assert encode("Zounds MY|lord\nmy my") == [[[4, 7], [8]], [[7, 7]]]


def test_an_unknown_word_is_named_with_its_place_and_its_nearest() -> None:
    with pytest.raises(UserMistake) as caught:
        encode("my\n\nmy | Zounds!")
    assert caught.value.message == (
        "bags.txt, line 3, bag 2: 'Zounds!' is not in the vocabulary of model bookloom@champion; "
        "nearest: 'zounds', 'wounds', 'sounds'."
    )


def test_bags_of_characters() -> None:
    assert encode('{"bags": [["A", "b"], [" "]]}\nb | a', "character") == [
        [[5, 6], [4]],
        [[6], [5]],
    ]
    with pytest.raises(UserMistake) as caught:
        encode("a | ab", "character")
    assert caught.value.message == (
        "bags.txt, line 1, bag 2: 'ab' is not one character, and model bookloom@champion knows "
        "characters."
    )
    with pytest.raises(UserMistake, match=r"'c' is not in the vocabulary") as caught:
        encode("a | c", "character")
    assert "Put a character that the model knows" in caught.value.remedy


def test_a_word_like_no_other_has_no_nearest_and_is_shown_short() -> None:
    with pytest.raises(UserMistake, match=r"x' is not in the vocabulary of model .*champion\. "):
        encode("x" * 100_000)


@pytest.mark.parametrize("token", ["_nothing_", "_start_", "_end_", "_unknown_", "_END_"])
def test_special_tokens_are_no_words(token: str) -> None:
    with pytest.raises(UserMistake, match=f"line 1, bag 1: '{token}' is a mark"):
        encode(token)


def test_nearest_words_come_nearest_first_and_never_from_afar() -> None:
    vocabulary = ["lord", "sounds", "zounds", "wounds", "rounds"]
    assert nearest_words("zounds!", vocabulary, n=1) == ["zounds"]
    assert set(nearest_words("zounds!", vocabulary, n=9)) == set(vocabulary) - {"lord"}


def test_the_example_bags_are_well_formed() -> None:
    text = (PROJECT / "data" / "example_bags.txt").read_text(encoding="utf-8")
    bag_sets = parse_bag_sets(text, "example_bags.txt")
    assert len(bag_sets) == 8
    for bag_set in bag_sets:
        assert 4 <= len(bag_set.bags) <= 8
        for bag in bag_set.bags:
            assert 3 <= len(set(bag)) == len(bag) <= 6


def test_naughty_strings_give_an_answer_or_a_mistake() -> None:
    path = TEST_DATA / "books_awkward" / "blns.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent; BOOKLOOM_TEST_DATA says where the extra test data is")
    messages = []
    for line in path.read_text(encoding="utf-8").split("\n"):
        try:
            encode(line)
        except UserMistake as mistake:
            messages.append(mistake.message)
    assert len(messages) > 500, "hardly a naughty string is made of my, lord and zounds"
    assert all(message.startswith("bags.txt") for message in messages)
    assert all(message.isprintable() for message in messages)
