"""Embed: vocabulary, token_ids -> input_vectors.

in    the vocabulary, and the training text or a file of word vectors
does  trains word2vec on the one or looks words up in the other; draws what is left without a vector
out   a vector a token to begin training with; none where they are learned from nothing

Shapes: V token types, E width of a vector.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from data.book_schemas import TOKEN_IDS, VOCABULARY
from data.errors import UserMistake
from data.model_schemas import INPUT_VECTORS
from data.settings import Settings
from models.special_tokens import END, SPECIAL_TOKENS, START, UNKNOWN
from models.vocabulary import Vocabulary
from tasks.seams.report import say
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepRun, step
from tasks.seams.word_vectors import (
    FileFormat,
    Vector,
    file_digest,
    read_vectors,
    train_word2vec,
)

Origin = Literal["found", "trained", "drawn"]

WORD2VEC_WIDTH = 128
# What other people's vectors call the special tokens; the tokens' own names come first.
SPECIAL_SPELLINGS = {
    SPECIAL_TOKENS[START]: ("<s>",),
    SPECIAL_TOKENS[END]: ("</s>",),
    SPECIAL_TOKENS[UNKNOWN]: ("<unk>",),
}
# About that of the learned table's first draw. Files differ tenfold: GloVe's 50d has 5, word2vec
# after an epoch on a third of the plays 0.5. An epoch of the plays, validation perplexity: tuned
# word2vec 98.5 at 2.0, 101.5 at 4.5, 109.6 at 11; frozen GloVe 146 at 1.2, 130 at 7.
RESCALED_LENGTH = 2.5


class EmbedSettings(Settings):
    """What the language model sees of a token."""

    inputs: Literal["learned", "word2vec", "file"] = "learned"
    """Vectors learned from nothing (none are written); word2vec trained on the
    training text; or vectors from a file. The last two are what training begins with, or, with
    train.frozen_inputs, keeps to."""
    path: str | None = None
    """Where `inputs` is `file`: its path or URL; `.gz`, `.bz2`, `.xz` and one-file `.zip` too."""
    format: FileFormat = "auto"
    """Of the file: `glove`, `word2vec_text`, `word2vec_binary`, or `auto`, which looks."""
    width: int | None = Field(None, ge=1)
    """Numbers in a vector. None: 128 for word2vec, what the file has for a file."""
    rescale: bool = True
    """Multiply all vectors by one number, so that they are as long as an LSTM's inputs should be:
    files differ tenfold."""
    skip_gram: bool = True
    """Word2vec: predict the context from the word; else the word from its context (CBOW)."""
    window: int = Field(5, ge=1)
    """Word2vec: words on either side that count as context, at most."""
    num_epochs: int = Field(5, ge=1)
    """Word2vec: passes over the training text."""
    num_negative: int = Field(5, ge=1)
    """Word2vec: drawn words that each true one is told from."""


def source_digests(settings: EmbedSettings, _: RunContext) -> Mapping[str, str]:
    """What the file holds now: it counts in the step's key."""
    return {"vectors": file_digest(_path(settings))} if settings.inputs == "file" else {}


@step(
    reads=(VOCABULARY, TOKEN_IDS),
    writes=(INPUT_VECTORS,),
    libraries=("gensim", "numpy", "scipy"),
    seeded=True,
    outside=source_digests,
)
def embed(run: StepRun, settings: EmbedSettings) -> None:
    """Write every token's first vector, and say how many words have one of their own."""
    if settings.inputs == "learned":
        run.write(INPUT_VECTORS, {name: [] for name in INPUT_VECTORS.schema.names})
        return
    vocabulary = Vocabulary.from_columns(run.read(VOCABULARY).to_pydict())
    seed = run.context.seed
    if settings.inputs == "file":
        path = _path(settings)
        words = [spelling for token in vocabulary.tokens for spelling in spellings(token)]
        known = read_vectors(path, words, settings.format, settings.width)
        inputs = input_vectors(vocabulary, known, "found", seed, rescale=settings.rescale)
        where = f"found in {path}"
    else:
        known = train_word2vec(
            TrainingSentences(run, vocabulary),
            width=settings.width or WORD2VEC_WIDTH,
            window=settings.window,
            num_epochs=settings.num_epochs,
            skip_gram=settings.skip_gram,
            num_negative=settings.num_negative,
            seed=seed,
        )
        inputs = input_vectors(vocabulary, known, "trained", seed, rescale=settings.rescale)
        where = "trained by word2vec"
    say(coverage(vocabulary, inputs.origins).sentence(where))
    run.write(
        INPUT_VECTORS,
        {
            "token_id": range(len(vocabulary)),
            "vector": list(inputs.vectors_VE),
            "origin": inputs.origins,
        },
    )


