"""Bag files: every text gives bag sets or a mistake that names its place."""

import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bag_sets import BagSet, RefusedSet, WordBag, parse_bag_sets, read_bag_sets
from data.errors import UserMistake
from data.spelling import nearest_words

PROJECT = Path(__file__).parents[2]


def bags(*words: list[str]) -> tuple[WordBag, ...]:
    return tuple(WordBag(tuple(bag)) for bag in words)


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
        BagSet("3", "bags.txt, line 3", bags(["good", "sweet"], ["morrow", "night"], ["my"])),
        BagSet("aside", "bags.txt, line 4", bags(["o", "|"], [",", "good lord"])),
        BagSet("6", "bags.txt, line 6", bags(["hello"])),
    ]


def test_phrases_and_bags_that_may_give_nothing() -> None:
    [bag_set] = parse_bag_sets('good "dear old" ""|my, "lord"|"', "bags.txt")
    assert bag_set.bags == (
        WordBag(("good", "dear old"), optional=True),
        WordBag(("my", "lord")),
        WordBag(('"',)),
    )


def test_settings_of_a_set_in_json() -> None:
    line = json.dumps(
        {
            "bags": [{"words": ["a", ""], "times": 2}, {"words": ["b"], "optional": True}, ["c"]],
            "any_order": True,
            "gaps": 3,
            "early_end": 2,
            "before": "Once upon a time.",
        }
    )
    assert parse_bag_sets(line, "bags.txt") == [
        BagSet(
            "1",
            "bags.txt, line 1",
            (
                *[WordBag(("a",), optional=True)] * 2,
                WordBag(("b",), optional=True),
                WordBag(("c",)),
            ),
            any_order=True,
            num_gaps=3,
            early_end_nats=2.0,
            before="Once upon a time.",
        )
    ]


def test_a_malformed_line_costs_itself_only() -> None:
    found = list(read_bag_sets('a | b\n{"bags": 7}\n\nc |\nd | e', "bags.txt"))
    assert [one.bag_set_id for one in found] == ["1", "2", "4", "5"]
    assert [isinstance(one, RefusedSet) for one in found] == [False, True, True, False]
    refused = [one.mistake.message for one in found if isinstance(one, RefusedSet)]
    assert refused == [
        "bags.txt, line 2: 'bags' is not a list of bags.",
        "bags.txt, line 4, bag 2 is empty.",
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
        ('{"bags": [["a"], [""]]}', "bags.txt, line 1, bag 2 is empty."),
        ('a | ""', "bags.txt, line 1, bag 2 is empty."),
        ('{"bags": [{"words": "a"}]}', "bags.txt, line 1, bag 1 is not a list of words."),
        ('{"bags": [{"word": ["a"]}]}', "bags.txt, line 1, bag 1: unknown key 'word'."),
        ('{"bags": [{"words": ["a"], "times": 0}]}', "bags.txt, line 1, bag 1: times is 0."),
        ('{"bags": [{"words": ["a"], "times": true}]}', "bag 1: times is True."),
        ('{"bags": [{"words": ["a"], "times": 1001}]}', "bag 1: times is 1001."),
        ('{"bags": [{"words": ["a"], "times": 600}, {"words": ["a"], "times": 600}]}',
         "bags.txt, line 1: 1,200 bags; 1,000 is the most."),
        ('{"bags": [{"words": ["a"], "optional": 1}]}', "bag 1: optional is 1."),
        ('{"bags": [["a"]], "any_order": "yes"}', "bags.txt, line 1: any_order is 'yes'."),
        ('{"bags": [["a"]], "gaps": -1}', "bags.txt, line 1: gaps is -1."),
        ('{"bags": [["a"]], "gaps": 1.5}', "bags.txt, line 1: gaps is 1.5."),
        ('{"bags": [["a"]], "early_end": -2}', "bags.txt, line 1: early_end is -2."),
        ('{"bags": [["a"]], "early_end": NaN}', "bags.txt, line 1: early_end is nan."),
        ('{"bags": [["a"]], "early_end": 1' + "0" * 400 + "}", "bags.txt, line 1: early_end is 1"),
        ('{"bags": [["a"]], "before": 3}', "bags.txt, line 1: before is 3."),
        ('{"bags": [["a"]], "id": 7}', "bags.txt, line 1: the id 7 is not a printable string."),
        ('{"bags": [["a"]], "id": "\\ud800"}', "bags.txt, line 1: the id '\\ud800' is not"),
        ('{"bags": [["a"], ["\\ud83d"]]}',
         "bags.txt, line 1, bag 2: '\\ud83d' holds '\\ud83d', which is no character."),
        ('{"bags": [["a"]], "before": "O \\ude00"}',
         "bags.txt, line 1, before: 'O \\ude00' holds '\\ude00', which is no character."),
        ('a\n{"bags": [["a"]], "id": "1"}', "the id '1' already belongs to bags.txt, line 1."),
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
        assert all(bag_set.bags for bag_set in bag_sets)
        every = [bag for bag_set in bag_sets for bag in bag_set.bags]
        assert all(bag.choices and all(bag.choices) for bag in every)


letters = st.characters(exclude_categories=["C", "Z"], exclude_characters=',|#{"')
words = st.text(letters, min_size=1, max_size=5)
bags_of_words = st.lists(st.lists(words, min_size=1, max_size=4), min_size=1, max_size=4)


@given(st.lists(bags_of_words, min_size=1, max_size=4))
def test_what_is_written_is_read_back(sets: list[list[list[str]]]) -> None:
    as_text = "\n".join(" | ".join(map(" ".join, written)) for written in sets)
    as_json = "\n".join(json.dumps({"bags": written}) for written in sets)
    expected = [
        BagSet(str(line), f"b, line {line}", bags(*written))
        for line, written in enumerate(sets, start=1)
    ]
    assert parse_bag_sets(as_text, "b") == expected
    assert parse_bag_sets(as_json, "b") == expected


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
            assert 3 <= len(set(bag.choices)) == len(bag.choices) <= 6
