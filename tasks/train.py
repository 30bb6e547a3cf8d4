"""Train: token_ids, vocabulary, punkt -> language model, training_log, embeddings.

in    the training sections as one run of token ids, the validation books beside it
does  trains the stateful LSTM along contiguous lanes
out   the language model's weights in a bundle, the log of the training, the learned embeddings
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from data.errors import UserMistake
from data.schemas import (
    EMBEDDINGS,
    PUNKT,
    TOKEN_IDS,
    TRAINED_WEIGHTS_FILE,
    TRAINING_CURVE_FILE,
    TRAINING_LOG,
    VOCABULARY,
)
from models.batching import START, book_runs
from models.bundle import Bundle
from models.language_model import Architecture, LanguageModel, usable_cutoffs
from models.training import (
    NumberType,
    Recipe,
    Record,
    TrainingDiverged,
    has_bf16,
    train_language_model,
)
from models.vocabulary import Vocabulary
from tasks.seams.drawing_curve import draw_training_curve_png
from tasks.seams.report import progress, say
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tokeniser import PunktModel
from tasks.seams.tracking import training_metrics


class TrainSettings(Settings):
    """The language model and how it is trained."""

    embedding_width: int = 128
    """Numbers in a word's vector."""
    hidden_width: int = 256
    """Units of each LSTM layer."""
    num_layers: int = 1
    """LSTM layers."""
    cutoffs: tuple[int, ...] = (500, 3000)
    """Adaptive softmax: the first token id of each tail."""
    dropout_probability: float = 0.0
    """Dropout on the embeddings and on the LSTM's output."""
    num_lanes: int = 32
    """Contiguous lanes that the corpus is cut into; fewer where it is too short."""
    window_length: int = 64
    """Tokens after which the gradient, but not the state, is cut."""
    num_epochs: int = 3
    """Passes over the training text."""
    learning_rate: float = 3e-3
    """Of AdamW, at its highest; it follows a cosine to zero."""
    warmup_steps: int = 50
    """Steps over which the rate climbs, at most a tenth of all."""
    weight_decay: float = 0.01
    """Of matrices, decoupled."""
    gradient_clip_norm: float = 1.0
    """Longer gradients are shortened to this."""
    number_type: Literal["auto", "fp32", "bf16"] = "auto"
    """Of products while training: bf16 where the processor has it. Evaluation and use are fp32."""
    log_every_steps: int = 50
    """Steps between two rows of the training log."""

    def architecture(self, num_types: int) -> Architecture:
        """The model for a vocabulary of this size."""
        return Architecture(
            num_types=num_types,
            embedding_width=self.embedding_width,
            hidden_width=self.hidden_width,
            num_layers=self.num_layers,
            cutoffs=usable_cutoffs(self.cutoffs, num_types),
            dropout_probability=self.dropout_probability,
        )

    def recipe(self, num_tokens: int) -> Recipe:
        """The recipe for a training text of so many tokens."""
        num_pairs = num_tokens - 1
        # A lane shorter than a window has no batch to carry its state to.
        num_lanes = min(self.num_lanes, max(1, num_pairs // self.window_length))
        # Lanes are equally long but for the last: it must not be left without a column.
        while num_lanes > 1 and -(-num_pairs // num_lanes) * (num_lanes - 1) >= num_pairs:
            num_lanes -= 1
        names = Recipe.__dataclass_fields__.keys() - {"num_lanes", "number_type"}
        return Recipe(
            num_lanes=num_lanes,
            number_type=self.resolved_number_type(),
            **{name: getattr(self, name) for name in names},
        )

    def resolved_number_type(self) -> NumberType:
        """The number type that this processor will compute with.

        Raises:
            UserMistake: bf16 is asked for on a processor without it.
        """
        if self.number_type == "auto":
            return "bf16" if has_bf16() else "fp32"
        if self.number_type == "bf16" and not has_bf16():
            raise UserMistake(
                "number_type is bf16, but this processor has no bf16 instructions.",
                "Set number_type to fp32, or to auto, which takes what there is.",
            )
        return self.number_type


def machine_facts(settings: TrainSettings) -> Mapping[str, str]:
    """What the weights depend on beside tables and settings: it counts in the step's key."""
    return {"number type": settings.resolved_number_type()}


@step(
    reads=(TOKEN_IDS, VOCABULARY, PUNKT),
    writes=(TRAINING_LOG, EMBEDDINGS),
    libraries=("torch", "numpy", "matplotlib"),
    seeded=True,
    outside=machine_facts,
)
def train(run: StepRun, settings: TrainSettings) -> None:
    """Train the language model, telling MLflow, Prefect and the terminal as it goes."""
    vocabulary = Vocabulary.from_columns(run.read(VOCABULARY).to_pydict())
    runs = book_runs(run.token_runs())
    if "train" not in runs or "validation" not in runs:
        raise UserMistake("No text is left to train or to validate on.", "Add text or books.")
    stream = np.concatenate(list(runs["train"].values()))
    recipe = settings.recipe(len(stream))
    torch.manual_seed(run.context.seed)
    model = LanguageModel(settings.architecture(len(vocabulary)))
    records = train_language_model(model, stream, list(runs["validation"].values()), recipe)
    num_targets = int(np.count_nonzero(stream[1:] != START)) * recipe.num_epochs
    try:
        rows = [row_of(record) for record in _watched(run, records, num_targets)]
    except TrainingDiverged as error:
        raise UserMistake(f"Training failed: {error}.", "Lower learning_rate.") from error
    except ValueError as error:
        raise UserMistake(f"The text cannot be trained on: {error}.", "Add text.") from error
    run.write(TRAINING_LOG, {name: [row[name] for row in rows] for name in rows[0]})
    vectors = model.embedding.weight.detach().numpy()
    run.write(EMBEDDINGS, {"token_id": range(len(vectors)), "vector": list(vectors)})
    language = {name: asdict(model) for name, model in _punkt_models(run.read(PUNKT)).items()}
    run.write_picture(TRAINING_CURVE_FILE, _curve(rows))
    bundle = Bundle(model, vocabulary, "_end_", language)
    run.write_file(TRAINED_WEIGHTS_FILE, bundle.to_bytes(), bundle.digest())


def row_of(record: Record) -> dict[str, Any]:
    """A record as a row of the training log."""
    return {
        "step": record.step,
        "tokens_seen": record.tokens_seen,
        "elapsed_seconds": record.elapsed_seconds,
        "split": record.split,
        "loss_nats_per_token": record.loss.nats_per_token,
        "learning_rate": record.learning_rate,
        "gradient_norm": record.gradient_norm,
        "tokens_per_second": record.tokens_per_second,
    }


def _watched(run: StepRun, records: Iterable[Record], num_targets: int) -> Iterator[Record]:
    """The same records, shown on the terminal, in Prefect and in MLflow as they come."""
    tracked = run.tracked("training")
    tokens_seen = 0
    with progress("train", num_targets, "tokens") as advance:
        for record in records:
            note = f"{record.split} perplexity {record.loss.perplexity:.1f}"
            advance(record.tokens_seen - tokens_seen, note)
            tokens_seen = record.tokens_seen
            tracked.log_metrics(training_metrics(row_of(record)), record.step)
            if record.split == "validation":
                say(f"step {record.step} of {record.num_steps}: {note}")
            yield record


def _curve(rows: Sequence[Mapping[str, Any]]) -> bytes:
    trained = [row for row in rows if row["split"] == "train"]
    validated = [row for row in rows if row["split"] == "validation"]
    return draw_training_curve_png(
        [row["tokens_seen"] for row in trained],
        [row["loss_nats_per_token"] for row in trained],
        [(row["tokens_seen"], row["loss_nats_per_token"]) for row in validated],
    )


def _punkt_models(rows: pa.Table) -> dict[str, PunktModel]:
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_language[row["language"]].append(row)
    return {name: PunktModel.from_rows(own) for name, own in by_language.items()}
