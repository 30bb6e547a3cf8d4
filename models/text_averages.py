"""Texts as means of what a language model makes of their tokens: its word vectors, or its states.

    lane 0   _start_ a b c _end_ d e f _end_ ...
    owner       -1   0 0 0   0   1 1 1   1          the text that a token belongs to, or -1

Shapes: R books (lanes), T tokens of one, N texts, V token types, E width of an embedding, H width
of the hidden state.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from models.batching import windows
from models.language_model import LanguageModel
from models.special_tokens import SPECIAL_TOKENS, TokenIds

Owners = npt.NDArray[np.int64]
Vectors = npt.NDArray[np.float32]

WINDOW = 256  # columns that are read at once
_COMMON_SHARE = 1e-3


def mean_embeddings(
    model: LanguageModel,
    shares_V: npt.NDArray[np.float64],
    token_ids: Sequence[TokenIds],
    owners: Sequence[Owners],
    num_texts: int,
) -> Vectors:
    """Means_NE of the vectors of each text's known words, common ones counting less.

    A word of share p counts a / (a + p), a = 0.001: Arora, Liang and Ma, "A simple but
    tough-to-beat baseline for sentence embeddings" (2017). A text without known words is 0.

    Args:
        model: whose vectors.
        shares_V: of the words in the training text.
        token_ids: of each book.
        owners: the text that each token belongs to, or -1; as long as the book's tokens.
        num_texts: N.
    """
    vectors_VE = model.embedding.weight.detach().cpu().numpy().astype(np.float64)
    weight_V = _COMMON_SHARE / (_COMMON_SHARE + shares_V)
    weight_V[: len(SPECIAL_TOKENS)] = 0.0
    sums_NE = np.zeros((num_texts, vectors_VE.shape[1]))
    totals_N = np.zeros(num_texts)
    for ids_T, owners_T in zip(token_ids, owners, strict=True):
        inside_T = owners_T >= 0
        own_T, weight_T = owners_T[inside_T], weight_V[ids_T[inside_T]]
        np.add.at(sums_NE, own_T, weight_T[:, None] * vectors_VE[ids_T[inside_T]])
        np.add.at(totals_N, own_T, weight_T)
    means_NE: Vectors = (sums_NE / np.maximum(totals_N, 1e-12)[:, None]).astype(np.float32)
    return means_NE


@torch.inference_mode()
def mean_states(
    model: LanguageModel,
    token_ids: Sequence[TokenIds],
    owners: Sequence[Owners],
    num_texts: int,
) -> Vectors:
    """Means_NH of the state after each of a text's tokens, books read from fresh states in order.

    Arguments as those of `mean_embeddings`. A book's last token leads nowhere and is not read.
    """
    sums_NH = torch.zeros(num_texts, model.architecture.hidden_width, dtype=torch.float64)
    counts_N = torch.zeros(num_texts, dtype=torch.float64)
    state = model.initial_state(len(token_ids))
    for number, window in enumerate(windows(token_ids, WINDOW)):
        owners_BT = _columns(owners, number * WINDOW, window.inputs_BT.shape[1])
        hidden_BTH, state = model.read_window(window, state)
        inside_BT = owners_BT >= 0
        own_M = owners_BT[inside_BT]
        sums_NH.index_add_(0, own_M, hidden_BTH.cpu()[inside_BT].double())
        counts_N.index_add_(0, own_M, torch.ones(len(own_M), dtype=torch.float64))
    means_NH: Vectors = (sums_NH / counts_N.clamp(min=1)[:, None]).float().numpy()
    return means_NH


def _columns(owners: Sequence[Owners], first: int, num_columns: int) -> Tensor:
    """The owners of a window's inputs, -1 where a book has ended."""
    owners_BT = torch.full((len(owners), num_columns), -1, dtype=torch.int64)
    for row, owners_T in enumerate(owners):
        own = owners_T[: len(owners_T) - 1][first : first + num_columns]
        owners_BT[row, : len(own)] = torch.from_numpy(own)
    return owners_BT
