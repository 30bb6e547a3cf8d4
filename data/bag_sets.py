"""Bag sets as people write them: ordered bags of words, from each of which a sentence takes one.

    # a comment
    good sweet | morrow night | my | lord, lady, king
    {"bags": [["good", "sweet"], ["morrow", "night"], ["my"], [","]], "id": "greeting"}

One set a line. In text, bags are parted by `|`, words by spaces or commas; a line that opens with
`{` is JSON, where a word may be anything. A set without an id is called by its line number.
"""

import difflib
import io
import json
import re
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.errors import UserMistake

_SPECIAL_TOKENS = frozenset(("_nothing_", "_start_", "_end_", "_unknown_"))
_WORD = re.compile(r"[^\s,]+")
_JSON_REMEDY = 'Write it as {"bags": [["hello", "hi"], ["world"]], "id": "optional"}.'


@dataclass(frozen=True)
class BagSet:
    """An ordered list of bags, none of them empty, and the line (from 1) that it stood on."""

    bag_set_id: str
    line: int
    bags: tuple[tuple[str, ...], ...]


def parse_bag_sets(text: str, source: str) -> list[BagSet]:
    """Read the bag sets of a file's text; `source` is what to call the file in errors.

    Raises:
        UserMistake: for malformed JSON, an empty bag, an id given twice, or no set at all; it
            names the line and the bag, counted from 1.
    """
    bag_sets: dict[str, BagSet] = {}
    lines = io.StringIO(text.removeprefix("\ufeff"), newline=None)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        bag_set = _parse_line(line, number, source)
        earlier = bag_sets.setdefault(bag_set.bag_set_id, bag_set)
        if earlier is not bag_set:
            raise UserMistake(
                f"{source}, line {number}: the id {reprlib.repr(bag_set.bag_set_id)} "
                f"already belongs to line {earlier.line}.",
                "Give every set an id of its own; a set without one has its line number.",
            )
    if not bag_sets:
        raise UserMistake(
            f"{source} holds no bag sets.",
            "Write one set a line, bags parted by |, words by spaces: hello hi | world",
        )
    return list(bag_sets.values())


def _parse_line(line: str, number: int, source: str) -> BagSet:
    place = f"{source}, line {number}"
    if line.lstrip().startswith("{"):
        bag_set_id, bags = _parse_json(line, place)
    else:
        bag_set_id, bags = None, [_WORD.findall(bag) for bag in line.split("|")]
    for bag_number, bag in enumerate(bags, start=1):
        if not bag:
            raise UserMistake(
                f"{place}, bag {bag_number} is empty.", "Put a word in it or take it out."
            )
    return BagSet(bag_set_id or str(number), number, tuple(map(tuple, bags)))


def _parse_json(line: str, place: str) -> tuple[str | None, list[list[str]]]:
    try:
        record: dict[str, Any] = json.loads(line)
    except json.JSONDecodeError as error:
        raise UserMistake(
            f"{place}, column {error.colno}: malformed JSON: {error.msg}.", _JSON_REMEDY
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; [[[[[...
        raise UserMistake(f"{place}: JSON that can't be read: {error}.", _JSON_REMEDY) from error

    unknown_keys = sorted(record.keys() - {"bags", "id"})
    if unknown_keys:
        raise UserMistake(f"{place}: unknown key {reprlib.repr(unknown_keys[0])}.", _JSON_REMEDY)
    bag_set_id = record.get("id")
    # A lone surrogate, which JSON can write, isn't printable and fits in no table.
    if not (bag_set_id is None or (isinstance(bag_set_id, str) and bag_set_id.isprintable())):
        raise UserMistake(
            f"{place}: the id {reprlib.repr(bag_set_id)} is not a printable string.", _JSON_REMEDY
        )
    bags = record.get("bags")
    if not (isinstance(bags, list) and bags):
        raise UserMistake(f"{place}: 'bags' is not a list of bags.", _JSON_REMEDY)
    for bag_number, bag in enumerate(bags, start=1):
        if not isinstance(bag, list):
            raise UserMistake(f"{place}, bag {bag_number} is not a list of words.", _JSON_REMEDY)
        for word in bag:
            if not (isinstance(word, str) and word):
                raise UserMistake(
                    f"{place}, bag {bag_number}: {reprlib.repr(word)} is not a word.", _JSON_REMEDY
                )
    return bag_set_id, bags


def encode_bag_sets(
    bag_sets: Sequence[BagSet],
    token_id_of: Mapping[str, int],
    *,
    normalise: Callable[[str], str],
    source: str,
    model_name: str,
    unit: str = "word",
) -> list[list[list[int]]]:
    """Return the token ids of the words, by set and bag.

    Args:
        bag_sets: what `parse_bag_sets` gave.
        token_id_of: the model's vocabulary.
        normalise: what the model's tokeniser does to a word, such as lower-casing.
        source: what to call the file in errors.
        model_name: what to call the model in errors.
        unit: what the model knows, "word" or "character"; a bag of the latter holds characters.

    Raises:
        UserMistake: for a word that the model doesn't know or a special token; it names the line,
            the bag and the nearest known words.
    """

    def encode(word: str, place: str) -> int:
        token = normalise(word)
        if token in _SPECIAL_TOKENS:
            raise UserMistake(
                f"{place}: {word!r} is a mark that models use, not a word.",
                "Take it out of the bag.",
            )
        if token not in token_id_of and unit == "character" and len(word) > 1:
            raise UserMistake(
                f"{place}: {reprlib.repr(word)} is not one character, and model {model_name} "
                "knows characters.",
                "Fill the bags with single characters; JSON can hold a space: "
                '{"bags": [["a", "b"], [" "]]}.',
            )
        if token not in token_id_of:
            nearest = nearest_words(token, token_id_of.keys() - _SPECIAL_TOKENS)
            hint = f"; nearest: {', '.join(map(repr, nearest))}" if nearest else ""
            raise UserMistake(
                f"{place}: {reprlib.repr(word)} is not in the vocabulary of model "
                f"{model_name}{hint}.",
                f"Put a {unit} that the model knows in its place or take it out of the bag.",
            )
        return token_id_of[token]

    return [
        [
            [encode(word, f"{source}, line {bag_set.line}, bag {bag_number}") for word in bag]
            for bag_number, bag in enumerate(bag_set.bags, start=1)
        ]
        for bag_set in bag_sets
    ]


def nearest_words(word: str, vocabulary: Iterable[str], n: int = 3) -> list[str]:
    """Return up to n words of a vocabulary that are spelled much like a word, the nearest first.

    The measure is Ratcliff and Obershelp's (difflib), at least 0.6 of 1. difflib counts letters
    before it aligns them, which keeps 15,000 words under a second.
    """
    return difflib.get_close_matches(word, vocabulary, n)
