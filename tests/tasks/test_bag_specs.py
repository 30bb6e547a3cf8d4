"""Words of bags become token ids, or a mistake that says what to do."""

import json
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from data.bag_sets import RefusedSet, parse_bag_sets, read_bag_sets
from data.errors import UserMistake
from data.settings import Settings
from data.stop_words import ENGLISH_STOP_WORDS, stop_words_of
from flows.command_tools import validated
from models.bundle import Bundle
from models.language_model import Architecture, LanguageModel
from models.sentence_space import Bag, BagSpec
from models.special_tokens import SPECIAL_TOKENS
from models.vocabulary import Vocabulary
from tasks.generate import GenerateSettings
from tasks.seams import bag_specs
from tasks.seams.bag_specs import MOST_HINTS, BagEncoder
from tasks.write import WriteSettings

PROJECT = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("BOOKLOOM_TEST_DATA", PROJECT.parent / "shared" / "data"))
WORDS = ("zounds", "sounds", "wounds", "my", "lord", "do", "n't", "the", ".")


def encoder(
    words: Sequence[str] = WORDS, unit: Any = "word", language: str = "en", **settings: Any
) -> BagEncoder:
    tokens = (*SPECIAL_TOKENS, *words)
    counts = (0, 2, 9, 5, *range(len(words), 0, -1))
    model = LanguageModel(Architecture(len(tokens), 4, 5))
    bundle = Bundle(model, Vocabulary(tokens, counts, True, unit), "_end_", {language: {}})
    return BagEncoder(bundle, model_name="bookloom@champion", **settings)


def spec(text: str, **settings: Any) -> BagSpec:
    [bag_set] = parse_bag_sets(text, "bags.txt")
    return encoder(**settings).spec(bag_set)


def choices(text: str, **settings: Any) -> list[tuple[tuple[int, ...], ...]]:
    return [bag.choices for bag in spec(text, **settings).bags]


def test_words_become_ids_after_the_tokenisers_own_normalisation() -> None:
    assert choices("Zounds MY|lord") == [((4,), (7,)), ((8,),)]


def test_phrases_and_contractions_become_several_tokens() -> None:
    assert choices('"my lord" don\'t | lord. zounds') == [((7, 8), (9, 10)), ((8, 12), (4,))]


def test_what_a_set_says_goes_over() -> None:
    line = {"bags": [["my", ""], ["lord"]], "any_order": True, "early_end": 2.5}
    assert spec(json.dumps(line)) == BagSpec(
        (Bag(((7,),), optional=True), Bag(((8,),))), any_order=True, early_end_nats=2.5
    )


def test_gaps_take_the_models_own_function_words() -> None:
    line = json.dumps({"bags": [["lord"]], "gaps": 2})
    found = spec(line)
    assert found.num_gaps == 2
    # So few stop words: the books are in another language, and frequent words serve.
    assert found.gap_words == (4, 5, 6, 7, 8, 9, 11)
    english = sorted(ENGLISH_STOP_WORDS)[:30]
    assert spec(line, words=["lord", "king", *english]).gap_words == tuple(range(6, 36))
    german = sorted(stop_words_of("de") - ENGLISH_STOP_WORDS - {"lord"})[:30]
    found = spec(line, words=["lord", "the", *german], language="de")
    assert found.gap_words == tuple(range(6, 36))


def test_an_unknown_word_is_named_with_its_place_and_its_nearest() -> None:
    with pytest.raises(UserMistake) as caught:
        spec("\n\nmy | Zound")
    assert caught.value.message == (
        "bags.txt, line 3, bag 2: 'zound' is not in the vocabulary of model bookloom@champion; "
        "nearest: 'zounds', 'wounds', 'sounds'."
    )


def test_the_bag_that_is_named_is_the_one_that_was_written() -> None:
    line = {"bags": [{"words": ["my"], "times": 3}, ["fie"]]}
    with pytest.raises(UserMistake, match="line 1, bag 2: 'fie' is not"):
        spec(json.dumps(line))
    with pytest.raises(UserMistake, match=r"line 1, bag 2: the model .* knows none"):
        spec(json.dumps(line), unknown="drop")


def test_only_the_first_unknown_words_are_held_against_the_vocabulary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def nearest(word: str, _: object) -> list[str]:
        asked.append(word)
        return ["zounds"]

    monkeypatch.setattr(bag_specs, "nearest_words", nearest)
    one = encoder()
    words = [f"fie{number}" for number in range(MOST_HINTS + 5)]
    messages = []
    for bag_set in parse_bag_sets("\n".join([*words, *words]), "bags.txt"):
        with pytest.raises(UserMistake) as caught:
            one.spec(bag_set)
        messages.append(caught.value.message)
    assert asked == words[:MOST_HINTS]
    told = [message.endswith("champion; nearest: 'zounds'.") for message in messages]
    assert told == ([True] * MOST_HINTS + [False] * 5) * 2


