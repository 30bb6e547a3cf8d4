"""Bag sets, as people write them, answered by a language model."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import groupby
from typing import Any, Literal

import numpy as np
from pydantic import Field

from data.bag_sets import MOST_BAGS, MOST_NATS, BagSet, RefusedSet
from data.errors import UserMistake
from data.settings import Settings
from models.bag_decoding import Picked
from models.bag_sampling import SentenceSampling
from models.beginnings import PickedSentence
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.picking import Picker
from models.sentence_space import BagSpec
from models.unseen_words import UnseenWords
from tasks.seams.bag_files import EXAMPLE_BAGS
from tasks.seams.bag_specs import BagEncoder, UnknownWords
from tasks.seams.report import progress
from tasks.seams.spelling_model import speller
from tasks.seams.tokeniser import as_sentence
from tasks.seams.user_text import read_text

Strategy = Literal["greedy", "beam", "diverse", "sample", "exact"]


class PickSettings(Settings):
    """Which bags, and how to choose from them."""

    bags: str = EXAMPLE_BAGS
    """A file of bag sets, text or Parquet, or `examples` for those that come with bookloom."""
    strategy: Strategy = "beam"
    """`greedy` takes the best word at each step; `beam` keeps the best beginnings; `diverse` wants
    sentences that differ; `sample` draws them as probable as they are; `exact` goes on from the
    beam until it is proven that there is none better, or a limit is reached."""
    beam_width: int = Field(64, ge=1)
    """Beginnings kept by `beam`, `diverse` and at the start of `exact`."""
    frequency_discount: float | None = Field(None, ge=0.0)
    """0 picks the most probable sentence, 1 the one that is least explained by common words. None
    takes what was tuned on validation sentences and is kept with the model."""
    num_sentences: int = Field(3, ge=1)
    """Sentences shown for each bag set; `greedy` has one."""
    least_difference: int = Field(2, ge=1)
    """Words of each sentence that each other has not, for `diverse`."""
    max_expansions: int = Field(200_000, ge=1)
    """Beginnings of sentences that `exact` reads for a bag set, at most."""
    seconds: float | None = Field(None, gt=0)
    """Time that `exact` takes for a bag set, at most. What it has found by then depends on the
    machine: leave it out where digests should be equal."""
    temperature: float = Field(1.0, gt=0.0)
    """For `sample`: below 1 keeps to the best sentences, above 1 dares more."""
    top_k: int | None = Field(None, ge=1)
    """For `sample`: at every token, choose among so many of the best."""
    nucleus: float | None = Field(None, gt=0.0, le=1.0)
    """For `sample`: at every token, choose among the fewest that hold so much of the
    probability."""
    num_particles: int = Field(1024, ge=1)
    """For `sample`, where the sentences are too many to find all: beginnings side by side."""
    seed: int = Field(1, ge=0)
    """For `sample`: the same seed draws the same sentences."""
    unknown: UnknownWords = "error"
    """A word that the model does not know is an error; or is left out of its bag (drop), scored as
    one of the words that `_unknown_` stands for (share), or spelled by a model of characters."""
    spelling_model: str | None = None
    """For `spell`: the model of characters, such as models:/bookloom/3."""
    any_order: bool = False
    """The bags may follow each other in any order, in every set."""
    gaps: int = Field(0, ge=0, lt=MOST_BAGS)
    """Function words that the model may add between the choices, at most, in every set."""
    early_end: float | None = Field(None, ge=0.0, le=MOST_NATS)
    """A sentence may end before its last bags, at so many nats for each, in every set."""
    before: str = ""
    """The text that sentences go on from, where a set has none of its own."""


@dataclass(frozen=True)
class Answer:
    """What was picked for a bag set, and by what; how often each sentence was drawn, where it was.

    `words` are the tokens by id, those outside the vocabulary included.
    """

    bag_set: BagSet
    spec: BagSpec
    picker: Picker
    words: Sequence[str]
    picked: Picked
    num_drawn: Sequence[int] = ()
    effective_sample_size: float | None = None

    def as_text(self, sentence: PickedSentence) -> str:
        """A sentence as a person would write it."""
        tokens = [self.words[token_id] for token_id in sentence.token_ids]
        vocabulary = self.picker.bundle.vocabulary
        return as_sentence(tokens, vocabulary.unit, vocabulary.written_of)


@dataclass(frozen=True)
class _Encoded:
    """A bag set as the model reads it, and the token ids of the text before it."""

    bag_set: BagSet
    spec: BagSpec
    before: tuple[int, ...]


def refusal_row(refused: RefusedSet) -> dict[str, Any]:
    """The row of `bag_refusals` for a set."""
    return {
        "bag_set_id": refused.bag_set_id,
        "reason": refused.mistake.message,
        "remedy": refused.mistake.remedy,
    }


def sentence_rows(answer: Answer, strategy: Strategy) -> list[dict[str, Any]]:
    """The rows of `bag_sentences` for a set."""
    picked = answer.picked
    return [
        {
            "bag_set_id": answer.bag_set.bag_set_id,
            "rank": rank,
            "tokens": [answer.words[token_id] for token_id in sentence.token_ids],
            "sentence": answer.as_text(sentence),
            "log_probability_nats": sentence.log_probability_nats,
            "score": sentence.score,
            "strategy": strategy,
            "frequency_discount": answer.picker.frequency_discount,
            "proven_best": rank == 1 and picked.is_proven,
            "score_bound": picked.score_bound if picked.score_bound < math.inf else None,
            "num_drawn": answer.num_drawn[rank - 1] if answer.num_drawn else None,
            "effective_sample_size": answer.effective_sample_size,
        }
        for rank, sentence in enumerate(picked.sentences, 1)
    ]


def answers(
    bundle: Bundle,
    bag_sets: Sequence[BagSet | RefusedSet],
    settings: PickSettings,
    model_name: str,
    spelling: Bundle | None = None,
    reader: BranchingStep | None = None,
) -> Iterator[Answer | RefusedSet]:
    """What is picked for each bag set, in order, or why there is nothing.

    `reader` is the bundle's model made ready for searches, for those who ask it often.
    """
    encoder = BagEncoder(
        bundle,
        model_name=model_name,
        unknown=settings.unknown,
        spell=speller(spelling, settings.spelling_model or model_name) if spelling else None,
    )
    read = cache(lambda text: tuple(read_text(bundle, text, "before")) if text.strip() else ())
    encoded: list[RefusedSet | _Encoded] = []
    for one in bag_sets:
        if isinstance(one, BagSet):
            try:
                encoded.append(_encoded(one, encoder, settings, read))
            except UserMistake as mistake:
                encoded.append(RefusedSet(one.bag_set_id, mistake))
        else:
            encoded.append(one)
    unseen = encoder.unseen_words()
    with progress("pick sentences", len(encoded), "sets") as advance:
        for answer in _answered(bundle, encoded, settings, unseen, reader):
            advance(1)
            yield answer


def _encoded(
    bag_set: BagSet,
    encoder: BagEncoder,
    settings: PickSettings,
    read: Callable[[str], tuple[int, ...]],
) -> _Encoded:
    """The set with what settings say of every set, for people and for the model."""
    bag_set = replace(
        bag_set,
        any_order=bag_set.any_order or settings.any_order,
        num_gaps=bag_set.num_gaps or settings.gaps,
        early_end_nats=(
            settings.early_end if bag_set.early_end_nats is None else bag_set.early_end_nats
        ),
        before=bag_set.before or settings.before,
    )
    return _Encoded(bag_set, encoder.spec(bag_set), read(bag_set.before))


def _answered(
    bundle: Bundle,
    encoded: Sequence[RefusedSet | _Encoded],
    settings: PickSettings,
    unseen: UnseenWords | None,
    reader: BranchingStep | None,
) -> Iterator[Answer | RefusedSet]:
    """Sets that follow each other and go on from one text are searched together."""
    words = (*bundle.vocabulary.tokens, *(unseen.words if unseen else ()))
    reader = reader or BranchingStep(bundle.model)
    for before, group in groupby(encoded, key=_text_before):
        sets = list(group)
        if before is None:
            yield from (one for one in sets if isinstance(one, RefusedSet))
            continue
        together = [one for one in sets if isinstance(one, _Encoded)]
        picker = Picker(
            bundle,
            frequency_discount=settings.frequency_discount,
            before=before,
            unseen=unseen,
            reader=reader,
        )
        found = _searched(picker, [one.spec for one in together], settings)
        for one, drawn in zip(together, found, strict=True):
            yield Answer(one.bag_set, one.spec, picker, words, *drawn)


def _text_before(one: RefusedSet | _Encoded) -> tuple[int, ...] | None:
    return one.before if isinstance(one, _Encoded) else None


def _searched(
    picker: Picker, specs: Sequence[BagSpec], settings: PickSettings
) -> Iterator[tuple[Picked, list[int], float | None]]:
    """What each set gives; where it is drawn, how often each, and the effective sample size."""
    if settings.strategy in ("greedy", "beam"):
        width = 1 if settings.strategy == "greedy" else settings.beam_width
        number = min(settings.num_sentences, width)
        for picked in picker.beam(specs, beam_width=width, num_sentences=number):
            yield picked, [], None
        return
    # Each set has draws of its own, whatever sets stand beside it.
    find: Callable[[BagSpec], tuple[Picked, list[int], float | None]] = {
        "diverse": lambda spec: (_diverse(picker, spec, settings), [], None),
        "exact": lambda spec: (_exact(picker, spec, settings), [], None),
        "sample": lambda spec: _drawn(picker, spec, settings),
    }[settings.strategy]
    yield from map(find, specs)


def _diverse(picker: Picker, spec: BagSpec, settings: PickSettings) -> Picked:
    return picker.diverse(
        spec,
        num_sentences=settings.num_sentences,
        least_difference=settings.least_difference,
        beam_width=settings.beam_width,
    )


def _exact(picker: Picker, spec: BagSpec, settings: PickSettings) -> Picked:
    return picker.exact(
        spec,
        num_sentences=settings.num_sentences,
        beam_width=settings.beam_width,
        max_expansions=settings.max_expansions,
        seconds=settings.seconds,
    )


def _drawn(
    picker: Picker, spec: BagSpec, settings: PickSettings
) -> tuple[Picked, list[int], float | None]:
    """The sentences drawn, each once, the one drawn most often first; how often; of what worth."""
    sampled = picker.sample(
        spec,
        num_sentences=settings.num_sentences,
        rng=np.random.default_rng(settings.seed),
        how=SentenceSampling(
            temperature=settings.temperature,
            top_k=settings.top_k,
            nucleus=settings.nucleus,
            num_particles=settings.num_particles,
        ),
    )
    times = sampled.counts()
    by_words = {sentence.token_ids: sentence for sentence in sampled.sentences}
    ranked = sorted(by_words.values(), key=lambda one: (-times[one.token_ids], -one.score))
    num_drawn = [times[sentence.token_ids] for sentence in ranked]
    return Picked(ranked, False, math.inf), num_drawn, sampled.effective_sample_size
