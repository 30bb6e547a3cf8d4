"""The alphabet lesson of docs/alphabet.md: a carried state counts places, or reads letters."""

import functools

import pytest
import torch

from benchmarks.alphabet import (
    NUM_LETTERS,
    Lesson,
    answers_alone,
    answers_out_of_place,
    book,
    replies,
    shares,
    trained,
)
from models.language_model import LanguageModel
from models.special_tokens import START, UNKNOWN

B = 1


@functools.cache
def model(lesson: Lesson) -> LanguageModel:
    return trained(lesson, seed=1)


def test_books_go_round() -> None:
    a, z = UNKNOWN + 1, UNKNOWN + NUM_LETTERS
    assert book(0).tolist() == [START, *range(a, z + 1)]
    assert book(25).tolist() == [START, z, *range(a, z)]


def test_shares_by_hand() -> None:
    place_PL = torch.arange(26)[:, None].expand(26, 26)
    letter_PL = torch.arange(26).expand(26, 26)
    assert shares(place_PL + 1) == (1.0, 0.0)
    assert shares(letter_PL + 1) == (0.0, 1.0)
    half_PL = torch.where(letter_PL % 2 == 1, place_PL + 1, letter_PL + 1)
    assert shares(half_PL[:1]) == (0.5, 0.5)  # b to y: 24 letters
    assert shares(torch.zeros(26, 26)) == (0.0, 0.0)


@pytest.mark.parametrize("lesson", ["in order", "rotations"])
def test_the_carried_state_spans_the_alphabet(lesson: Lesson) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    assert replies(model(lesson), letters)[:25] == letters[1:]


def test_trained_in_order_it_knows_places_rather_than_letters() -> None:
    counting = model("in order")
    by_place, by_letter = shares(answers_alone(counting).argmax(dim=1)[None])
    assert by_place >= 0.9 and by_letter <= 0.05
    assert answers_alone(counting)[:, B].mean() >= 0.8
    by_place, by_letter = shares(answers_out_of_place(counting))
    assert by_place >= 0.8 and by_letter <= 0.1


def test_trained_on_rotations_it_continues_from_any_letter() -> None:
    follower_L = (torch.arange(NUM_LETTERS) + 1) % NUM_LETTERS
    probabilities_LA = answers_alone(model("rotations"))
    assert (probabilities_LA.argmax(dim=1) == follower_L).double().mean() >= 0.9
    assert probabilities_LA.gather(1, follower_L[:, None]).mean() >= 0.8
    assert probabilities_LA[:, B].mean() <= 0.1