def test_an_unknown_word_is_dropped_with_its_choice() -> None:
    assert choices('my fie "my fie" | lord', unknown="drop") == [((7,),), ((8,),)]
    with pytest.raises(UserMistake, match=r"bag 2: the model .* knows none of its words"):
        spec("my | fie", unknown="drop")


def test_unknown_words_share_the_probability_of_unknown_ones() -> None:
    shared = encoder(unknown="share")
    found = [
        shared.spec(bag_set).bags for bag_set in parse_bag_sets("my fie | pish\nfie lord", "b")
    ]
    assert [[bag.choices for bag in bags] for bags in found] == [
        [((7,), (13,)), ((14,),)],
        [((13,), (8,))],
    ]
    unseen = shared.unseen_words()
    assert unseen is not None
    assert unseen.words == ("fie", "pish")
    # Five unknown tokens in training, each likely of a type of its own.
    assert unseen.log_probabilities == pytest.approx((-math.log(5),) * 2)


def test_unknown_words_are_spelled() -> None:
    spell: Callable[[Sequence[str]], list[float]] = lambda words: [-float(len(w)) for w in words]  # noqa: E731
    spelled = encoder(unknown="spell", spell=spell)
    spelled.spec(parse_bag_sets("my fie | pish", "bags.txt")[0])
    unseen = spelled.unseen_words()
    assert unseen is not None
    assert (unseen.words, unseen.log_probabilities) == (("fie", "pish"), (-3.0, -4.0))


def test_bags_of_characters_spell_words() -> None:
    letters = {"words": (" ", "a", "b"), "unit": "character"}
    assert choices('{"bags": [["A", "ab"], [" "]]}', **letters) == [((5,), (5, 6)), ((4,),)]
    with pytest.raises(UserMistake, match=r"'c' is not in the vocabulary") as caught:
        choices("a | ac", **letters)
    assert caught.value.remedy == (
        "Put a character that the model knows in its place, take it out, or pass --unknown drop."
    )
    with pytest.raises(UserMistake, match="gaps is 1"):
        choices('{"bags": [["a"]], "gaps": 1}', **letters)


def test_a_word_like_no_other_has_no_nearest_and_is_shown_short() -> None:
    with pytest.raises(
        UserMistake, match=r"x' is not in the vocabulary of model .*champion\. "
    ) as c:
        choices("x" * 100_000)
    assert len(c.value.message) < 200


@pytest.mark.parametrize("token", ["_nothing_", "_start_", "_end_", "_unknown_", "_END_"])
@pytest.mark.parametrize("unknown", ["error", "drop", "share"])
def test_special_tokens_are_no_words(token: str, unknown: str) -> None:
    with pytest.raises(UserMistake, match=f"line 1, bag 1: '{token}' is a mark"):
        choices(f"my {token}", unknown=unknown)
    with pytest.raises(UserMistake):
        choices(f'"my {token}"')


def test_naughty_strings_give_an_answer_or_a_mistake() -> None:
    path = TEST_DATA / "books_awkward" / "blns.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent; BOOKLOOM_TEST_DATA says where the extra test data is")
    messages = []
    naughty = encoder()
    shared = encoder(unknown="share")
    for line in path.read_text(encoding="utf-8").split("\n"):
        as_json = json.dumps({"bags": [[line]]}) if line else ""
        for found in (*read_bag_sets(line, "bags.txt"), *read_bag_sets(as_json, "bags.txt")):
            for one in (naughty, shared):
                try:
                    if isinstance(found, RefusedSet):
                        raise found.mistake
                    one.spec(found)
                except UserMistake as mistake:
                    messages.append(mistake.message)
    assert len(messages) > 500, "hardly a naughty string is made of my, lord and zounds"
    assert all(message.startswith("bags.txt") for message in messages)
    assert all(message.isprintable() for message in messages)


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (GenerateSettings, "frequency_discount", math.inf),
        (GenerateSettings, "early_end", math.inf),
        (GenerateSettings, "early_end", 1e7),
        (GenerateSettings, "gaps", 1_000),
        (WriteSettings, "temperature", math.inf),
        (WriteSettings, "temperature", math.nan),
    ],
)
def test_settings_without_bounds_are_mistakes(
    kind: type[Settings], name: str, value: float
) -> None:
    with pytest.raises(UserMistake, match=rf"{name} is {re.escape(str(value))}: Input should be "):
        validated(kind, {name: value})
