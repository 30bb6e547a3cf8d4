"""Tokenise: books, sections -> sentences, punkt.

in    the books' texts and sections
does  learns sentence boundaries from the training text, then cuts sentences into words or
      characters
out   one row a sentence, its tokens the book's own characters; what Punkt learned
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from data.book_schemas import BOOKS, PUNKT, SECTIONS, SENTENCES
from data.languages import UNKNOWN_LANGUAGE
from data.settings import Settings
from models.vocabulary import Unit
from tasks.seams.end_with_parent import end_with_parent
from tasks.seams.kept import kept
from tasks.seams.report import progress
from tasks.seams.shards import Shard, shard_task
from tasks.seams.step_cache import StepRun, step
from tasks.seams.tokeniser import (
    PunktModel,
    SentenceSplitter,
    cut,
    learn_punkt,
    punkt_models,
)

ALONE_CHARACTERS = 2_000_000  # less takes less than starting a process


class TokeniseSettings(Settings):
    """How text is cut."""

    unit: Unit = "word"
    """What a token is, in this and in every later step: a word or a character."""
    punkt_sample_characters: int = Field(4_000_000, ge=1)
    """Sentence boundaries are learned from at most so much training text in each language."""


@step(reads=(BOOKS, SECTIONS), writes=(PUNKT, SENTENCES), libraries=("nltk",), in_parts=True)
def tokenise(run: StepRun, settings: TokeniseSettings) -> None:
    """Learn sentence boundaries, then write every book's sentences."""
    fallback = _learn(run, settings.punkt_sample_characters)
    punkt = run.tables[PUNKT.name].name
    parts = list(zip(run.parts(BOOKS), run.parts(SECTIONS), strict=True))
    run.over_shards(
        tokenise_shard,
        [
            {BOOKS.name: books, SECTIONS.name: sections, PUNKT.name: punkt}
            for books, sections in parts
        ],
        writes=(SENTENCES,),
        sizes=[_num_characters(run.store.read_table(name)) for _, name in parts],
        unit="chars",
        fallback=fallback,
        unit_of_tokens=settings.unit,
    )


def _learn(run: StepRun, most: int) -> str:
    """Write what Punkt learns of so many characters of each language at most.

    Gives the language of the largest sample: by what that taught, one without training text is cut.
    """
    samples = _training_samples(run, most)
    total = sum(len(sample) for sample in samples.values())
    with (
        run.writer(PUNKT) as writer,
        progress("learn sentence boundaries", total, "chars") as advance,
    ):
        for language, sample in samples.items():
            writer.write(_punkt_columns(language, _learned(sample), sample))
            advance(len(sample), language)
    return max(samples, key=lambda language: len(samples[language]))


def _learned(sample: str) -> PunktModel:
    """Learn from much text in a process of its own: what NLTK took, 100 MB, goes with it."""
    if len(sample) < ALONE_CHARACTERS:
        return learn_punkt(sample)
    spawning = get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawning, initializer=end_with_parent) as alone:
        return alone.submit(learn_punkt, sample).result()


@shard_task
def tokenise_shard(shard: Shard, fallback: str, unit_of_tokens: Unit) -> None:
    """Write the sentences of a shard's books."""
    splitters = _splitters(shard)
    spans_of = spans_by_book(shard.read(SECTIONS))
    with shard.writer(SENTENCES) as writer:
        for book in _books(shard.row_groups(BOOKS, ["book_id", "language", "text"])):
            spans = spans_of.get(book["book_id"], [])
            splitter = splitters.get(book["language"] or UNKNOWN_LANGUAGE, splitters[fallback])
            columns = sentence_columns(
                book["book_id"], book["text"], spans, splitter, unit_of_tokens
            )
            writer.write(columns)


@kept
def _splitters_of() -> dict[tuple[str, str], dict[str, SentenceSplitter]]:
    return {}


def _splitters(shard: Shard) -> dict[str, SentenceSplitter]:
    """By language; the same for all shards of a table, for they remember what they have decided."""
    known = _splitters_of()
    learned = shard.store, shard.inputs[PUNKT.name]
    if learned not in known:
        models = punkt_models(shard.read(PUNKT))
        known.clear()
        known[learned] = {name: SentenceSplitter(model) for name, model in models.items()}
    return known[learned]


