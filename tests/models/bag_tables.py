"""Hand-written language models whose sentences are known, for the tests of searches."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from models.beginnings import State, Step
from models.sentence_space import BagSpec, SentenceSpace
from models.tail_bounds import Matters

START, END = 1, 2
VOCABULARY_SIZE = 12
ScoreOf = Callable[[Sequence[int]], float]
"""log p of the last token of a sequence given those before it."""


def random_log_probs(*leading: int) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(*leading, VOCABULARY_SIZE, generator=generator).mul(2).log_softmax(-1)


def bigram_step(log_probs_VV: Tensor) -> Step:
    def step(
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        return log_probs_VV[token_ids_N].gather(1, asked_NK), ()

    return step


def bigram_model() -> tuple[Step, State, ScoreOf]:
    log_probs_VV = random_log_probs(VOCABULARY_SIZE)
    return bigram_step(log_probs_VV), (), lambda ids: float(log_probs_VV[ids[-2], ids[-1]])


def remembering_model() -> tuple[Step, State, ScoreOf]:
    """p depends on what only the state knows: the sum of all tokens mod 5 and the parity of their
    number. The two parts of the state differ in their number of dimensions."""
    log_probs = random_log_probs(5, 2)

    def step(
        token_ids_N: Tensor,
        state: State,
        row_N: Tensor,
        asked_NK: Tensor,
        matters: Matters | None = None,
    ) -> tuple[Tensor, State]:
        sum_1R1, parity_R1 = state
        sum_1N1, parity_N1 = sum_1R1[:, row_N], parity_R1[row_N]
        sum_1N1 = (sum_1N1 + token_ids_N[None, :, None]) % 5
        parity_N1 = 1 - parity_N1
        log_probs_NV = log_probs[sum_1N1[0, :, 0], parity_N1[:, 0]]
        return log_probs_NV.gather(1, asked_NK), (sum_1N1, parity_N1)

    def score_of(ids: Sequence[int]) -> float:
        return float(log_probs[sum(ids[:-1]) % 5, (len(ids) - 1) % 2, ids[-1]])

    one_row = torch.zeros(1, 1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.int64)
    return step, one_row, score_of


LOG_FREQUENCY_V = random_log_probs()


def score(ids: Sequence[int], score_of: ScoreOf, frequency_discount: float) -> float:
    """Score of [_start_, words..., or _end_] straight from its definition."""
    words = [token_id for token_id in ids[1:] if token_id != END]
    log_probability = sum(score_of(ids[: last + 1]) for last in range(1, len(ids)))
    return log_probability - frequency_discount * float(LOG_FREQUENCY_V[words].double().sum())


def space_of(
    bags: Sequence[Sequence[int]],
    frequency_discount: float = 0.0,
    log_frequency_V: Tensor = LOG_FREQUENCY_V,
) -> SentenceSpace:
    gains = (-frequency_discount * log_frequency_V.double()).tolist()
    return SentenceSpace(BagSpec.of_words(bags), gains, END)
