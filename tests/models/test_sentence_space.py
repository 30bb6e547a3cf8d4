"""Spaces of sentences against their definition: specifications expanded by hand or by force."""

from collections.abc import Iterator
from itertools import permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.sentence_space import DONE, Bag, BagSpec, Phrase, SentenceSpace

END, VOCABULARY_SIZE = 2, 10
GAINS = [float("nan")] * 3 + [0.1 * token for token in range(3, VOCABULARY_SIZE)]
THE, BIG, DOG, CAT, RAN = 4, 5, 6, 7, 8


def space(*bags: Bag, **settings: Any) -> SentenceSpace:
    return SentenceSpace(BagSpec(bags, **settings), GAINS, END)


def words(*choices: int | Phrase, optional: bool = False) -> Bag:
    phrases = tuple(one if isinstance(one, tuple) else (one,) for one in choices)
    return Bag(phrases, optional)


def walked(found: SentenceSpace) -> dict[Phrase, float]:
    """Every sentence of a space, with what it gains; each met once."""
    sentences: dict[Phrase, float] = {}
    waiting: list[tuple[int, Phrase, float]] = [(0, (), 0.0)]
    while waiting:
        place, before, gain = waiting.pop()
        choices = found.choices(place)
        assert choices.token_ids_K == sorted(set(choices.token_ids_K))
        assert len(choices.token_ids_K) <= found.widest
        for token, own, after, level, most_gain in zip(
            choices.token_ids_K,
            choices.gains_K,
            choices.places_K,
            choices.levels_K,
            choices.most_gains_K,
            strict=True,
        ):
            assert 0 <= level < found.num_levels
            if after == DONE:
                assert token == END
                assert before not in sentences, "each sentence once"
                sentences[before] = gain + own
            else:
                assert most_gain == found.most_gain(after)
                waiting.append((after, (*before, token), gain + own))
    return sentences


def by_force(spec: BagSpec) -> dict[Phrase, float]:
    """The same from the definition: every order, every choice, every gap, every early end."""
    sentences: dict[Phrase, float] = {}
    orders = permutations(spec.bags) if spec.any_order else [spec.bags]
    for bags in orders:
        for taken in product(*([*bag.choices, *([()] if bag.optional else [])] for bag in bags)):
            for last in range(len(taken) + 1):
                left_out = sum(not bag.optional for bag in bags[last:])
                if left_out and spec.early_end_nats is None:
                    continue
                cost = left_out * (spec.early_end_nats or 0.0)
                parts = [part for part in taken[:last] if part]
                for sentence in with_gaps(parts, spec.gap_words, spec.num_gaps):
                    if sentence:
                        gain = sum(GAINS[token] for token in sentence) - cost
                        sentences[sentence] = max(gain, sentences.get(sentence, gain))
    return sentences


def with_gaps(parts: list[Phrase], gap_words: Phrase, num_gaps: int) -> Iterator[Phrase]:
    if not parts:
        for number in range(num_gaps + 1):
            yield from product(gap_words, repeat=number)
        return
    for number in range(num_gaps + 1):
        for gap in product(gap_words, repeat=number):
            for rest in with_gaps(parts[1:], gap_words, num_gaps - number):
                yield (*gap, *parts[0], *rest)


def test_plain_bags_allow_one_word_from_each_in_order() -> None:
    found = space(words(THE, BIG), words(DOG, CAT, DOG), words(RAN))
    assert set(walked(found)) == {
        (THE, DOG, RAN), (THE, CAT, RAN), (BIG, DOG, RAN), (BIG, CAT, RAN),
    }  # fmt: skip
    assert found.gain((THE, DOG, RAN)) == pytest.approx(0.1 * (THE + DOG + RAN))
    assert found.most_gain(0) == pytest.approx(0.1 * (BIG + CAT + RAN))


def test_an_optional_bag_may_be_passed_over() -> None:
    found = space(words(THE), words(BIG, optional=True), words(DOG))
    assert set(walked(found)) == {(THE, DOG), (THE, BIG, DOG)}


