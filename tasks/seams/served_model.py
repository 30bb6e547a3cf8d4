"""The registered model: bags in, sentences out. MLflow loads this file as the model's code.

What it imports of this project travels with the model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.pyfunc import PythonModel, PythonModelContext

from data.bag_sets import BagSet, bag_set_of_record
from data.errors import UserMistake
from models.branching_step import BranchingStep
from models.bundle import Bundle
from models.picking import Picker
from tasks.seams.bag_specs import BagEncoder
from tasks.seams.tokeniser import as_sentence

MOST_CHOICES = 200_000  # words in all bags of a request
MOST_BEAM_WIDTH = 1_024
MOST_SETS = 1_000


class BagSentenceModel(PythonModel):  # type: ignore[misc]
    """Picks one word from each bag of each set."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle of weights, vocabulary and settings."""
        self.bundle = Bundle.from_bytes(Path(context.artifacts["bundle"]).read_bytes())
        self.reader = BranchingStep(self.bundle.model)

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The best sentences of each row's `bags`, a list of lists of words.

        Raises:
            MlflowException: a word that the model does not know, bags that are none, parameters out
                of range, or more than a request may ask for; the server answers 400 with the
                message.
        """
        try:
            return self._picked(model_input, params or {})
        except UserMistake as mistake:
            message = f"{mistake.message} {mistake.remedy}"
            raise MlflowException(message, error_code=INVALID_PARAMETER_VALUE) from mistake

    def _picked(self, model_input: pd.DataFrame, params: Mapping[str, Any]) -> pd.DataFrame:
        beam_width, num_sentences, discount = _checked(params)
        bag_sets = [
            bag_set_of_record({"bags": _as_lists(bags)}, row, f"request, row {row}")
            for row, bags in enumerate(model_input["bags"], 1)
        ]
        _check_size(bag_sets)
        vocabulary = self.bundle.vocabulary
        encoder = BagEncoder(self.bundle, model_name="bookloom")
        specs = [encoder.spec(bag_set) for bag_set in bag_sets]
        picker = Picker(self.bundle, frequency_discount=discount, reader=self.reader)
        rows = []
        found = picker.beam(specs, beam_width=beam_width, num_sentences=num_sentences)
        for bag_set, picked in zip(bag_sets, found, strict=True):
            for rank, sentence in enumerate(picked.sentences, 1):
                tokens = [vocabulary.tokens[token_id] for token_id in sentence.token_ids]
                rows.append(
                    {
                        "bag_set_id": bag_set.bag_set_id,
                        "rank": rank,
                        "tokens": tokens,
                        "sentence": as_sentence(tokens, vocabulary.unit, vocabulary.written_of),
                        "log_probability_nats": sentence.log_probability_nats,
                        "score": sentence.score,
                    }
                )
        return pd.DataFrame(rows)


def _checked(params: Mapping[str, Any]) -> tuple[int, int, float | None]:
    """Beam width, number of sentences, discount (None: the model's own)."""
    beam_width = int(params.get("beam_width", 64))
    num_sentences = int(params.get("num_sentences", 1))
    discount = params.get("frequency_discount")
    if not 1 <= beam_width <= MOST_BEAM_WIDTH:
        raise UserMistake(
            f"beam_width is {beam_width}.", f"Choose a width from 1 to {MOST_BEAM_WIDTH:,}."
        )
    if not 1 <= num_sentences <= beam_width:
        raise UserMistake(
            f"num_sentences is {num_sentences}.",
            f"Ask for 1 to {beam_width} sentences, as many as the beam is wide.",
        )
    if discount is not None and not 0.0 <= discount < np.inf:
        raise UserMistake(f"frequency_discount is {discount}.", "Choose 0 or more.")
    return beam_width, num_sentences, discount


def _as_lists(bags: Any) -> Any:
    """Lists where MLflow has made arrays of them."""
    is_sequence = isinstance(bags, list | tuple | np.ndarray)
    return [_as_lists(one) for one in bags] if is_sequence else bags


def _check_size(bag_sets: list[BagSet]) -> None:
    num_choices = sum(len(bag.choices) for bag_set in bag_sets for bag in bag_set.bags)
    if len(bag_sets) > MOST_SETS or num_choices > MOST_CHOICES:
        raise UserMistake(
            f"The request has {len(bag_sets):,} bag sets with {num_choices:,} words.",
            f"Send {MOST_SETS:,} sets and {MOST_CHOICES:,} words at most at a time.",
        )


mlflow.models.set_model(BagSentenceModel())
