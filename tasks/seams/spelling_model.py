"""Words spelled by a model of characters: how probable their spelling is."""

from collections.abc import Callable, Sequence

import torch

from data.errors import UserMistake
from models.beginnings import State
from models.branching_step import BranchingStep
from models.bundle import Bundle

BLANK = " "


def speller(bundle: Bundle, name: str) -> Callable[[Sequence[str]], list[float]]:
    """Log-probabilities in nats of words' spellings, each closed by a blank, as a sentence opens.

    They sum to 1 at most over all strings without a blank.

    Raises:
        UserMistake: the model is one of words, or knows no blank; `name` is what to call it.
    """
    if bundle.vocabulary.unit != "character" or BLANK not in bundle.vocabulary.id_of:
        raise UserMistake(
            f"Model {name} knows {bundle.vocabulary.unit}s and can spell no word.",
            "Name a model that was trained with --unit character as the spelling model.",
        )

    def spell(words: Sequence[str]) -> list[float]:
        return [_spelled(bundle, word) for word in words]

    return spell


def _spelled(bundle: Bundle, word: str) -> float:
    step = BranchingStep(bundle.model)
    state: State = bundle.model.initial_state(1)
    row_1, last, nats = torch.zeros(1, dtype=torch.int64), bundle.opening_id, 0.0
    for token_id in bundle.vocabulary.encode([*word, BLANK]):
        log_probs_11, state = step(torch.tensor([last]), state, row_1, torch.tensor([[token_id]]))
        nats += float(log_probs_11)
        last = token_id
    return nats
