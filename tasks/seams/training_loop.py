"""The training loop as a step runs it: resumed from checkpoints, watched, logged.

What the steps `train` and `train_afresh` share.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch

from data.book_schemas import TOKEN_IDS
from data.errors import UserMistake
from data.model_schemas import INPUT_VECTORS
from models.batching import book_runs
from models.devices import keep_fp32_whole
from models.language_model import LanguageModel
from models.parallel import shared_training
from models.recipe import Recipe
from models.special_tokens import START
from models.speed import (
    freed_memory_kept,
    matrix_product_speed,
    operations_per_token,
    steps_within,
)
from models.training import OtherTraining, Record, Training, TrainingDiverged
from models.vocabulary import Vocabulary
from tasks.seams.report import progress, say
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepRun
from tasks.seams.token_file import TokenFile
from tasks.seams.token_stream import token_stream
from tasks.seams.tracking import training_metrics
from tasks.seams.training_settings import TrainSettings


def machine_facts(settings: TrainSettings, _: RunContext) -> Mapping[str, str]:
    """What the weights depend on beside tables and settings: it counts in the step's key."""
    return {
        "number type": settings.resolved_number_type(),
        "device": settings.resolved_device().type,
    }


def new_model(run: StepRun, settings: TrainSettings, vocabulary: Vocabulary) -> LanguageModel:
    """A model that has learned nothing yet, on its device.

    Raises:
        UserMistake: vectors are to be left as they are, and there are none; or there are some, but
            words are to be read without.
    """
    vectors = run.read(INPUT_VECTORS, ["vector"])["vector"].to_pylist()
    if vectors and settings.one_hot_inputs:
        raise UserMistake(
            "train.one_hot_inputs is set, so that words are read without vectors, but embed.inputs "
            "asks for some.",
            "Set embed.inputs to learned, or leave one_hot_inputs out.",
        )
    width = len(vectors[0]) if vectors else settings.embedding_width
    torch.manual_seed(run.context.seed)
    model = LanguageModel(settings.architecture(len(vocabulary), width))
    if vectors:
        with torch.no_grad():
            model.embedding.weight.copy_(torch.tensor(vectors))
        model.embedding.weight.requires_grad_(not settings.frozen_inputs)
    elif settings.frozen_inputs:
        raise UserMistake(
            "train.frozen_inputs is set, but there are no vectors to leave as they are.",
            "Set embed.inputs to word2vec or file, or leave frozen_inputs out.",
        )
    model.softmax.start_from(vocabulary.counts)
    return model.to(settings.resolved_device())


@freed_memory_kept()
def trained_rows(
    run: StepRun,
    settings: TrainSettings,
    model: LanguageModel,
    vocabulary: Vocabulary,
    name: str,
    num_steps: int | None = None,
) -> list[dict[str, Any]]:
    """Train the model to its end, or from a checkpoint on; gives the rows of its log.

    The model then holds the weights that validated best, and is on the CPU. `name` is what the
    training is called in MLflow; `num_steps` holds in place of what the settings come to.

    Raises:
        UserMistake: the text, the settings or a checkpoint must be mended first.
    """
    keep_fp32_whole()
    held_out = (row for row in run.token_runs() if row[1] == "validation")
    validation = book_runs(held_out, sections_open=settings.sections_open).get("validation", {})
    with token_stream(run, sections_open=settings.sections_open) as stream:
        if not len(stream) or not validation:
            raise UserMistake("No text is left to train or to validate on.", "Add text or books.")
        try:
            books = list(validation.values())
            rows = _trained(run, settings, model, vocabulary, name, stream, books, num_steps)
        except TrainingDiverged as error:
            raise UserMistake(
                f"Training failed: {error}. What was reached before is in its last checkpoint.",
                "Lower train.learning_rate.",
            ) from error
        except OtherTraining as error:
            raise UserMistake(
                f"The checkpoints in {run.checkpoints.path} are of another training: {error}.",
                "Delete that folder: the training then begins afresh.",
            ) from error
        except ValueError as error:
            raise UserMistake(f"The text cannot be trained on: {error}.", "Add text.") from error
    model.cpu()
    return rows


