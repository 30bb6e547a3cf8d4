"""Two vocabularies, one space of events, so that two models' costs of a text can be compared.

A model reads every word that it does not know as `_unknown_`, which is one cheap target: the fewer
words it knows, the less its text costs. So both predict the same events here: each word that either
of them knows, and any other word. What a model gives to `_unknown_` it has to share out:

    p(word) = p(_unknown_) / (U + 1)         a word that only the other model knows
    p(any other word) = p(_unknown_) * (1 - n / (U + 1))

where U words are known to either and n of them only to the other. Over all events this sums to
p(_unknown_). With equal vocabularies n is 0 and nothing is added.
"""

import math
from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.special_tokens import UNKNOWN, TokenIds


@dataclass(frozen=True)
class UnknownShares:
    """What `_unknown_` costs a model beyond what it says, in nats."""

    known_to_other: float
    """For a word that only the other model knows."""
    known_to_neither: float

    @staticmethod
    def of(words: Set[str], words_of_other: Set[str]) -> "UnknownShares":
        """Of a model that knows `words`, beside one that knows `words_of_other`."""
        num_shares = len(words | words_of_other) + 1
        num_only_other = len(words_of_other - words)
        return UnknownShares(math.log(num_shares), -math.log1p(-num_only_other / num_shares))

    def nats(self, ids: TokenIds, ids_of_other: TokenIds) -> npt.NDArray[np.float64]:
        """What to add to the cost of each of a text's tokens, given by its id for either model."""
        of_unknown = np.where(ids_of_other == UNKNOWN, self.known_to_neither, self.known_to_other)
        added: npt.NDArray[np.float64] = np.where(ids == UNKNOWN, of_unknown, 0.0)
        return added
