"""Made-up books of token ids for trainings that take moments, and what is compared of these."""

from dataclasses import replace

import numpy as np

from models.language_model import LanguageModel
from models.special_tokens import END, START, UNKNOWN, TokenIds
from models.training import Record


def made_up_books(num_types: int, *lengths: int, seed: int = 6) -> list[TokenIds]:
    """Books of so many tokens, each opened by `_start_`; every fourth token is `_end_`."""
    rng = np.random.default_rng(seed)
    made = []
    for length in lengths:
        book = rng.integers(UNKNOWN + 1, num_types, length).astype(np.int32)
        book[0], book[4::4] = START, END
        made.append(book)
    return made


def bits(model: LanguageModel) -> dict[str, bytes]:
    """Those of all weights."""
    return {name: value.cpu().numpy().tobytes() for name, value in model.state_dict().items()}


def unclocked(records: list[Record]) -> list[Record]:
    """Records without what a clock took."""
    return [replace(r, elapsed_seconds=0.0, tokens_per_second=None) for r in records]