def _trained(
    run: StepRun,
    settings: TrainSettings,
    model: LanguageModel,
    vocabulary: Vocabulary,
    name: str,
    stream: TokenFile,
    validation: list[Any],
    num_steps: int | None,
) -> list[dict[str, Any]]:
    recipe = settings.recipe(len(stream))
    if num_steps is None and settings.minutes is not None:
        seconds = 60.0 * settings.minutes
        num_steps = run.settled(
            "num_steps", lambda: steps_within(seconds, model, stream, validation, recipe)
        )
        say(f"{settings.minutes:g} minutes are {num_steps} steps here")
    if num_steps is not None:
        recipe = replace(recipe, num_steps=num_steps)
    found = run.checkpoints.newest()
    snapshot = (found[0], found[1]["training"]) if found else None
    log = _Log(run, settings, model, vocabulary, name, found[1]["rows"] if found else [])
    with shared_training(
        settings.num_processes,
        model,
        stream,
        validation,
        recipe,
        seed=run.context.seed,
        snapshot=snapshot,
    ) as training:
        if found:
            say(f"going on from the checkpoint after step {training.step}")
        for record in _watched(training, recipe, name):
            log.take(record, training)
    log.tell()
    return log.rows


class _Log:
    """The rows of the training log. They go to MLflow when a checkpoint that has them is whole."""

    def __init__(
        self,
        run: StepRun,
        settings: TrainSettings,
        model: LanguageModel,
        vocabulary: Vocabulary,
        name: str,
        rows: list[dict[str, Any]],
    ) -> None:
        self.rows = rows
        self._characters_per_token = _characters_per_token(run)
        self._run, self._seconds = run, settings.checkpoint_seconds
        self._last_checkpoint = time.monotonic()
        self._tracked = run.tracked(name)
        speed = matrix_product_speed(model.device, settings.resolved_number_type())
        peak = speed * settings.num_processes
        self._share_of_peak = operations_per_token(model, vocabulary.counts) / peak
        if rows:
            self.tell()

    def take(self, record: Record, training: Training) -> None:
        """Add a record, and keep a checkpoint if it is time."""
        speed = record.tokens_per_second
        share = None if speed is None else speed * self._share_of_peak
        per_character = self._characters_per_token[record.split] * math.log(2.0)
        bits = record.loss.nats_per_token / per_character
        self.rows.append({**row_of(record), "bits_per_character": bits, "share_of_peak": share})
        if time.monotonic() - self._last_checkpoint > self._seconds:
            tensors, values = training.snapshot()
            self._run.checkpoints.keep(
                training.step, tensors, {"training": values, "rows": self.rows}
            )
            self.tell()
            self._last_checkpoint = time.monotonic()

    def tell(self) -> None:
        """Log to MLflow what it does not have yet."""
        self._tracked.log_new_rows([(row["step"], training_metrics(row)) for row in self.rows])


def row_of(record: Record) -> dict[str, Any]:
    """A record as a row of the training log, without what needs to know the text or machine."""
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


def _watched(training: Training, recipe: Recipe, name: str) -> Iterator[Record]:
    """The training's records, shown on the terminal and in Prefect as they come."""
    with progress(name, training.num_steps, "steps") as advance:
        advance(training.step)
        done = training.step
        for record in training.run():
            note = f"{record.split} perplexity {record.loss.perplexity:.1f}"
            advance(record.step - done, note)
            done = record.step
            if record.split == "validation":
                say(f"step {record.step} of {record.num_steps}: {note}")
            yield record
        if training.step < training.num_steps:
            say(f"stopped early: {recipe.patience} validations without a better one")


def _characters_per_token(run: StepRun) -> dict[str, float]:
    characters: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for rows in run.row_groups(TOKEN_IDS, ["split", "num_characters", "token_ids"]):
        for split, number, token_ids in zip(*(c.to_pylist() for c in rows.columns), strict=True):
            characters[split] += number
            tokens[split] += len(token_ids) - token_ids.count(START)
    return {split: characters[split] / max(1, tokens[split]) for split in ("train", "validation")}
