"""A language model put to picking sentences from bags: one scoring path, every way of searching.

A sentence's score, in nats, is

    log p(tokens and _end_ | text before) - frequency_discount * sum over its words of log q(word)

with q the words' frequency in the training text: (count + 1) / (total + types), and p that of the
language model, mixed with those of a cache of the text before and of an n-gram model where the
bundle has them.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from models.bag_decoding import Picked, decode
from models.bag_reasons import Slot, scores_of, slots_of
from models.bag_sampling import Sampled, SentenceSampling, sample_sentences
from models.beginnings import PickedSentence, State, Step
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.continuous_cache import CachedStep
from models.diverse_sentences import diverse_sentences
from models.exact_search import exact_search
from models.ngram_step import MixedStep, NgramStep
from models.sentence_space import BagSpec, Phrase, SentenceSpace
from models.special_tokens import END
from models.unseen_words import UnseenWords


class Picker:
    """Picks sentences from bags, by one model and after one text.

    Args:
        bundle: the model.
        frequency_discount: 0 asks for the most probable sentence, 1 for the one that common words
            explain least; None for what the model was tuned to.
        before: token ids of the text that the sentences go on from, the last of them `_end_`.
        unseen: words outside the vocabulary that bags may hold.
        reader: the bundle's model made ready for searches, which takes a second for a large
            vocabulary; made anew by default.

    Raises:
        ValueError: a discount below 0 or not finite.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        frequency_discount: float | None = None,
        before: Sequence[int] = (),
        unseen: UnseenWords | None = None,
        reader: BranchingStep | None = None,
    ) -> None:
        discount = bundle.frequency_discount if frequency_discount is None else frequency_discount
        if not (math.isfinite(discount) and discount >= 0):
            raise ValueError(f"frequency_discount is {discount}; it must be 0 or more.")
        self.bundle, self.frequency_discount = bundle, discount
        self.opening_id, self.state, self.step = _after(
            bundle, before, reader or BranchingStep(bundle.model)
        )
        self._log_frequency: list[float] = bundle.vocabulary.log_frequency().tolist()
        gains_V = -discount * bundle.vocabulary.log_frequency()
        gains_V[: END + 1] = math.nan  # no words
        self._gains = gains_V.tolist()
        if unseen is not None:
            self.step = unseen.step(self.step, len(bundle.vocabulary))
            log_frequency = bundle.vocabulary.log_frequency_of_unseen()
            self._log_frequency += [log_frequency] * len(unseen.words)
            self._gains += [-discount * log_frequency] * len(unseen.words)

    def log_frequency(self, token_id: int) -> float:
        """Log q of a word, in nats."""
        return self._log_frequency[token_id]

    def spaces(self, bag_sets: Sequence[BagSpec]) -> list[SentenceSpace]:
        """What each set allows.

        Raises:
            ValueError: a set makes no space; it is counted from 0.
        """
        spaces = []
        for index, spec in enumerate(bag_sets):
            try:
                spaces.append(SentenceSpace(spec, self._gains, END))
            except ValueError as error:
                raise ValueError(f"bag set {index}: {error}") from error
        return spaces

    def beam(
        self, bag_sets: Sequence[BagSpec], *, beam_width: int, num_sentences: int = 1
    ) -> Iterator[Picked]:
        """The best sentences of each bag set, in order; see `models.bag_decoding.decode`."""
        return decode(
            self.spaces(bag_sets),
            self.step,
            self.state,
            self.opening_id,
            beam_width=beam_width,
            num_sentences=num_sentences,
        )

    def exact(self, bag_set: BagSpec, **limits: Any) -> Picked:
        """The best sentences of one bag set, with a proof; see `models.exact_search`."""
        [space] = self.spaces([bag_set])
        return exact_search(space, self.step, self.state, self.opening_id, **limits)

    def diverse(
        self, bag_set: BagSpec, *, num_sentences: int, least_difference: int, beam_width: int
    ) -> Picked:
        """Sentences that differ from each other; see `models.diverse_sentences`."""
        [space] = self.spaces([bag_set])
        return diverse_sentences(
            space,
            self.step,
            self.state,
            self.opening_id,
            num_sentences=num_sentences,
            least_difference=least_difference,
            beam_width=beam_width,
        )

    def sample(
        self,
        bag_set: BagSpec,
        *,
        num_sentences: int,
        rng: np.random.Generator,
        how: SentenceSampling,
    ) -> Sampled:
        """Sentences drawn as their scores have it; see `models.bag_sampling`."""
        [space] = self.spaces([bag_set])
        return sample_sentences(
            space,
            self.step,
            self.state,
            self.opening_id,
            num_sentences=num_sentences,
            rng=rng,
            how=how,
        )

    def score(self, bag_set: BagSpec, sentences: Sequence[Phrase]) -> list[PickedSentence]:
        """Sentences of a bag set with their scores.

        Raises:
            ValueError: the bags don't allow one of them.
        """
        [space] = self.spaces([bag_set])
        return scores_of(sentences, space, self.step, self.state, self.opening_id, END)

    def reasons(self, bag_set: BagSpec, sentence: PickedSentence, *, beam_width: int) -> list[Slot]:
        """What each choice of a sentence was held against; see `models.bag_reasons`."""

        def best_of(bag_sets: Sequence[BagSpec]) -> list[PickedSentence | None]:
            whole = [spec for spec in bag_sets if spec.bags and all(b.choices for b in spec.bags)]
            found = iter(self.beam(whole, beam_width=beam_width))
            return [next(found).sentences[0] if spec in whole else None for spec in bag_sets]

        [space] = self.spaces([bag_set])
        return slots_of(
            bag_set, space, sentence, lambda variants: self.score(bag_set, variants), best_of
        )


@torch.inference_mode()
def _after(bundle: Bundle, before: Sequence[int], reader: BranchingStep) -> tuple[int, State, Step]:
    """After the opening and a text: its last token, the state before that, and what reads on."""
    *to_read, last = [bundle.opening_id, *before]
    state: State = bundle.model.initial_state(1)
    step: Step = reader
    if to_read:
        to_read_1T = torch.tensor([to_read], device=bundle.model.device)
        hidden_1TH, state = bundle.model(to_read_1T, state)
        if bundle.cache:
            words_T = torch.tensor([*to_read[1:], last])
            step = CachedStep(reader, hidden_1TH[0].cpu(), words_T, bundle.cache)
    if bundle.ngram is None or bundle.lstm_weight == 1.0:
        return last, state, step
    ngram = NgramStep(bundle.ngram)
    both = MixedStep(step, len(state), ngram, bundle.lstm_weight)
    return last, (*state, *ngram.state_after(to_read)), both
