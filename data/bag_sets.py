"""Bag sets as people write them: ordered bags of words, from each of which a sentence takes one.

    # a comment
    good sweet | morrow night | my | lord, lady, "my liege" | . ""
    {"bags": [["good", "sweet"], ["morrow", "night"], ["my"], [","]], "id": "greeting"}

One set a line. In text, bags are parted by `|`, words by spaces or commas; quotation marks hold a
phrase together, and `""` lets a bag give no word. A line that opens with `{` is JSON, where a word
may be anything and a set has settings of its own:

    {"bags": [["the"], {"words": ["old", "grey"], "times": 2, "optional": true}, ["sea"]],
     "any_order": false, "gaps": 1, "early_end": 4.0, "before": "Call me Ishmael.", "id": "sea"}

A set without an id is called by its line number.
"""

import io
import json
import re
import reprlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from data.errors import UserMistake, check_text

MOST_BAGS = 1_000
MOST_NATS = 1e6
_CHOICE = re.compile(r'"([^"]*)"|[^\s,]+')
_JSON_REMEDY = 'Write it as {"bags": [["hello", "hi"], ["world"]], "id": "optional"}.'
_BAG_REMEDY = (
    'Write a bag as ["hello", "hi"] or {"words": ["hello"], "times": 2, "optional": true}.'
)


@dataclass(frozen=True)
class WordBag:
    """Words or phrases of which a sentence takes one; or none, if the bag is optional.

    number: which of the bags as written it is, counted from 1; `times` makes several of one.
    """

    choices: tuple[str, ...]
    optional: bool = False
    number: int = field(default=1, compare=False)


@dataclass(frozen=True)
class BagSet:
    """An ordered list of bags, and where it stood, as `bags.txt, line 3`.

    any_order: the bags may follow each other in any order. num_gaps: so many function words may be
    added between the choices. early_end_nats: what the score loses for each bag that is left out at
    the end; None takes one from every bag. before: the text that the sentence goes on from.
    """

    bag_set_id: str
    place: str
    bags: tuple[WordBag, ...]
    any_order: bool = False
    num_gaps: int = 0
    early_end_nats: float | None = None
    before: str = ""


@dataclass(frozen=True)
class RefusedSet:
    """A line that makes no bag set, and why."""

    bag_set_id: str
    mistake: UserMistake


def parse_bag_sets(text: str, source: str) -> list[BagSet]:
    """Read the bag sets of a file's text; `source` is what to call the file in errors.

    Raises:
        UserMistake: for malformed JSON, an empty bag, an id given twice, or no set at all; it
            names the line and the bag, counted from 1.
    """
    bag_sets = []
    for found in read_bag_sets(text, source):
        if isinstance(found, RefusedSet):
            raise found.mistake
        bag_sets.append(found)
    if not bag_sets:
        raise no_sets(source)
    return bag_sets


def read_bag_sets(text: str, source: str) -> Iterator[BagSet | RefusedSet]:
    """Each line's bag set, or what is wrong with it."""
    place_of: dict[str, str] = {}
    lines = io.StringIO(text.removeprefix("\ufeff"), newline=None)
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            yield with_own_id(_parse_line(line, number, source), place_of)
        except UserMistake as mistake:
            yield RefusedSet(str(number), mistake)


def bag_set_of_record(record: Any, number: int, place: str) -> BagSet:
    """The bag set that a JSON object, or a row of a table, describes.

    Raises:
        UserMistake: it describes none; `place` says where it stands, `number` is its id if it has
            none of its own.
    """
    if not isinstance(record, dict):
        raise UserMistake(f"{place}: {reprlib.repr(record)} is no bag set.", _JSON_REMEDY)
    known = {"bags", "id", "any_order", "gaps", "early_end", "before"}
    unknown_keys = sorted(record.keys() - known)
    if unknown_keys:
        raise UserMistake(
            f"{place}: unknown key {reprlib.repr(unknown_keys[0])}.",
            f"A set has the keys {', '.join(sorted(known))}.",
        )
    bag_set_id = record.get("id")
    # A lone surrogate, which JSON can write, isn't printable and fits in no table.
    if not (bag_set_id is None or (isinstance(bag_set_id, str) and bag_set_id.isprintable())):
        raise UserMistake(
            f"{place}: the id {reprlib.repr(bag_set_id)} is not a printable string.", _JSON_REMEDY
        )
    bags = record.get("bags")
    if not (isinstance(bags, list) and bags):
        raise UserMistake(f"{place}: 'bags' is not a list of bags.", _JSON_REMEDY)
    word_bags = [
        bag
        for number, written in enumerate(bags, start=1)
        for bag in _bags_of_record(written, number, f"{place}, bag {number}")
    ]
    if len(word_bags) > MOST_BAGS:
        raise UserMistake(
            f"{place}: {len(word_bags):,} bags; {MOST_BAGS:,} is the most.", "Cut the set in parts."
        )
    return BagSet(
        bag_set_id or str(number),
        place,
        tuple(word_bags),
        any_order=_flag(record, "any_order", place),
        num_gaps=_count(record, "gaps", 0, range(MOST_BAGS), place),
        early_end_nats=_nats(record, "early_end", place),
        before=_text(record, "before", place),
    )


