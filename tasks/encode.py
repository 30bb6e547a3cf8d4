"""Encode: sentences, sections, vocabulary -> token_ids.

in    the sentences' tokens
does  replaces each by its id, closes each sentence with `_end_`, opens each book with `_start_`
out   one row a section; a split's rows of one book, in order, are one unbroken run
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from data.schemas import SECTIONS, SENTENCES, TOKEN_IDS, VOCABULARY
from models.batching import END, START
from models.vocabulary import Vocabulary
from tasks.seams.settings import Settings
from tasks.seams.step_cache import StepRun, step


class EncodeSettings(Settings):
    """Nothing to choose: the vocabulary says it all."""


@step(reads=(SECTIONS, SENTENCES, VOCABULARY), writes=(TOKEN_IDS,))
def encode(run: StepRun, settings: EncodeSettings) -> None:
    """Write every section's token ids."""
    vocabulary = Vocabulary.from_columns(run.read(VOCABULARY).to_pydict())
    sections = run.read(SECTIONS, ["book_id", "section_index", "split"]).to_pylist()
    split_of = {(row["book_id"], row["section_index"]): row["split"] for row in sections}
    with run.writer(TOKEN_IDS) as writer:
        for book_id, book_rows in groupby(_sentences(run), key=lambda row: row["book_id"]):
            writer.write(token_id_columns(book_id, book_rows, split_of, vocabulary))


def token_id_columns(
    book_id: str,
    sentences: Iterator[dict[str, Any]],
    split_of: dict[tuple[str, int], str],
    vocabulary: Vocabulary,
) -> dict[str, list[Any]]:
    """A book's sections as columns of the table."""
    columns: dict[str, list[Any]] = {name: [] for name in TOKEN_IDS.schema.names}
    open_splits: set[str] = set()
    for section_index, rows in groupby(sentences, key=lambda row: row["section_index"]):
        split = split_of[book_id, section_index]
        token_ids = [] if split in open_splits else [START]
        num_characters = 0
        open_splits.add(split)
        for row in rows:
            token_ids += [*vocabulary.encode(row["tokens"]), END]
            num_characters += row["num_characters"] + 1
        columns["book_id"].append(book_id)
        columns["section_index"].append(section_index)
        columns["split"].append(split)
        columns["token_ids"].append(token_ids)
        columns["num_characters"].append(num_characters)
    return columns


def _sentences(run: StepRun) -> Iterator[dict[str, Any]]:
    columns = ["book_id", "section_index", "num_characters", "tokens"]
    for rows in run.row_groups(SENTENCES, columns):
        yield from rows.to_pylist()
