"""Train: token_ids, vocabulary, input_vectors, punkt -> language model, training_log, embeddings.

in    the training sections as one run of token ids, the validation books beside it; a model to go
      on from
does  trains the stateful LSTM along contiguous lanes; a killed run goes on from its checkpoint
out   the language model's weights in a bundle, the log of the training, the learned embeddings
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from data.book_schemas import PUNKT, TOKEN_IDS, VOCABULARY
from data.errors import UserMistake
from data.model_schemas import (
    EMBEDDINGS,
    INPUT_VECTORS,
    TRAINED_WEIGHTS_FILE,
    TRAINING_CURVE_FILE,
    TRAINING_LOG,
    WARM_START_MODEL_FILE,
)
from models.bundle import Bundle
from models.language_model import LanguageModel
from models.vocabulary import Vocabulary
from models.warm_start import extended
from tasks.seams.drawing_curve import draw_training_curve_png
from tasks.seams.report import say
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tokeniser import punkt_models
from tasks.seams.training_loop import machine_facts, new_model, trained_rows
from tasks.seams.training_settings import TrainSettings


@step(
    reads=(TOKEN_IDS, VOCABULARY, INPUT_VECTORS, PUNKT),
    reads_files=(WARM_START_MODEL_FILE,),
    writes=(TRAINING_LOG, EMBEDDINGS),
    libraries=("torch", "numpy", "matplotlib"),
    seeded=True,
    outside=machine_facts,
)
def train(run: StepRun, settings: TrainSettings) -> None:
    """Train the language model, telling MLflow, Prefect and the terminal as it goes."""
    vocabulary = Vocabulary.from_columns(run.read(VOCABULARY).to_pydict())
    model = _first_model(run, settings, vocabulary)
    if run.has_file(WARM_START_MODEL_FILE):
        rate = settings.learning_rate * settings.warm_start_rate
        settings = settings.model_copy(update={"learning_rate": rate})
    rows = trained_rows(run, settings, model, vocabulary, "training")
    run.write(TRAINING_LOG, {name: [row[name] for row in rows] for name in rows[0]})
    vectors = model.embedding.weight.detach().numpy()
    run.write(EMBEDDINGS, {"token_id": range(len(vectors)), "vector": list(vectors)})
    language = {name: asdict(punkt) for name, punkt in punkt_models(run.read(PUNKT)).items()}
    run.write_picture(TRAINING_CURVE_FILE, _curve(rows))
    bundle = Bundle(model, vocabulary, "_end_", language, sections_open=settings.sections_open)
    run.write_file(TRAINED_WEIGHTS_FILE, bundle.to_bytes(), bundle.digest())


def _first_model(run: StepRun, settings: TrainSettings, vocabulary: Vocabulary) -> LanguageModel:
    if not run.has_file(WARM_START_MODEL_FILE):
        return new_model(run, settings, vocabulary)
    if len(run.read(INPUT_VECTORS, ["token_id"])):
        raise UserMistake(
            "A warm start has vectors of its own, but embed.inputs asks for others.",
            "Set embed.inputs to learned, or start afresh.",
        )
    before = Bundle.from_bytes(run.read_file(WARM_START_MODEL_FILE))
    old = before.model.architecture
    wanted = settings.architecture(old.num_types, settings.embedding_width)
    differing = {
        name: value for name, value in old.as_json().items() if getattr(wanted, name) != value
    }
    if differing:
        wishes = ", ".join(_as_setting(name, value) for name, value in differing.items())
        raise UserMistake(
            "The settings of train ask for another model than the one to go on from.",
            f"Take the deployment that made it (--deployment), or set {wishes}.",
        )
    torch.manual_seed(run.context.seed)
    model = extended(before.model, before.vocabulary.counts, vocabulary.counts)
    num_new = len(vocabulary) - old.num_types
    say(f"the vocabulary has grown by {num_new:,} to {len(vocabulary):,} types")
    return model.to(settings.resolved_device())


def _as_setting(name: str, value: Any) -> str:
    """The setting from which this part of an architecture follows."""
    if name == "inputs":
        name, value = "one_hot_inputs", value == "one_hot"
    elif name == "at_sentence":
        name, value = "text", "sentences" if value == "reset" else "stream"
    return f"train.{name} to {value}"


def _curve(rows: Sequence[Mapping[str, Any]]) -> bytes:
    trained = [row for row in rows if row["split"] == "train"]
    validated = [row for row in rows if row["split"] == "validation"]
    return draw_training_curve_png(
        [row["tokens_seen"] for row in trained],
        [row["loss_nats_per_token"] for row in trained],
        [(row["tokens_seen"], row["loss_nats_per_token"]) for row in validated],
    )