def sentence_columns(
    book_id: str,
    text: str,
    sections: list[tuple[int, int, int]],
    splitter: SentenceSplitter,
    unit: Unit,
) -> dict[str, Any]:
    """A book's sentences as columns of the table; sections are (index, char_start, char_end)."""
    spans = splitter.spans(text, [(start, end) for _, start, end in sections])
    edges = np.array(spans, dtype=np.int64).reshape(-1, 2)
    indices, starts, _ = np.array(sections, dtype=np.int64).reshape(-1, 3).T
    sentences = cut(text, spans, unit)
    return {
        "book_id": [book_id] * len(spans),
        "section_index": indices[np.searchsorted(starts, edges[:, 0], side="right") - 1],
        "sentence_index": range(len(spans)),
        "char_start": edges[:, 0],
        "char_end": edges[:, 1],
        "num_characters": sentences.num_characters,
        "unit": [unit] * len(spans),
        "tokens": sentences.tokens,
        "token_starts": sentences.starts,
    }


def _books(row_groups: Iterator[pa.Table]) -> Iterator[dict[str, Any]]:
    for rows in row_groups:
        for batch in rows.to_batches(max_chunksize=1):
            yield from batch.to_pylist()


def _num_characters(sections: pa.Table) -> int:
    return int(pc.sum(pc.subtract(sections["char_end"], sections["char_start"])).as_py() or 0)


def spans_by_book(sections: pa.Table) -> dict[str, list[tuple[int, int, int]]]:
    """Each book's sections as (index, char_start, char_end), in the table's order.

    In one pass: to look for each book's own in 80,000 books of one section took 47 s.
    """
    names = ("book_id", "section_index", "char_start", "char_end")
    spans: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for book_id, *span in zip(*(sections[name].to_pylist() for name in names), strict=True):
        spans[book_id].append((span[0], span[1], span[2]))
    return dict(spans)


def _training_samples(run: StepRun, most: int) -> dict[str, str]:
    """The first so many characters of training text, by language."""
    parts: dict[str, list[str]] = defaultdict(list)
    room: dict[str, int] = defaultdict(lambda: most)
    for books, sections in zip(run.parts(BOOKS), run.parts(SECTIONS), strict=True):
        known = {row or UNKNOWN_LANGUAGE for row in _column(run, books, "language")}
        if not any(room[language] for language in known):
            continue
        own = run.store.read_table(sections)
        training = spans_by_book(own.filter(pc.equal(own["split"], "train")))
        for book in _books(run.store.row_groups(books, ["book_id", "language", "text"])):
            language = book["language"] or UNKNOWN_LANGUAGE
            for _, start, end in training.get(book["book_id"], []):
                if room[language]:
                    part = book["text"][start : min(end, start + room[language])]
                    room[language] -= len(part)
                    parts[language].append(part)
    return {language: "\n\n".join(parts[language]) for language in sorted(parts)}


def _column(run: StepRun, name: str, column: str) -> list[Any]:
    values: list[Any] = run.store.read_table(name, [column])[column].to_pylist()
    return values


def _punkt_columns(language: str, model: PunktModel, sample: str) -> dict[str, list[Any]]:
    rows: list[tuple[str, str, str | None, int | None]] = [
        ("sample", hashlib.sha256(sample.encode()).hexdigest(), None, len(sample)),
        *(("abbreviation", token, None, None) for token in model.abbreviations),
        *(("collocation", first, second, None) for first, second in model.collocations),
        *(("sentence_starter", token, None, None) for token in model.sentence_starters),
        *(("orthographic_context", t, None, flags) for t, flags in model.orthographic_contexts),
    ]  # fmt: skip
    kinds, tokens, seconds, flags = (list(column) for column in zip(*rows, strict=True))
    return {
        "language": [language] * len(rows),
        "kind": kinds,
        "token": tokens,
        "second_token": seconds,
        "flags": flags,
    }
