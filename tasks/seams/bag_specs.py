"""Bag sets as people write them -> what a language model searches: words become token ids.

A word that the model does not know is a mistake, or is left out of its bag, or is scored as one of
the words that `_unknown_` stands for, or is spelled out by a model of characters. The latter two
get ids of their own, after those of the vocabulary (`models.unseen_words`).
"""

import math
import reprlib
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Literal, get_args

from data.bag_sets import BagSet, WordBag
from data.errors import UserMistake
from data.languages import UNKNOWN_LANGUAGE
from data.spelling import nearest_words
from data.stop_words import stop_words_of
from models.bundle import Bundle
from models.sentence_space import Bag, BagSpec, Phrase
from models.special_tokens import SPECIAL_TOKENS, UNKNOWN
from models.unseen_words import UnseenWords
from tasks.seams.tokeniser import tokens_of

UnknownWords = Literal["error", "drop", "share", "spell"]
UNKNOWN_WORDS: tuple[UnknownWords, ...] = get_args(UnknownWords)
FEWEST_STOP_WORDS = 20  # fewer of them in a vocabulary: no list is known of its language
NUM_FREQUENT = 50
MOST_HINTS = 20
"""As many unknown words are held against the whole vocabulary, which takes up to a second each."""


class BagEncoder:
    """Makes bag specifications of bag sets, for one model.

    Args:
        bundle: the model.
        model_name: what to call the model in errors.
        unknown: what becomes of a word that the model doesn't know.
        spell: with `unknown` spell, log-probabilities in nats of words, by a model of characters.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        model_name: str,
        unknown: UnknownWords = "error",
        spell: Callable[[Sequence[str]], list[float]] | None = None,
    ) -> None:
        self._vocabulary = bundle.vocabulary
        self._languages = bundle.language.keys()
        self._model_name, self._unknown = model_name, unknown
        self._spell = spell
        self._unseen: dict[str, int] = {}
        self._hints: dict[str, str] = {}

    def spec(self, bag_set: BagSet) -> BagSpec:
        """The set in token ids.

        Raises:
            UserMistake: for a word that the model doesn't know, where that is one, a special token,
                a bag of which nothing is left, or gaps in a model of characters; it names the line,
                the bag as written and, for the first unknown words, the nearest known ones.
        """
        place = bag_set.place
        if bag_set.num_gaps and self._vocabulary.unit == "character":
            raise UserMistake(
                f"{place}: gaps is {bag_set.num_gaps}, and model {self._model_name} knows "
                "characters, of which none is a function word.",
                "Take the gaps out, or use a model of words.",
            )
        return BagSpec(
            tuple(self._bag(bag, f"{place}, bag {bag.number}") for bag in bag_set.bags),
            any_order=bag_set.any_order,
            gap_words=self.function_words if bag_set.num_gaps else (),
            num_gaps=bag_set.num_gaps,
            early_end_nats=bag_set.early_end_nats,
        )

    def unseen_words(self) -> UnseenWords | None:
        """The words met so far that are outside the vocabulary and yet take part."""
        if not self._unseen:
            return None
        words = tuple(self._unseen)
        if self._unknown == "spell":
            assert self._spell is not None
            return UnseenWords(words, tuple(self._spell(words)))
        # Each unknown token of the training text was most likely a type of its own.
        num_types = max(1, self._vocabulary.counts[UNKNOWN])
        return UnseenWords(words, (-math.log(num_types),) * len(words))

    @cached_property
    def function_words(self) -> tuple[int, ...]:
        """Ids of the words that may fill gaps: known stop words; where there are hardly any, the
        most frequent words.
        """
        tokens = self._vocabulary.tokens
        known = (None if name == UNKNOWN_LANGUAGE else name for name in self._languages)
        stop_words = frozenset[str]().union(*map(stop_words_of, known))
        words = [index for index, token in enumerate(tokens) if token in stop_words]
        if len(words) < FEWEST_STOP_WORDS:
            words = [index for index, token in enumerate(tokens) if token.isalpha()][:NUM_FREQUENT]
        return tuple(words)

    def _bag(self, bag: WordBag, place: str) -> Bag:
        choices = tuple(self._known_choices(bag.choices, place))
        if not choices:
            raise UserMistake(
                f"{place}: the model {self._model_name} knows none of its words.",
                "Put a word in it that the model knows.",
            )
        return Bag(choices, bag.optional)

    def _known_choices(self, choices: Sequence[str], place: str) -> Iterator[Phrase]:
        for choice in choices:
            ids = [self._id_of(token, place) for token in self._tokens(choice, place)]
            known = [token_id for token_id in ids if token_id is not None]
            if len(known) == len(ids):
                yield tuple(known)

    def _tokens(self, choice: str, place: str) -> list[str]:
        """The tokens of a word or phrase; a word of the vocabulary is never cut."""
        vocabulary = self._vocabulary
        whole = vocabulary.fold(choice)
        if whole in SPECIAL_TOKENS:
            raise UserMistake(
                f"{place}: {choice!r} is a mark that models use, not a word.",
                "Take it out of the bag.",
            )
        if whole in vocabulary.id_of:
            return [whole]
        tokens = [vocabulary.fold(token) for token in tokens_of(choice, vocabulary.unit)]
        if not tokens:
            raise UserMistake(f"{place}: {choice!r} is not a word.", "Take it out of the bag.")
        return tokens

    def _id_of(self, token: str, place: str) -> int | None:
        """A token's id; None where it is left out."""
        vocabulary = self._vocabulary
        token_id = vocabulary.id_of.get(token)
        if token_id is not None and token not in SPECIAL_TOKENS:
            return token_id
        if self._unknown == "drop":
            return None
        if self._unknown != "error" and vocabulary.unit == "word":
            return self._unseen.setdefault(token, len(vocabulary) + len(self._unseen))
        # A character can neither share what unknown words have nor be spelled.
        ways = "drop, share or spell" if vocabulary.unit == "word" else "drop"
        raise UserMistake(
            f"{place}: {reprlib.repr(token)} is not in the vocabulary of model "
            f"{self._model_name}{self._hint(token)}.",
            f"Put a {vocabulary.unit} that the model knows in its place, take it out, or pass "
            f"--unknown {ways}.",
        )

    def _hint(self, token: str) -> str:
        """The nearest words that the model knows, as the end of a message."""
        if token not in self._hints:
            if len(self._hints) == MOST_HINTS:
                return ""
            nearest = nearest_words(token, self._vocabulary.id_of.keys() - set(SPECIAL_TOKENS))
            told = f"; nearest: {', '.join(map(repr, nearest))}" if nearest else ""
            self._hints[token] = told
        return self._hints[token]
