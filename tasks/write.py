"""Write: a prompt -> text that goes on in the author's style, by a language model.

The state starts afresh, reads the opening and the prompt, and flows on over what it writes itself.
What was learned by heart is told apart from what was made up: of the text, the longest run that
stands word for word in the training text is shown with its place there.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
from pydantic import Field

from data.book_schemas import SECTIONS, TOKEN_IDS, VOCABULARY
from data.settings import Settings
from data.store import Store
from models.bundle import Bundle
from models.sampling import draw, narrowed
from models.special_tokens import END, NOTHING, START, UNKNOWN, TokenIds
from models.twin import Twin
from models.verbatim import longest_copy
from models.vocabulary import Unit, Vocabulary
from tasks.seams.newest_run import newest_run, table_names
from tasks.seams.registry import read_bundle
from tasks.seams.tokeniser import as_written
from tasks.seams.user_text import cut_sentences

NEVER_WRITTEN = (NOTHING, START, UNKNOWN)
EQUAL_TO_NOTHING = -1


class WriteSettings(Settings):
    """What to go on from, and how daringly."""

    prompt: str = ""
    """The text to go on from; without one, the model begins as before any sentence."""
    num_tokens: int = Field(100, ge=1)
    """Tokens to write: words, punctuation and sentence ends."""
    temperature: float = Field(1.0, gt=0.0)
    """Below 1 keeps to what is probable, above 1 dares more."""
    top_k: int | None = Field(None, ge=1)
    """Choose among so many of the most probable tokens; 1 always takes the most probable."""
    nucleus: float | None = Field(None, gt=0.0, le=1.0)
    """Choose among the fewest tokens that hold so much of the probability."""
    seed: int = Field(1, ge=0)
    """The same seed writes the same text."""


def write(
    tracking_uri: str, store_root: str, model_uri: str | None, settings: WriteSettings
) -> dict[str, Any]:
    """Go on in the author's style by a registered model: `bookloom write`.

    Gives `model`, `prompt`, `text` (prompt and continuation as a person would write them),
    `tokens` (those written), `total_nats` (what the model itself gives them, at most 0), `seed`
    and `longest_copy`: see `copied`.

    Raises:
        UserMistake: no such model, or a prompt that is not Unicode.
    """
    uri, content = read_bundle(tracking_uri, model_uri)
    bundle = Bundle.from_bytes(content)
    prompt = cut_sentences(bundle, settings.prompt, "prompt")
    token_ids, nats = continuation(bundle, prompt, settings)
    written = [bundle.vocabulary.tokens[token_id] for token_id in token_ids]
    return {
        "model": uri,
        "prompt": settings.prompt,
        "text": _as_text(prompt, token_ids, written, bundle.vocabulary.unit),
        "tokens": written,
        "total_nats": nats,
        "seed": settings.seed,
        "longest_copy": copied(
            Store(store_root),
            bundle.digest(),
            [token for token, i in zip(written, token_ids, strict=True) if i != END],
        ),
    }


def continuation(
    bundle: Bundle, prompt: list[list[str]], settings: WriteSettings
) -> tuple[list[int], float]:
    """(token ids written after the prompt's sentences, their log-probability in nats).

    The prompt's last sentence is left open, so that the model may go on with it.
    """
    to_read = [bundle.opening_id]
    for index, sentence in enumerate(prompt):
        to_read += [END] * (index > 0) + bundle.vocabulary.encode(sentence)
    twin = Twin(bundle.model)
    for token_id in to_read:
        log_probs_V = twin.step(token_id)
    rng = np.random.default_rng(settings.seed)
    written: list[int] = []
    nats = 0.0
    for _ in range(settings.num_tokens):
        probabilities_V = narrowed(
            log_probs_V,
            temperature=settings.temperature,
            top_k=settings.top_k,
            nucleus=settings.nucleus,
            never=NEVER_WRITTEN,
        )
        written.append(draw(probabilities_V, rng))
        nats += float(log_probs_V[written[-1]])
        log_probs_V = twin.step(written[-1])
    return written, nats


def copied(store: Store, model_digest: str, words: list[str]) -> dict[str, Any] | None:
    """The longest run of words that stands in the text a model was trained on, and where.

    Gives `words`, `num_words`, their `unit` (where that is characters, they stand for words), the
    `text` that they make, and the `book_id`, `section_index` and `heading` where they begin; None
    where the store has no run of this model with these tables. Sentence ends are no words; a run
    may go on over the end of a section, not over that of a book.
    """
    names = table_names(store, newest_run(store, model_digest=model_digest) or {"tables": {}})
    if not {table.name for table in (VOCABULARY, TOKEN_IDS, SECTIONS)} <= set(names):
        return None
    vocabulary = Vocabulary.from_columns(store.read_table(names[VOCABULARY.name]).to_pydict())
    written_M = np.array(vocabulary.encode(words), dtype=np.int32)
    written_M[written_M == UNKNOWN] = EQUAL_TO_NOTHING
    longest: dict[str, Any] = {
        "words": [],
        "num_words": 0,
        "unit": vocabulary.unit,
        "text": "",
        "book_id": None,
        "section_index": None,
        "heading": None,
    }
    for book_id, indices, sections in _training_books(store, names[TOKEN_IDS.name]):
        copy = longest_copy(written_M, np.concatenate(sections))
        if copy and copy.length > longest["num_words"]:
            ends = np.cumsum([len(section) for section in sections])
            longest |= {
                "words": words[copy.written_start : copy.written_start + copy.length],
                "num_words": copy.length,
                "book_id": book_id,
                "section_index": indices[np.searchsorted(ends, copy.text_start, side="right")],
            }
    if longest["words"]:
        longest["text"] = as_written(longest["words"], vocabulary.unit)
        longest["heading"] = _heading(store, names[SECTIONS.name], longest)
    return longest


def _training_books(store: Store, name: str) -> Iterator[tuple[str, list[int], list[TokenIds]]]:
    """(book_id, section indices, each section's words) of the training text, book by book."""
    columns = ["book_id", "section_index", "split", "token_ids"]
    rows = (
        (book_id, section_index, token_ids.values.to_numpy())
        for group in store.row_groups(name, columns)
        for book_id, section_index, split, token_ids in zip(
            *(group[column].to_pylist() for column in columns[:3]),
            group["token_ids"],
            strict=True,
        )
        if split == "train"
    )
    for book_id, own in groupby(rows, key=lambda row: row[0]):
        parts = [(index, ids[(ids != END) & (ids != START)]) for _, index, ids in own]
        yield book_id, [index for index, _ in parts], [ids for _, ids in parts]


def _heading(store: Store, name: str, place: dict[str, Any]) -> str:
    sections = store.read_table(name, ["book_id", "section_index", "heading"]).to_pylist()
    return next(
        str(row["heading"])
        for row in sections
        if (row["book_id"], row["section_index"]) == (place["book_id"], place["section_index"])
    )


def _as_text(prompt: list[list[str]], token_ids: list[int], written: list[str], unit: Unit) -> str:
    """The prompt's sentences and those written, the first of which ends the prompt's last."""
    sentences = [list(sentence) for sentence in prompt] or [[]]
    for token_id, token in zip(token_ids, written, strict=True):
        if token_id == END:
            sentences.append([])
        else:
            sentences[-1].append(token)
    return " ".join(as_written(sentence, unit) for sentence in sentences if sentence)
