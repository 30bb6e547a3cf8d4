"""NLTK's home: sentence boundaries learned from the books themselves; tokens with their places.

Punkt: T. Kiss and J. Strunk, Unsupervised Multilingual Sentence Boundary Detection,
Computational Linguistics 32(4), 2006. Neither Punkt's trainer nor the word tokenizer needs a
download.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import pyarrow as pa

from data.left_out import left_out
from models.vocabulary import Unit
from tasks.seams.chunks import Span
from tasks.seams.kept import kept
from tasks.seams.sentence_spans import BLANK_LINES, SentenceCutter, paragraphs_of
from tasks.seams.word_spans import CutSentences, WordCutter

with left_out("sklearn", "scipy"):  # of NLTK's classifiers: 120 MB and 1.5 s of each process
    from nltk.tokenize import NLTKWordTokenizer
    from nltk.tokenize.punkt import (
        PunktParameters,
        PunktSentenceTokenizer,
        PunktToken,
        PunktTrainer,
    )
    from nltk.tokenize.treebank import TreebankWordDetokenizer

CHARACTERS = re.compile(r"\S|(?<=\S)\s+(?=\S)")
CHARACTERS_AT_ONCE = 250_000  # from which sentence boundaries are learned
SENTENCE_ENDS = frozenset(".!?")
QUOTATION_MARKS = ("``", "''")  # what NLTK makes of '"', and of either of them


@dataclass(frozen=True)
class PunktModel:
    """What Punkt learned, in plain sorted values: nothing of it need be pickled."""

    abbreviations: tuple[str, ...]
    collocations: tuple[tuple[str, str], ...]
    sentence_starters: tuple[str, ...]
    orthographic_contexts: tuple[tuple[str, int], ...]

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, Any]]) -> "PunktModel":
        """The model in one language's rows of the table `punkt`."""
        kinds: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            kinds[row["kind"]].append(row)
        return PunktModel(
            tuple(row["token"] for row in kinds["abbreviation"]),
            tuple((row["token"], row["second_token"]) for row in kinds["collocation"]),
            tuple(row["token"] for row in kinds["sentence_starter"]),
            tuple((row["token"], row["flags"]) for row in kinds["orthographic_context"]),
        )

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "PunktModel":
        """The model in the values that `dataclasses.asdict` and JSON made of it."""
        return PunktModel(
            tuple(values["abbreviations"]),
            tuple((first, second) for first, second in values["collocations"]),
            tuple(values["sentence_starters"]),
            tuple((word, flags) for word, flags in values["orthographic_contexts"]),
        )

    def parameters(self) -> PunktParameters:
        """The model as NLTK has it."""
        parameters = PunktParameters()
        parameters.abbrev_types = set(self.abbreviations)
        parameters.collocations = set(self.collocations)
        parameters.sent_starters = set(self.sentence_starters)
        parameters.ortho_context = Counter()  # keeps no entry for each new word that is looked up
        for word_type, flags in self.orthographic_contexts:
            parameters.add_ortho_context(word_type, flags)
        return parameters


def punkt_models(rows: pa.Table) -> dict[str, PunktModel]:
    """What was learned of each language, from rows of the table `punkt`."""
    by_language: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows.to_pylist():
        by_language[row["language"]].append(row)
    return {name: PunktModel.from_rows(own) for name, own in by_language.items()}


def learn_punkt(sample: str) -> PunktModel:
    """Learn sentence boundaries from running text in one language: 2 s a megabyte.

    NLTK's trainer keeps 200 bytes a word of what it is given at once; it is given a quarter of one.
    """
    trainer = PunktTrainer(token_cls=_Token)
    start = 0
    while start < len(sample):
        blank = BLANK_LINES.search(sample, start + CHARACTERS_AT_ONCE)
        end = blank.end() if blank else len(sample)
        trainer.train(sample[start:end], finalize=False)
        start = end
    trainer.finalize_training()
    learned = trainer.get_params()
    return PunktModel(
        tuple(sorted(learned.abbrev_types)),
        tuple(sorted(learned.collocations)),
        tuple(sorted(learned.sent_starters)),
        tuple(sorted(learned.ortho_context.items())),
    )


class _Token(PunktToken):  # type: ignore[misc]
    """NLTK's token; half of training's time went into what follows from its spelling alone."""

    def __init__(self, tok: str, **annotations: Any) -> None:
        self.tok, self.type, self.period_final = _spelling(tok)
        self.parastart = self.linestart = self.sentbreak = self.abbr = self.ellipsis = None
        for name, value in annotations.items():
            setattr(self, name, value)

    @property
    def is_ellipsis(self) -> bool:
        return self.period_final and _is_ellipsis(self.tok)


