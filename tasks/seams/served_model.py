"""The registered model: bags in, sentences out. MLflow loads this file as the model's code.

It stands on `models` and `data` alone, which travel with the model.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext

from data.bag_sets import BagSet, encode_bag_sets
from models.bundle import Bundle


class BagSentenceModel(PythonModel):  # type: ignore[misc]
    """Picks one word from each bag of each set."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the bundle of weights, vocabulary and settings."""
        self.bundle = Bundle.from_bytes(Path(context.artifacts["bundle"]).read_bytes())

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> pd.DataFrame:
        """The best sentences of each row's `bags`, a list of lists of words.

        Raises:
            UserMistake: a word that the model does not know.
        """
        chosen = {"beam_width": 64, "frequency_discount": 1.0, "num_sentences": 1, **(params or {})}
        vocabulary = self.bundle.vocabulary
        bag_sets = [
            BagSet(str(index), index, tuple(tuple(bag) for bag in bags))
            for index, bags in enumerate(model_input["bags"], 1)
        ]
        ids = encode_bag_sets(
            bag_sets,
            vocabulary.id_of,
            normalise=vocabulary.fold,
            unit=vocabulary.unit,
            source="request",
            model_name="bookloom",
        )
        rows = [
            {
                "bag_set_id": bag_set.bag_set_id,
                "rank": rank,
                "tokens": [vocabulary.tokens[token_id] for token_id in sentence.token_ids],
                "log_probability_nats": sentence.log_probability_nats,
                "score": sentence.score,
            }
            for bag_set, sentences in zip(bag_sets, self.bundle.pick(ids, **chosen), strict=True)
            for rank, sentence in enumerate(sentences, 1)
        ]
        return pd.DataFrame(rows)


mlflow.models.set_model(BagSentenceModel())
