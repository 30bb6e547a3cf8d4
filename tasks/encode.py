"""Encode: sentences, sections, vocabulary -> token_ids.

in    the sentences' tokens
does  replaces each by its id, closes each sentence with `_end_`, opens each book with `_start_`
out   one row a section; a split's rows of one book, in order, are one unbroken run
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data.book_schemas import SECTIONS, SENTENCES, TOKEN_IDS, VOCABULARY
from data.settings import Settings
from models.special_tokens import END, START, UNKNOWN, TokenIds
from models.vocabulary import UNKNOWN_SPELLINGS
from tasks.seams.shards import Shard, shard_task
from tasks.seams.step_cache import StepRun, step


class EncodeSettings(Settings):
    """Nothing to choose: the vocabulary says it all."""


@step(reads=(SECTIONS, SENTENCES, VOCABULARY), writes=(TOKEN_IDS,), in_parts=True)
def encode(run: StepRun, settings: EncodeSettings) -> None:
    """Write every section's token ids."""
    sentences, sections = run.parts(SENTENCES), run.parts(SECTIONS)
    [vocabulary] = run.parts(VOCABULARY)
    run.over_shards(
        encode_shard,
        [
            {SENTENCES.name: one, SECTIONS.name: other, VOCABULARY.name: vocabulary}
            for one, other in zip(sentences, sections, strict=True)
        ],
        writes=(TOKEN_IDS,),
        sizes=[run.store.lineage(name)["num_rows"] for name in sentences],
        unit="sentences",
    )


@shard_task
def encode_shard(shard: Shard) -> None:
    """Write the token ids of a shard's sections."""
    vocabulary = KnownTokens(shard.read(VOCABULARY, ["token", "lower_case"]))
    sections = shard.read(SECTIONS, ["book_id", "section_index", "split"]).to_pylist()
    split_of = {(row["book_id"], row["section_index"]): row["split"] for row in sections}
    with shard.writer(TOKEN_IDS) as writer:
        for book_id, own in groupby(_sections(shard, vocabulary), key=lambda one: one.book_id):
            writer.write(token_id_columns(book_id, own, split_of))


class KnownTokens:
    """A vocabulary's tokens as Arrow has them, without a Python string for each."""

    def __init__(self, vocabulary: pa.Table) -> None:
        """`vocabulary` has the columns `token` and `lower_case` of the table."""
        self._tokens = vocabulary["token"].combine_chunks()
        self._lower_case = vocabulary["lower_case"][0].as_py()

    def ids(self, words: Sequence[str]) -> TokenIds:
        """What `Vocabulary.encode` gives."""
        folded = [word.lower() for word in words] if self._lower_case else words
        coded = pa.array(folded, pa.string()).dictionary_encode()
        # Tokens are looked for among the words, the fewer of the two: a fifth of the time.
        place = pc.index_in(self._tokens, value_set=coded.dictionary)
        ids_of_words = np.full(len(coded.dictionary), UNKNOWN, dtype=np.int32)
        ids_of_words[np.asarray(place.drop_null())] = np.flatnonzero(np.asarray(place.is_valid()))
        ids: TokenIds = ids_of_words[np.asarray(coded.indices)]
        ids[[index for index, word in enumerate(folded) if word in UNKNOWN_SPELLINGS]] = UNKNOWN
        return ids


class EncodedSection(NamedTuple):
    """A section, or the beginning or end of one, as it stands in a row group."""

    book_id: str
    section_index: int
    token_ids: TokenIds
    num_characters: int


def token_id_columns(
    book_id: str,
    pieces: Iterable[EncodedSection],
    split_of: Mapping[tuple[str, int], str],
) -> dict[str, list[Any]]:
    """A book's sections as columns of the table."""
    columns: dict[str, list[Any]] = {name: [] for name in TOKEN_IDS.schema.names}
    open_splits: set[str] = set()
    for section_index, own in groupby(pieces, key=lambda piece: piece.section_index):
        parts = list(own)
        split = split_of[book_id, section_index]
        opening = np.array([] if split in open_splits else [START], dtype=np.int32)
        open_splits.add(split)
        columns["book_id"].append(book_id)
        columns["section_index"].append(section_index)
        columns["split"].append(split)
        columns["token_ids"].append(np.concatenate([opening, *(p.token_ids for p in parts)]))
        columns["num_characters"].append(sum(part.num_characters for part in parts))
    return columns


def encoded_sentences(
    tokens: pa.ListArray, vocabulary: KnownTokens
) -> tuple[TokenIds, npt.NDArray[np.int64]]:
    """All sentences' token ids, each closed by `_end_`, and where each ends.

    The tokens are coded, as `Store.row_groups` gives them.
    """
    words = tokens.flatten()
    ids_of_types = vocabulary.ids(words.dictionary.to_pylist())
    lengths = np.asarray(tokens.value_lengths(), dtype=np.int64)
    ends = np.cumsum(lengths + 1)
    token_ids = np.full(ends[-1] if len(ends) else 0, END, dtype=np.int32)
    is_word = np.ones(len(token_ids), dtype=bool)
    is_word[ends - 1] = False
    token_ids[is_word] = ids_of_types[np.asarray(words.indices)]
    return token_ids, ends


def _sections(shard: Shard, vocabulary: KnownTokens) -> Iterator[EncodedSection]:
    columns = ["book_id", "section_index", "num_characters", "tokens"]
    for rows in shard.row_groups(SENTENCES, columns, coded=["tokens"]):
        token_ids, ends = encoded_sentences(rows["tokens"].combine_chunks(), vocabulary)
        characters = np.cumsum(np.asarray(rows["num_characters"]) + 1)
        keys = zip(rows["book_id"].to_pylist(), rows["section_index"].to_pylist(), strict=True)
        first_token = first_character = last = 0
        for (book_id, section_index), same in groupby(keys):
            last += len(list(same))
            last_token, last_character = int(ends[last - 1]), int(characters[last - 1])
            yield EncodedSection(
                book_id,
                section_index,
                token_ids[first_token:last_token],
                last_character - first_character,
            )
            first_token, first_character = last_token, last_character