def test_phrases_that_begin_alike_part_later() -> None:
    found = space(words((THE, BIG, DOG), (THE, CAT), THE), words(RAN))
    assert set(walked(found)) == {(THE, BIG, DOG, RAN), (THE, CAT, RAN), (THE, RAN)}


def test_bags_in_any_order() -> None:
    found = space(words(THE), words(BIG), words(DOG), any_order=True)
    assert set(walked(found)) == set(permutations((THE, BIG, DOG)))


def test_a_sentence_that_ends_early_pays_for_each_bag() -> None:
    found = space(words(THE), words(DOG), words(RAN), early_end_nats=1.5)
    assert walked(found) == pytest.approx(
        {(THE,): 0.4 - 3.0, (THE, DOG): 1.0 - 1.5, (THE, DOG, RAN): 1.8}
    )


def test_gaps_take_function_words_anywhere() -> None:
    found = space(words(DOG), words(RAN), gap_words=(THE,), num_gaps=1)
    assert set(walked(found)) == {
        (DOG, RAN), (THE, DOG, RAN), (DOG, THE, RAN), (DOG, RAN, THE),
    }  # fmt: skip


def test_nothing_at_all_is_no_sentence() -> None:
    assert set(walked(space(words(THE, optional=True)))) == {(THE,)}


bags = st.builds(
    Bag,
    st.lists(
        st.lists(st.integers(3, 6), min_size=1, max_size=2).map(tuple), min_size=1, max_size=3
    ).map(tuple),
    st.booleans(),
)
specs = st.builds(
    BagSpec,
    st.lists(bags, min_size=1, max_size=3).map(tuple),
    any_order=st.booleans(),
    gap_words=st.just((5, 7)),
    num_gaps=st.integers(0, 1),
    early_end_nats=st.none() | st.just(2.0),
)


@settings(deadline=None)
@given(specs)
def test_every_specification_allows_what_its_definition_says(spec: BagSpec) -> None:
    found = SentenceSpace(spec, GAINS, END)
    sentences = walked(found)
    assert sentences == pytest.approx(by_force(spec))
    for sentence, gain in sentences.items():
        assert gain <= found.most_gain(0) + 1e-9
        slots = found.slots(sentence)
        assert tuple(token for _, phrase in slots for token in phrase) == sentence
        used = [bag for bag, _ in slots if bag is not None]
        assert len(used) == len(set(used))
        assert all(phrase in spec.bags[bag].choices for bag, phrase in slots if bag is not None)
        assert sum(bag is None for bag, _ in slots) <= spec.num_gaps
        if not spec.any_order:
            assert used == sorted(used)
        if spec.early_end_nats is None:
            left = set(range(len(spec.bags))) - set(used)
            assert all(spec.bags[bag].optional for bag in left)


def test_twenty_bags_in_any_order_are_made_as_they_are_met() -> None:
    found = space(*(words(3 + index % 7) for index in range(20)), any_order=True)
    place = 0
    for _ in range(20):
        choices = found.choices(place)
        place = choices.places_K[0]
    assert found.choices(place).token_ids_K == [END]


@pytest.mark.parametrize("sentence", [(), (THE,), (THE, DOG, RAN), (DOG, THE)])
def test_what_is_no_sentence_has_no_slots_and_no_gain(sentence: Phrase) -> None:
    found = space(words(THE), words(DOG))
    for ask in (found.slots, found.gain):
        with pytest.raises(ValueError, match="no sentence of these bags"):
            ask(sentence)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (BagSpec(()), "no bags"),
        (BagSpec((words(THE), Bag(()))), "bag 1 is empty"),
        (BagSpec((words(()),)), "bag 0 has a choice without tokens"),
        (BagSpec((words(1),)), "bag 0: 1 is not"),
        (BagSpec((words(THE),), gap_words=(1,), num_gaps=1), "gap_words: 1 is not"),
        (BagSpec((words(THE),), early_end_nats=-1.0), "early_end_nats is -1.0"),
        (BagSpec((words(THE),), early_end_nats=float("nan")), "early_end_nats is nan"),
        (BagSpec((words(THE),), num_gaps=-1), "num_gaps is -1"),
    ],
)
def test_specifications_that_make_no_space(spec: BagSpec, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SentenceSpace(spec, GAINS, END)
