"""The alphabet lesson: what a carried state knows, on the smallest book there is.

    python benchmarks/alphabet.py --json --picture docs/alphabet.png

trains one small model on `_start_ a b c … z` over and over, and one on rotations of it (`_start_`,
then 26 letters from a random one on, `z` followed by `a`). In order, letter and place in the book
say the same, and nothing but a question tells which of them a model has learned: after a few
letters it is fed one that does not belong there, and continues by the one or by the other.
docs/alphabet.md tells the story.

Shapes: P places (how many letters of the alphabet were read before), L letters fed, A letters
answered; all are 26, and index 0 is `a`.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Literal

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from models.language_model import Architecture, Dropout, LanguageModel
from models.recipe import Recipe
from models.special_tokens import START, UNKNOWN, TokenIds
from models.training import Training

Lesson = Literal["in order", "rotations"]
NUM_LETTERS = 26
A = UNKNOWN + 1
LETTERS_L = torch.arange(A, A + NUM_LETTERS)
ARCHITECTURE = Architecture(
    num_types=A + NUM_LETTERS,
    embedding_width=16,
    hidden_width=64,
)
RECIPE = Recipe(
    num_lanes=8,
    window_length=5,  # far shorter than the alphabet: only the carried state spans it
    learning_rate=0.01,
    warmup_steps=10,
    weight_decay=0.0,
    dropout=Dropout(inputs=0.5, output=0.5),  # a letter half seen: worth relying on the state
)
NUM_BOOKS = 1600


def book(first: int) -> TokenIds:
    """`_start_`, then the alphabet from a letter on, going round."""
    letters = A + (first + np.arange(NUM_LETTERS)) % NUM_LETTERS
    return np.concatenate([[START], letters]).astype(np.int32)


def trained(lesson: Lesson, seed: int, dropout: Dropout = RECIPE.dropout) -> LanguageModel:
    """A model that has read NUM_BOOKS books; takes about two seconds on one thread."""
    rotations = rotations_of(lesson)
    firsts = np.random.default_rng(seed).choice(rotations, NUM_BOOKS)
    stream = np.concatenate([book(first) for first in firsts])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LanguageModel(ARCHITECTURE)
        recipe = replace(RECIPE, dropout=dropout)
        for _ in Training(model, stream, [book(r) for r in rotations], recipe).run():
            pass
    return model


def rotations_of(lesson: Lesson) -> list[int]:
    """The letters with which a book of this lesson may begin."""
    return [0] if lesson == "in order" else list(range(NUM_LETTERS))


def answers_alone(model: LanguageModel) -> Tensor:
    """Probabilities_LA of the next letter after `_start_` and one letter."""
    return _probabilities_after(model, 0)


def answers_out_of_place(model: LanguageModel) -> Tensor:
    """Likeliest next letter_PL after `_start_`, P letters from `a` on, and then letter L."""
    return torch.stack(
        [_probabilities_after(model, place).argmax(dim=1) for place in range(NUM_LETTERS)]
    )


def shares(answers_PL: Tensor) -> tuple[float, float]:
    """Shares of answers (by place, by letter), where the two differ.

    By place: whatever stands one further in the alphabet than what was due; by letter: what
    follows the letter fed. Nothing is due after the last place, and in order nothing follows `z`.
    """
    place_PL = torch.arange(len(answers_PL))[:, None].expand_as(answers_PL)
    letter_PL = torch.arange(NUM_LETTERS).expand_as(answers_PL)
    asked_PL = (place_PL != letter_PL) & (place_PL < NUM_LETTERS - 1)
    asked_PL &= letter_PL < NUM_LETTERS - 1
    by_place = (answers_PL == place_PL + 1)[asked_PL].double().mean()
    by_letter = (answers_PL == letter_PL + 1)[asked_PL].double().mean()
    return float(by_place), float(by_letter)


def replies(model: LanguageModel, letters: str) -> str:
    """The likeliest next letter after each of the letters, read in one go after `_start_`."""
    state = model.initial_state(1)
    _, state = model.step(torch.tensor([START]), state, LETTERS_L[None])
    said = ""
    for letter in letters:
        fed_1 = torch.tensor([A + ord(letter) - ord("a")])
        log_probs_1A, state = model.step(fed_1, state, LETTERS_L[None])
        said += name(int(log_probs_1A.argmax()))
    return said


def name(letter: int) -> str:
    """The letter of an index."""
    return chr(ord("a") + letter)


def figures(seeds: Sequence[int]) -> dict[str, object]:
    """What docs/alphabet.md says, by lesson; shares are means over the seeds."""
    return {
        "seeds": list(seeds),
        "in order": _figures([trained("in order", seed) for seed in seeds]),
        "in order, no dropout": _figures([trained("in order", seed, Dropout()) for seed in seeds]),
        "rotations": _figures([trained("rotations", seed) for seed in seeds]),
    }


def draw_png(path: Path, seed: int) -> None:
    """Two heat maps side by side, one a lesson: letter fed alone against letter answered."""
    figure = Figure(figsize=(11, 5.6), dpi=110, facecolor="white", layout="constrained")
    panels = figure.subplots(1, 2)
    names = [name(letter) for letter in range(NUM_LETTERS)]
    lessons: tuple[tuple[Lesson, str], ...] = (
        ("in order", "trained on  a b c … z :  it counts"),
        ("rotations", "trained on rotations:  it reads"),
    )
    for axes, (lesson, title) in zip(panels, lessons, strict=True):
        probabilities_LA = answers_alone(trained(lesson, seed)).numpy()
        picture = axes.imshow(probabilities_LA, cmap="Blues", vmin=0.0, vmax=1.0)
        axes.set_title(title, fontsize=14, color="#333333", pad=10)
        axes.set_xticks(range(NUM_LETTERS), names)
        axes.set_yticks(range(NUM_LETTERS), names)
        axes.set_xlabel("what it says comes next", fontsize=12)
        axes.tick_params(length=0, labelsize=9)
    panels[0].set_ylabel("the one letter it was fed", fontsize=12)
    figure.colorbar(picture, ax=panels, label="probability", shrink=0.85)
    figure.savefig(path, metadata={"Software": None})


def _figures(models: Sequence[LanguageModel]) -> dict[str, object]:
    alone = [shares(answers_alone(model).argmax(dim=1)[None]) for model in models]
    anywhere = [shares(answers_out_of_place(model)) for model in models]
    return {
        "alone_by_place": round(mean(place for place, _ in alone), 3),
        "alone_by_letter": round(mean(letter for _, letter in alone), 3),
        "anywhere_by_place": round(mean(place for place, _ in anywhere), 3),
        "anywhere_by_letter": round(mean(letter for _, letter in anywhere), 3),
        "replies": {fed: replies(models[0], fed) for fed in ("k", "kkkkkkkk", "klmnopqr")},
    }


def _probabilities_after(model: LanguageModel, place: int) -> Tensor:
    """Probabilities_LA of the next letter after `_start_`, `place` letters, and letter L."""
    asked_LA = LETTERS_L.expand(NUM_LETTERS, NUM_LETTERS)
    state = model.initial_state(NUM_LETTERS)
    for token_id in book(0)[: place + 1].tolist():
        _, state = model.step(torch.full((NUM_LETTERS,), token_id), state, asked_LA)
    log_probs_LA, _ = model.step(LETTERS_L, state, asked_LA)
    return log_probs_LA.exp()


def main() -> None:
    """Train, ask, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 on")
    parser.add_argument("--picture", type=Path, help="where to write it; the first seed's models")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    result = figures(range(1, chosen.seeds + 1))
    if chosen.picture:
        draw_png(chosen.picture, seed=1)
    print(json.dumps(result) if chosen.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
