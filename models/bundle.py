"""One self-contained bundle of a language model: weights, vocabulary and settings in one value.

As bytes it is a safetensors file; see `packing`.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from models.continuous_cache import CacheSettings
from models.kneser_ney import KneserNey
from models.language_model import Architecture, LanguageModel
from models.packing import DAMAGE, content_digest, packed, unpacked
from models.special_tokens import SPECIAL_TOKENS
from models.vocabulary import Vocabulary

NGRAM_PREFIX = "ngram."


@dataclass(frozen=True)
class Bundle:
    """A language model and all that is needed to use it.

    `opening` is the token fed before a sentence that has no text before it; `language` is what the
    sentence splitter learned, in plain values; `frequency_discount` is the discount of common words
    that recovers most of sentences that are hidden in bags. Where there is an n-gram model of the
    same tokens, sentences are scored by both: lstm_weight of the LSTM's probability, the rest of
    the n-gram model's. With `cache`, what it remembers of the text before counts, too. Where
    `sections_open`, it was trained on books whose sections each begin with a `_start_`, and so it
    is to read them.
    """

    model: LanguageModel
    vocabulary: Vocabulary
    opening: str
    language: dict[str, Any]
    frequency_discount: float = 1.0
    ngram: KneserNey | None = None
    lstm_weight: float = 1.0
    cache: CacheSettings | None = None
    sections_open: bool = False

    @property
    def opening_id(self) -> int:
        """The id of the opening token."""
        return SPECIAL_TOKENS.index(self.opening)

    def to_bytes(self) -> bytes:
        """The bundle as a safetensors file; the same bundle gives the same bytes."""
        return packed(self._tensors(), self._metadata())

    def digest(self) -> str:
        """SHA-256 over every tensor's name, type, shape and values, and the rest."""
        return content_digest(self._tensors(), self._metadata())

    @staticmethod
    def from_bytes(content: bytes) -> "Bundle":
        """The bundle in a safetensors file, ready to use.

        Raises:
            ValueError: these are not the bytes of a bundle.
        """
        try:
            return _read(content)
        except DAMAGE as error:
            raise ValueError(f"this is no bundle of bookloom: {error}") from error

    def _tensors(self) -> dict[str, Tensor]:
        counted = self.ngram.arrays() if self.ngram else {}
        counts = {f"{NGRAM_PREFIX}{name}": torch.from_numpy(a) for name, a in counted.items()}
        return {**self.model.state_dict(), **counts}

    def _metadata(self) -> str:
        return json.dumps(
            {
                "architecture": self.model.architecture.as_json(),
                "tokens": self.vocabulary.tokens,
                "counts": self.vocabulary.counts,
                "lower_case": self.vocabulary.lower_case,
                "unit": self.vocabulary.unit,
                "written": self.vocabulary.written_of,
                "opening": self.opening,
                "language": self.language,
                "frequency_discount": self.frequency_discount,
                "lstm_weight": self.lstm_weight,
                "cache": asdict(self.cache) if self.cache else None,
                # Left out where not set: the digests of models without it stay.
                **({"sections_open": True} if self.sections_open else {}),
            },
            sort_keys=True,
            ensure_ascii=False,
        )


def _read(content: bytes) -> Bundle:
    tensors, metadata = unpacked(content)
    architecture = metadata["architecture"]
    architecture["cutoffs"] = tuple(architecture["cutoffs"])
    # Random weights are about to be replaced; the caller's random state stays as it was.
    with torch.random.fork_rng(devices=[]):
        model = LanguageModel(Architecture(**architecture))
    counts = {
        name.removeprefix(NGRAM_PREFIX): tensors.pop(name).numpy()
        for name in list(tensors)
        if name.startswith(NGRAM_PREFIX)
    }
    model.load_state_dict(tensors)
    written_of = metadata["written"]
    vocabulary = Vocabulary(
        tuple(metadata["tokens"]),
        tuple(metadata["counts"]),
        metadata["lower_case"],
        metadata["unit"],
        tuple(written_of.get(token, token) for token in metadata["tokens"]) if written_of else (),
    )
    if not len(vocabulary) == len(vocabulary.counts) == model.architecture.num_types:
        raise ValueError(f"{len(vocabulary)} tokens for {model.architecture.num_types} types")
    if metadata["opening"] not in SPECIAL_TOKENS:
        raise ValueError(f"{metadata['opening']!r} opens no sentence")
    ngram = KneserNey.from_arrays(counts) if counts else None
    if ngram and ngram.num_types != len(vocabulary):
        raise ValueError(f"{len(vocabulary)} tokens for {ngram.num_types} of the n-gram model")
    return Bundle(
        model.eval(),
        vocabulary,
        metadata["opening"],
        metadata["language"],
        float(metadata["frequency_discount"]),
        ngram,
        float(metadata["lstm_weight"]),
        CacheSettings(**metadata["cache"]) if metadata["cache"] else None,
        bool(metadata.get("sections_open", False)),
    )