@lru_cache(maxsize=1 << 16)
def _spelling(tok: str) -> tuple[str, str, bool]:
    """A token's spelling, type and whether it ends in a period."""
    token = PunktToken(tok)
    return token.tok, token.type, token.period_final


@lru_cache(maxsize=1 << 10)
def _is_ellipsis(tok: str) -> bool:
    return bool(PunktToken(tok).is_ellipsis)


class SentenceSplitter:
    """Finds the sentences of a text: by Punkt within a paragraph, and at every blank line."""

    def __init__(self, model: PunktModel) -> None:
        self._cutter = SentenceCutter(PunktSentenceTokenizer(model.parameters()))

    def spans(self, text: str, stretches: Sequence[Span] | None = None) -> list[Span]:
        """Spans of the sentences of a text, or of some stretches of it, which come in order."""
        within = [(0, len(text))] if stretches is None else stretches
        paragraphs = [one for stretch in within for one in paragraphs_of(text, *stretch)]
        return self._cutter.cut(text, paragraphs)


def cut(text: str, sentences: Sequence[Span], unit: Unit) -> CutSentences:
    """The tokens of sentences, spans of a text that are in order and do not overlap.

    A character token is a code point. A stretch of white space is one token, a space; white space
    at the sentence's edges is none, since `_end_` stands for the gap between two sentences.
    """
    if unit == "word":
        return _cutter().cut(text, sentences)
    tokens = [list(" ".join(text[start:end].split())) for start, end in sentences]
    starts = [
        [start + match.start() for match in CHARACTERS.finditer(text[start:end])]
        for start, end in sentences
    ]
    return CutSentences(
        pa.array(tokens, pa.list_(pa.string())),
        pa.array(starts, pa.list_(pa.int64())),
        pa.array([len(own) for own in tokens], pa.int64()),
    )


def tokens_of(sentence: str, unit: Unit) -> list[str]:
    """A single sentence's tokens; for many, `cut` takes a fraction of the time."""
    return _cutter().words(sentence) if unit == "word" else list(" ".join(sentence.split()))


def words_of(tokens: Sequence[str], unit: Unit) -> Sequence[str]:
    """The words of a sentence that was cut into tokens of either unit."""
    return tokens if unit == "word" else tokens_of(as_written(tokens, unit), "word")


@kept  # it grows with the words it has seen
def _cutter() -> WordCutter:
    return WordCutter(partial(nltk_word_spans, NLTKWordTokenizer()))


def nltk_word_spans(words: NLTKWordTokenizer, sentence: str) -> list[Span]:
    """Spans of a sentence's tokens, by NLTK itself: exact and slow.

    NLTK's own `span_tokenize` looks its tokens up in the text and fails on some mixed quotation
    marks; its token boundaries stand even then, since it only ever adds blanks and respells
    straight quotation marks.
    """
    try:
        return list(words.span_tokenize(sentence))
    except ValueError:
        return _aligned(sentence, words.tokenize(sentence))


def _aligned(sentence: str, tokens: list[str]) -> list[Span]:
    spans = []
    position = 0
    for token in tokens:
        while sentence[position].isspace():
            position += 1
        spellings = ('"', *QUOTATION_MARKS) if token in QUOTATION_MARKS else (token,)
        own = next((one for one in spellings if sentence.startswith(one, position)), None)
        assert own is not None, (sentence, token, position)
        spans.append((position, position + len(own)))
        position += len(own)
    return spans


def as_written(tokens: Sequence[str], unit: Unit = "word") -> str:
    """Tokens joined as a person would write them: blanks only where they belong.

    Characters carry their blanks with them: they give back what they were cut from, white space
    collapsed.
    """
    if unit == "character":
        return "".join(tokens)
    return str(TreebankWordDetokenizer().detokenize(list(tokens)))


def as_sentence(tokens: Sequence[str], unit: Unit, written_of: Mapping[str, str]) -> str:
    """A sentence of a lower-case vocabulary with its capitals and blanks where they belong.

    `written_of` has what books write for a token, where that is another spelling. A capital opens
    the sentence, and what follows a full stop, an exclamation or a question mark.
    """
    if unit == "character":
        return as_written(tokens, unit)
    words = []
    opens = True
    for token in tokens:
        word = written_of.get(token, token)
        is_word = any(map(str.isalnum, word))
        words.append(_capitalised(word) if opens and is_word else word)
        opens = token in SENTENCE_ENDS or (opens and not is_word)
    return as_written(words, unit)


def _capitalised(word: str) -> str:
    first = next(index for index, sign in enumerate(word) if sign.isalnum())
    return word[:first] + word[first].upper() + word[first + 1 :]
