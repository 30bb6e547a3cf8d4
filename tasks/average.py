"""Average: text_features, sentences, a language model -> text_vectors.

in    the places of the texts, the sentences, a language model: this run's own, or one to go on from
does  reads every book and averages what the model makes of each text's tokens
out   one dense row a text
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from data.book_schemas import SENTENCES
from data.errors import UserMistake
from data.model_schemas import LANGUAGE_MODEL_FILE, WARM_START_MODEL_FILE
from data.settings import Settings
from data.text_schemas import TEXT_FEATURES, TEXT_VECTORS
from models.bundle import Bundle
from tasks.seams.report import progress
from tasks.seams.step_cache import StepRun, step
from tasks.seams.text_vectors import Averaged, BookTokens, book_tokens, mean_vectors


class AverageSettings(Settings):
    """What texts are told apart by in place of their terms' weights."""

    of: Averaged | None = None
    """The mean of a language model's word vectors, or of its hidden states; None: of nothing, the
    terms' weights are what counts."""


@step(
    reads=(TEXT_FEATURES, SENTENCES),
    reads_files=(LANGUAGE_MODEL_FILE, WARM_START_MODEL_FILE),
    writes=(TEXT_VECTORS,),
    libraries=("torch", "numpy"),
    seeded=True,  # sums depend on the number of threads
)
def average(run: StepRun, settings: AverageSettings) -> None:
    """Write each text's mean vector."""
    assert settings.of is not None, "the flow leaves this step out"
    own = LANGUAGE_MODEL_FILE if run.has_file(LANGUAGE_MODEL_FILE) else WARM_START_MODEL_FILE
    bundle = Bundle.from_bytes(run.read_file(own))
    texts = run.read(TEXT_FEATURES, ["text_id", "book_id", "char_start", "char_end"])
    vectors_NX = mean_vectors(bundle, settings.of, _books(run, bundle, texts))
    run.write(TEXT_VECTORS, {"text_id": texts["text_id"], "vector": list(vectors_NX)})


def _books(run: StepRun, bundle: Bundle, texts: Any) -> Iterator[BookTokens]:
    """The books that have texts, which stand in the order of their books and of the text."""
    edges_of: dict[str, list[tuple[int, int]]] = {}
    for row in texts.to_pylist():
        edges_of.setdefault(row["book_id"], []).append((row["char_start"], row["char_end"]))
    with progress("average vectors", len(edges_of), "books") as advance:
        for book_id, rows in groupby(_sentences(run, bundle), key=lambda row: row["book_id"]):
            sentences = [(row["char_start"], row["tokens"]) for row in rows]
            if book_id in edges_of:
                yield book_tokens(bundle, sentences, edges_of[book_id])
                advance(1)


def _sentences(run: StepRun, bundle: Bundle) -> Iterator[dict[str, Any]]:
    for group in run.row_groups(SENTENCES, ["book_id", "char_start", "unit", "tokens"]):
        for row in group.to_pylist():
            if row["unit"] != bundle.vocabulary.unit:
                raise UserMistake(
                    f"The language model's tokens are {bundle.vocabulary.unit}s, the books' are "
                    f"{row['unit']}s.",
                    f"Set tokenise.unit to {bundle.vocabulary.unit}, or name another model.",
                )
            yield row