@dataclass(frozen=True)
class InputVectors:
    """Every token's vector and where it is from."""

    vectors_VE: npt.NDArray[np.float32]
    origins: tuple[Origin, ...]


def input_vectors(
    vocabulary: Vocabulary,
    known: Mapping[str, Vector],
    origin: Origin,
    seed: int,
    *,
    rescale: bool,
) -> InputVectors:
    """A vector for every token: its own where it has one, else one drawn.

    Drawn ones are normal, each of their E numbers with the mean and the standard deviation that it
    has among the known ones, so that an unseen word looks like a word.

    Args:
        vocabulary: the tokens.
        known: vectors_E by spelling.
        origin: what is said of the known ones.
        seed: of the draws.
        rescale: multiply all by one number, so that the known ones have the length
            `RESCALED_LENGTH`, as a root mean square.

    Raises:
        UserMistake: no token has a vector, or all vectors are zero.
    """
    own = [
        next((known[s] for s in spellings(token) if s in known), None)
        for token in vocabulary.tokens
    ]
    own_NE = np.array([vector for vector in own if vector is not None], dtype=np.float64)
    length = float(np.sqrt(np.square(own_NE).sum() / max(1, len(own_NE))))
    if length == 0.0:
        problem = "All vectors are zero" if len(own_NE) else "No word has a vector"
        raise UserMistake(f"{problem}.", "Give another file, or inputs of another kind.")
    if rescale:
        own_NE *= RESCALED_LENGTH / length
    is_own_V = np.array([vector is not None for vector in own])
    draw = np.random.default_rng(seed)
    vectors_VE = draw.normal(own_NE.mean(axis=0), own_NE.std(axis=0), (len(own), own_NE.shape[1]))
    vectors_VE[is_own_V] = own_NE
    origins: tuple[Origin, ...] = tuple(origin if is_own else "drawn" for is_own in is_own_V)
    return InputVectors(vectors_VE.astype(np.float32), origins)


@dataclass(frozen=True)
class Coverage:
    """How many words have a vector of their own; the four special tokens are no words."""

    num_known: int
    num_without: int
    token_share: float
    """Share of the training text's words, unknown ones among them, that have their own."""

    def sentence(self, where: str) -> str:
        """For whoever watches."""
        return (
            f"vectors of {self.num_known:,} words {where}, {self.num_without:,} words have none; "
            f"those that have one make {self.token_share:.1%} of the training text"
        )


def coverage(vocabulary: Vocabulary, origins: Sequence[Origin]) -> Coverage:
    """Count the words that have a vector of their own, as types and as tokens."""
    counts_V = np.asarray(vocabulary.counts, dtype=np.float64)
    is_known_V = np.array([origin != "drawn" for origin in origins])
    is_known_V[: len(SPECIAL_TOKENS)] = False
    num_known = int(is_known_V.sum())
    return Coverage(
        num_known=num_known,
        num_without=len(vocabulary) - len(SPECIAL_TOKENS) - num_known,
        token_share=float(counts_V[is_known_V].sum() / counts_V[UNKNOWN:].sum()),
    )


def spellings(token: str) -> tuple[str, ...]:
    """What a token may be called in a file of vectors, the likeliest first."""
    return (token, *SPECIAL_SPELLINGS.get(token, ()))


@dataclass(frozen=True)
class TrainingSentences:
    """The training text's sentences, read from the store each time that they are gone through.

    Each ends with `_end_`, which so gets a vector from what it follows, as `_unknown_` does.
    """

    run: StepRun
    vocabulary: Vocabulary

    def __iter__(self) -> Iterator[list[str]]:
        for _, split, token_ids in self.run.token_runs():
            if split == "train":
                yield from sentences_of(token_ids, self.vocabulary)


def sentences_of(token_ids: Sequence[int], vocabulary: Vocabulary) -> Iterator[list[str]]:
    """A section's sentences as tokens, each with the `_end_` that closes it."""
    sentence: list[str] = []
    for token_id in token_ids:
        if token_id != START:
            sentence.append(vocabulary.tokens[token_id])
        if token_id == END:
            yield sentence
            sentence = []


def _path(settings: EmbedSettings) -> str:
    if not settings.path:
        raise UserMistake(
            "inputs is file, but there is no path.", "Set path to a file of word vectors."
        )
    return settings.path
