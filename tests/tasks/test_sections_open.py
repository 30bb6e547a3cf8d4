"""Sections that open afresh in training do so wherever the model reads books afterwards."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from data.store import Store
from models.bundle import Bundle
from models.evaluation import target_nats
from models.language_model import Architecture, LanguageModel
from models.special_tokens import END, SPECIAL_TOKENS, START
from models.vocabulary import Vocabulary
from tasks.count import CountSettings, count
from tasks.embed import EmbedSettings, embed
from tasks.encode import EncodeSettings, encode
from tasks.evaluate import EvaluateSettings, evaluate
from tasks.promote import _read_by_both, _Text
from tasks.read import ReadSettings, read
from tasks.seams.training_settings import TrainSettings
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.train import train
from tasks.tune import TuneSettings, tune
from tests.tasks.test_reading_steps import context


@pytest.mark.parametrize("at_section", ["carry", "reset"])
def test_validation_books_cost_what_they_cost_in_training(
    at_section: Literal["carry", "reset"], miniature_shelf: Path, tmp_path: Path
) -> None:
    run = context(tmp_path)
    books = read.fn(run, ReadSettings(books=[str(miniature_shelf)]))
    sentences = tokenise.fn(run, TokeniseSettings(), books)
    vocabulary = count.fn(run, CountSettings(), books, sentences)
    token_ids = encode.fn(run, EncodeSettings(), books, sentences, vocabulary)
    vectors = embed.fn(run, EmbedSettings(), vocabulary, token_ids)
    settings = TrainSettings(
        embedding_width=6,
        hidden_width=8,
        num_lanes=4,
        window_length=16,
        num_epochs=2,
        learning_rate=0.03,
        number_type="fp32",
        device="cpu",
        initial_state="learned",
        at_section=at_section,
    )
    trained = train.fn(run, settings, sentences, vocabulary, token_ids, vectors)
    tuning = TuneSettings(
        num_sentences=2,
        beam_width=2,
        frequency_discounts=(),
        lstm_weights=(),
        cache_flatness=(0.3,),
    )
    model = tune.fn(run, tuning, token_ids, trained)
    evaluated = evaluate.fn(run, EvaluateSettings(contexts=()), token_ids, model)

    def rows(outcome: Any, table: str) -> list[dict[str, Any]]:
        return Store(str(tmp_path)).read_table(outcome.tables[table].name).to_pylist()

    validated = [row for row in rows(trained, "training_log") if row["split"] == "validation"]
    expected = pytest.approx(min(row["loss_nats_per_token"] for row in validated), rel=1e-6)
    [without] = [row for row in rows(model, "caches") if row["flatness"] is None]
    assert without["loss_nats_per_token"] == expected
    own = [row for row in rows(evaluated, "perplexities") if row["split"] == "validation"]
    assert sum(row["nats"] for row in own) / sum(row["num_tokens"] for row in own) == expected


def test_each_model_is_compared_as_it_reads() -> None:
    tokens = (*SPECIAL_TOKENS, "a", "b", "c")
    vocabulary = Vocabulary(tokens, (0, 2, 9, 4, 8, 7, 5), lower_case=True)
    torch.manual_seed(1)
    model = LanguageModel(Architecture(len(tokens), 3, 5)).eval()
    carrying = Bundle(model, vocabulary, "_end_", {})
    opening = Bundle(model, vocabulary, "_end_", {}, sections_open=True)
    sections = [np.array(ids, np.int32) for ids in ([4, 5, END], [6, 4, 6, END])]
    texts = [_Text("book", index, "", 9, (ids, ids)) for index, ids in enumerate(sections)]
    first, second = _read_by_both({"book": texts}, opening, carrying)
    alone = [target_nats(model, [np.array([START, *ids])])[0].sum() for ids in sections]
    [whole] = target_nats(model, [np.array([START, *sections[0], *sections[1]])])
    assert [first.nats, second.nats] == pytest.approx(alone)
    assert [first.champion_nats, second.champion_nats] == pytest.approx(
        [whole[:3].sum(), whole[3:].sum()]
    )
    assert abs(second.nats - second.champion_nats) > 1e-4
