"""A cache in searches: what evaluation says of it, a distribution, and what it changes."""

import numpy as np
import pytest
import torch

from models.adaptive_evaluation import cache_log_probabilities
from models.bundle import Bundle
from models.continuous_cache import CacheSettings
from models.kneser_ney import KneserNey
from models.language_model import Architecture, LanguageModel
from models.picking import Picker
from models.sentence_space import BagSpec
from models.special_tokens import END
from models.vocabulary import Vocabulary

NUM_TYPES = 12
TEXT = [4, 5, 6, END, 4, 5, 7, END, 8, 5, 6, END]
SETTINGS = CacheSettings(model_weight=0.6, flatness=3.0, num_places=6)


def bundle(cache: CacheSettings | None, ngram: KneserNey | None = None) -> Bundle:
    torch.manual_seed(3)
    model = LanguageModel(Architecture(NUM_TYPES, 5, 7, 2, (6, 9))).eval()
    tokens = ("_nothing_", "_start_", "_end_", "_unknown_", *"abcdefgh")
    vocabulary = Vocabulary(tokens, tuple(range(NUM_TYPES, 0, -1)), True)
    return Bundle(model, vocabulary, "_end_", {}, 0.0, ngram, 0.7 if ngram else 1.0, cache)


def next_probabilities(picker: Picker) -> torch.Tensor:
    log_probs_1V, _ = picker.step(
        torch.tensor([picker.opening_id]),
        picker.state,
        torch.tensor([0]),
        torch.arange(NUM_TYPES)[None],
    )
    return log_probs_1V[0].exp()


@pytest.mark.parametrize("target", [4, 8, 11])
def test_a_search_sees_the_cache_that_evaluation_saw(target: int) -> None:
    lane = np.array([END, *TEXT, target], dtype=np.int32)
    kept = bundle(SETTINGS)
    nats_T, log_probs_FT = cache_log_probabilities(
        kept.model, lane, [SETTINGS.flatness], SETTINGS.num_places
    )
    expected = 0.6 * np.exp(-nats_T[-1]) + 0.4 * np.exp(log_probs_FT[0, -1])
    assert float(next_probabilities(Picker(kept, before=TEXT))[target]) == pytest.approx(expected)


@pytest.mark.parametrize("with_ngram", [False, True])
def test_probabilities_sum_to_one_and_sentences_are_scored_by_them(with_ngram: bool) -> None:
    run = np.array([*TEXT, 9, 10, 11, END], dtype=np.int32)
    ngram = KneserNey.fit([run], NUM_TYPES, 3) if with_ngram else None
    picker = Picker(bundle(SETTINGS, ngram), before=TEXT)
    assert float(next_probabilities(picker).sum()) == pytest.approx(1.0, abs=1e-5)
    spec = BagSpec.of_words([[4, 8], [5], [6, 7]])
    [found] = picker.beam([spec], beam_width=8, num_sentences=4)
    again = picker.score(spec, [one.token_ids for one in found.sentences])
    assert [one.score for one in again] == pytest.approx([one.score for one in found.sentences])


def test_without_a_text_before_nothing_is_remembered() -> None:
    with_cache, without = Picker(bundle(SETTINGS)), Picker(bundle(None))
    torch.testing.assert_close(next_probabilities(with_cache), next_probabilities(without))


def test_what_the_text_has_not_keeps_its_share_of_the_model_alone() -> None:
    after = next_probabilities(Picker(bundle(SETTINGS), before=TEXT))
    plain = next_probabilities(Picker(bundle(None), before=TEXT))
    torch.testing.assert_close(after[9:], 0.6 * plain[9:])


def test_a_bundle_keeps_its_cache() -> None:
    assert Bundle.from_bytes(bundle(SETTINGS).to_bytes()).cache == SETTINGS
    assert Bundle.from_bytes(bundle(None).to_bytes()).cache is None


@pytest.mark.parametrize("wrong", [(0.0, 1.0, 5), (1.0, 1.0, 5), (0.5, 0.0, 5), (0.5, 1.0, 0)])
def test_settings_out_of_range_are_refused(wrong: tuple[float, float, int]) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        CacheSettings(*wrong)
