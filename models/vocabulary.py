"""The vocabulary: which tokens have an id of their own, and how frequent each is.

Shapes: V token types.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from models.special_tokens import END, SPECIAL_TOKENS, UNKNOWN

Unit = Literal["word", "character"]
UNITS: tuple[Unit, ...] = get_args(Unit)

UNKNOWN_SPELLINGS = frozenset(["<unk>", *SPECIAL_TOKENS])  # never words, even where a book has them


@dataclass(frozen=True)
class Vocabulary:
    """Token types by id: the four special ones, then words by falling frequency.

    `counts` are those of the training text; a token without an id counts for `_unknown_`. `unit` is
    what text is cut into before it is looked up; where that is characters, they stand for words in
    all that is said here. `written` has every token as books mostly write it inside a sentence, or
    is empty where that is not known.

    Raises:
        ValueError: there is no such unit, or there are not as many written forms as tokens.
    """

    tokens: tuple[str, ...]
    counts: tuple[int, ...]
    lower_case: bool
    unit: Unit = "word"
    written: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            raise ValueError(f"the unit {self.unit!r} is none of {', '.join(UNITS)}")
        if self.written and len(self.written) != len(self.tokens):
            raise ValueError(f"{len(self.written)} written forms for {len(self.tokens)} tokens")

    def __len__(self) -> int:
        return len(self.tokens)

    @staticmethod
    def from_columns(columns: Mapping[str, Sequence[Any]]) -> "Vocabulary":
        """The vocabulary in the columns of its table."""
        return Vocabulary(
            tuple(columns["token"]),
            tuple(columns["count"]),
            bool(columns["lower_case"][0]),
            columns["unit"][0],
            tuple(columns["written"]),
        )

    @cached_property
    def id_of(self) -> Mapping[str, int]:
        """Ids by token, as the vocabulary spells it."""
        return {token: index for index, token in enumerate(self.tokens)}

    @cached_property
    def written_of(self) -> Mapping[str, str]:
        """What books mostly write for a token, where that is another spelling."""
        pairs = zip(self.tokens, self.written, strict=False)
        return {token: written for token, written in pairs if token != written}

    def fold(self, token: str) -> str:
        """A token as the vocabulary spells it."""
        return token.lower() if self.lower_case else token

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of tokens; `_unknown_` for those without one."""
        ids = self.id_of
        return [
            UNKNOWN if (folded := self.fold(token)) in UNKNOWN_SPELLINGS
            else ids.get(folded, UNKNOWN)
            for token in tokens
        ]  # fmt: skip

    def log_frequency(self) -> npt.NDArray[np.float64]:
        """Log q_V: q = (count + 1) / (total + types) over training words.

        `_end_` and the ids below it are no words: theirs is 0.
        """
        counts = np.asarray(self.counts, dtype=np.float64)
        words = counts[END + 1 :]
        log_q = np.zeros(len(counts))
        log_q[END + 1 :] = np.log((words + 1.0) / (words.sum() + len(words)))
        return log_q

    def log_frequency_of_unseen(self) -> float:
        """Log q of a word that the training text does not hold."""
        words = self.counts[END + 1 :]
        return -math.log(sum(words) + len(words))

    def word_frequency(self) -> npt.NDArray[np.float64]:
        """Shares_V of the known words in the training text; 0 for the four special tokens."""
        counts = np.asarray(self.counts, dtype=np.float64)
        counts[: UNKNOWN + 1] = 0.0
        shares: npt.NDArray[np.float64] = counts / counts.sum()
        return shares