def with_own_id(bag_set: BagSet, place_of: dict[str, str]) -> BagSet:
    """The set, whose id is noted with its place.

    Raises:
        UserMistake: another set has the id.
    """
    earlier = place_of.setdefault(bag_set.bag_set_id, bag_set.place)
    if earlier != bag_set.place:
        raise UserMistake(
            f"{bag_set.place}: the id {reprlib.repr(bag_set.bag_set_id)} already belongs to "
            f"{earlier}.",
            "Give every set an id of its own; a set without one has its number.",
        )
    return bag_set


def parse_json(content: str | bytes, place: str) -> Any:
    """What JSON says.

    Raises:
        UserMistake: it is malformed; `place` says where it stands.
    """
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        raise UserMistake(
            f"{place}, column {error.colno}: malformed JSON: {error.msg}.", _JSON_REMEDY
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits; [[[[[...
        raise UserMistake(f"{place}: JSON that can't be read: {error}.", _JSON_REMEDY) from error


def no_sets(source: str) -> UserMistake:
    """What is wrong with a file that holds nothing."""
    return UserMistake(
        f"{source} holds no bag sets.",
        "Write one set a line, bags parted by |, words by spaces: hello hi | world",
    )


def _parse_line(line: str, number: int, source: str) -> BagSet:
    place = f"{source}, line {number}"
    if line.lstrip().startswith("{"):
        return bag_set_of_record(parse_json(line, place), number, place)
    bags = [
        [match[1] if match[1] is not None else match[0] for match in _CHOICE.finditer(bag)]
        for bag in line.split("|")
    ]
    return bag_set_of_record({"bags": bags}, number, place)


def _bags_of_record(written: Any, number: int, place: str) -> list[WordBag]:
    """A bag as often as it is to be used."""
    times, optional, words = 1, False, written
    if isinstance(written, dict):
        unknown_keys = sorted(written.keys() - {"words", "times", "optional"})
        if unknown_keys:
            raise UserMistake(f"{place}: unknown key {reprlib.repr(unknown_keys[0])}.", _BAG_REMEDY)
        words = written.get("words")
        times = _count(written, "times", 1, range(1, MOST_BAGS + 1), place)
        optional = _flag(written, "optional", place)
    if not isinstance(words, list):
        raise UserMistake(f"{place} is not a list of words.", _BAG_REMEDY)
    for word in words:
        if not isinstance(word, str):
            raise UserMistake(f"{place}: {reprlib.repr(word)} is not a word.", _BAG_REMEDY)
        check_text(word, place)
    choices = tuple(word for word in words if word)
    if not choices:
        raise UserMistake(f"{place} is empty.", "Put a word in it or take it out.")
    return [WordBag(choices, optional or "" in words, number)] * times


def _flag(record: dict[str, Any], key: str, place: str) -> bool:
    value = record.get(key, False)
    if not isinstance(value, bool):
        raise UserMistake(
            f"{place}: {key} is {reprlib.repr(value)}.", f"Write {key} as true or false."
        )
    return value


def _count(record: dict[str, Any], key: str, default: int, allowed: range, place: str) -> int:
    value = record.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or value not in allowed:
        raise UserMistake(
            f"{place}: {key} is {reprlib.repr(value)}.",
            f"Write {key} as a whole number from {allowed[0]} to {allowed[-1]}.",
        )
    return value


def _text(record: dict[str, Any], key: str, place: str) -> str:
    value = record.get(key, "")
    if not isinstance(value, str):
        raise UserMistake(f"{place}: {key} is {reprlib.repr(value)}.", f"Write {key} as a text.")
    check_text(value, f"{place}, {key}")
    return value


def _nats(record: dict[str, Any], key: str, place: str) -> float | None:
    value = record.get(key)
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value <= MOST_NATS):
        raise UserMistake(
            f"{place}: {key} is {reprlib.repr(value)}.",
            f"Write {key} as 0 or more nats, {MOST_NATS:g} at most.",
        )
    return float(value)
