r"""NLTK's word tokenizer at many times its speed: each distinct word of a book is cut only once.

NLTKWordTokenizer puts a sentence through 33 substitutions and then cuts at white space. Where it
cuts within a *chunk*, a stretch without white space, follows from the chunk alone, so that a
chunk's cut can be remembered; two exceptions are looked after. Rule by rule, in NLTK's order:

- Opening quotation marks: `^"` and `([ \(\[{<])("|'{2})` respell `"` and `''` at a chunk's start by
  what stands before, but the mark is a token of its own either way (respelled here, or by the
  ending quotes' rules), no rule tells a blank, a mark and a backtick before a word apart, and
  `(?<!\w)'(?=\w)` sees no word character before a chunk.
- Punctuation: `([:,])([^\d])` and `([:,])$` set a chunk's last colon or comma apart whether white
  space or nothing follows. Dots, dashes, brackets, `;@#$%&?!*` and curly quotes look at themselves.
- **The final period** (twice, the second time never more than the first) sees the end of the
  sentence: a period, then closing marks and blanks alone. In the last chunk it is set off by
  blanks, and so is what a period between blanks would be: `end.”)` is cut as the chunks `end`, `.`
  and `”)` are. Where the last chunk is closing marks alone, the period may stand in another chunk.
- **A closing apostrophe**: `([^'])' ` wants a blank after the mark, and neither a line's end nor a
  sentence's. What it leaves, `([^' ])('[sS]|'[mM]|'[dD]|') ` sets apart later, but having taken
  `'` it no longer sees `'s` before it: `it's' ` is `it`, `'s`, `'` before a blank and `it's`, `'`
  before a line's end. A chunk that ends in `'` is cut both ways and remembered if they agree.
- Ending quotes, contractions: white space is one blank by then and stands around the sentence too,
  so that a chunk's edge looks the same everywhere; `('t)(is)` and `('t)(was)` would see the blank
  before them, every chunk's.

NLTK, `str.split` and `re` differ in what white space is by U+001C to U+001F alone. Sentences with
these, with a chunk that depends on its place, or with one that is too long to be kept go to NLTK
itself. Chunks of letters with at most one mark behind, over two thirds of the distinct ones, are
cut by hand; the rest go to NLTK joined by blanks: a call for each would cost 0.13 ms. A text whose
chunks are known is cut by the array, 0.5 µs a chunk; NLTK takes 15.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby, repeat
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tasks.seams.chunks import Chunks, Places, Span, find_chunks

Cut = tuple[list[str], list[int]]
"""A chunk's words, and where each of them begins in the chunk."""

LETTERS_AND_MARK = re.compile(r"([A-Za-z]+)([,;:?!])|[A-Za-z]+\.?")
CONTRACTIONS = re.compile(r"(cannot|gimme|gonna|gotta|lemme|wanna)[,;:?!.]?", re.IGNORECASE)
CLOSING_MARKS = "])}>\"'»”’"
FINAL_PERIOD = re.compile(rf"((?:.*[^.])?)\.([{re.escape(CLOSING_MARKS)}]*)")
DEPENDS = 0  # the number of all chunks that depend on their places, or are too long

MOST_CUTS = 120_000
"""As many are remembered, 250 bytes each; beyond, all are forgotten. 38 plays: 100,000."""
LONGEST_CHUNK = 64
CHUNKS_A_CALL = 4_000  # far below NLTK's limit of 5 seconds a substitution
CHARACTERS_AT_ONCE = 500_000  # each needs 30 bytes meanwhile


class CutSentences(NamedTuple):
    """Sentences cut into tokens, a row each.

    `tokens` are lists of strings, `starts` of where each begins in the text, in characters;
    `num_characters` is a sentence's length where white space is one blank.
    """

    tokens: pa.ListArray
    starts: pa.ListArray
    num_characters: pa.Array


class WordCutter:
    """Cuts sentences into words where another, slower cutter that obeys NLTK's rules does."""

    def __init__(self, spans_of: Callable[[str], list[Span]]) -> None:
        """`spans_of` is the slower cutter: the spans of a sentence's words."""
        self._spans_of = spans_of
        self._forget()

    def _forget(self) -> None:
        self._number_of: dict[str, int] = {}
        self._number_at_end_of: dict[str, int] = {}
        # By that number: how many words there are, and where in the lists below they begin.
        self._num_words: Places = np.zeros(1, dtype=np.int64)
        self._first_word: Places = np.zeros(1, dtype=np.int64)
        self._words = pa.array([], pa.string())
        self._offsets: Places = np.zeros(0, dtype=np.int64)

    def cut(self, text: str, sentences: Sequence[Span]) -> CutSentences:
        """The words of sentences: spans of the text, in order, without overlaps."""
        blocks = groupby(sentences, key=lambda span: span[0] // CHARACTERS_AT_ONCE)
        cut = [self._cut_block(text, list(block)) for _, block in blocks]
        columns = zip(*(cut or [self._cut_block(text, [])]), strict=True)
        return CutSentences(*(pa.concat_arrays(column) for column in columns))

    def words(self, sentence: str) -> list[str]:
        """The words of a single sentence: for one, arrays cost more than they bring."""
        chunks = sentence.split()
        numbers = np.concatenate(self._numbers(chunks[:-1], chunks[-1:]))
        if DEPENDS in numbers or has_disputed_white_space(sentence):
            return [sentence[start:end] for start, end in self._spans_of(sentence)]
        return [word for number in numbers for word in self._cut_of(number)[0]]

    def _cut_block(self, text: str, sentences: list[Span]) -> CutSentences:
        chunks = find_chunks(text, sentences)
        lengths = np.diff(chunks.firsts)
        numbers = self._numbers_of_chunks(chunks)
        is_slow = np.zeros(len(sentences), dtype=bool)
        is_slow[np.repeat(np.arange(len(sentences)), lengths)[numbers == DEPENDS]] = True
        if has_disputed_white_space(text):
            disputed = [has_disputed_white_space(text[start:end]) for start, end in sentences]
            is_slow |= np.array(disputed, dtype=bool)
        num_words = np.where(np.repeat(is_slow, lengths), 0, self._num_words[numbers])
        until = np.concatenate([[0], np.cumsum(num_words)])
        places = np.repeat(self._first_word[numbers] - until[:-1], num_words)
        places += np.arange(len(places))
        starts = self._offsets[places] + np.repeat(chunks.starts, num_words)
        firsts = pa.array(until[chunks.firsts], pa.int32())
        found = CutSentences(
            pa.ListArray.from_arrays(firsts, self._words.take(pa.array(places))),
            pa.ListArray.from_arrays(firsts, pa.array(starts)),
            pa.array(chunks.num_characters()),
        )
        return self._with_slow(found, text, sentences, is_slow) if is_slow.any() else found

    def _with_slow(
        self,
        found: CutSentences,
        text: str,
        sentences: list[Span],
        is_slow: npt.NDArray[np.bool_],
    ) -> CutSentences:
        """With what the slower cutter finds in some sentences."""
        tokens, starts = [], []
        for row in np.flatnonzero(is_slow):
            first, last = sentences[row]
            spans = self._spans_of(text[first:last])
            tokens.append([text[first + a : first + b] for a, b in spans])
            starts.append([first + a for a, _ in spans])
        rows = np.arange(len(sentences))
        rows[is_slow] = len(sentences) + np.arange(len(tokens))

        def merged(quick: pa.ListArray, slow: list[list[Any]]) -> pa.ListArray:
            both = pa.concat_arrays([quick, pa.array(slow, quick.type)])
            return both.take(pa.array(rows))

        return found._replace(
            tokens=merged(found.tokens, tokens), starts=merged(found.starts, starts)
        )

    def _numbers_of_chunks(self, chunks: Chunks) -> Places:
        """The chunks' numbers; each that is distinct is looked up once."""
        distinct = chunks.words.dictionary_encode()
        names = distinct.dictionary.to_pylist()
        codes, is_last = np.asarray(distinct.indices), chunks.is_last()
        numbers = np.zeros((2, len(names)), dtype=np.int64)
        places = [_distinct(codes[~is_last], len(names)), _distinct(codes[is_last], len(names))]
        inner, last = ([names[place] for place in own.tolist()] for own in places)
        numbers[0, places[0]], numbers[1, places[1]] = self._numbers(inner, last)
        number_of_each: Places = numbers[is_last.astype(np.int64), codes]
        return number_of_each

    def _numbers(self, inner: Sequence[str], last: Sequence[str]) -> tuple[Places, Places]:
        """The numbers of chunks, of those that do not close a sentence and of those that do."""
        numbers = _looked_up(inner, self._number_of), _looked_up(last, self._number_at_end_of)
        new = np.flatnonzero(numbers[0] < 0).tolist(), np.flatnonzero(numbers[1] < 0).tolist()
        num_known = len(self._number_of) + len(self._number_at_end_of)
        if num_known + len(new[0]) + len(new[1]) > MOST_CUTS and any(new):
            self._forget()
            new = [*range(len(inner))], [*range(len(last))]
        new_inner, new_last = [inner[place] for place in new[0]], [last[place] for place in new[1]]
        self._learn({*new_inner}, {*new_last})
        numbers[0][new[0]] = _looked_up(new_inner, self._number_of)
        numbers[1][new[1]] = _looked_up(new_last, self._number_at_end_of)
        return numbers

    def _learn(self, inner: Collection[str], last: Collection[str]) -> None:
        """Cut many new chunks at once; saves the time that single calls take."""
        at_end = {chunk: _pieces_at_end(chunk) for chunk in last}
        chunks = {*inner}.union(*at_end.values())
        # Not a difference of sets: it would go through all that is known.
        unknown = [chunk for chunk in chunks if chunk not in self._number_of]
        self._keep(self._cuts(unknown), self._number_of)
        cuts = {chunk: self._cut_at_end(pieces) for chunk, pieces in at_end.items()}
        self._keep(cuts, self._number_at_end_of)

    def _keep(self, cuts: Mapping[str, Cut | None], number_of: dict[str, int]) -> None:
        if not cuts:
            return
        known = {name: cut for name, cut in cuts.items() if cut}
        first_number = len(self._num_words)
        num_words = np.array([len(words) for words, _ in known.values()], dtype=np.int64)
        first_word = len(self._words) + np.cumsum(num_words) - num_words
        # Before anything is kept: Arrow refuses lone surrogates.
        words = pa.array([word for words, _ in known.values() for word in words], pa.string())
        offsets = [offset for _, offsets in known.values() for offset in offsets]
        self._num_words = np.concatenate([self._num_words, num_words])
        self._first_word = np.concatenate([self._first_word, first_word])
        self._words = pa.concat_arrays([self._words, words])
        self._offsets = np.concatenate([self._offsets, np.array(offsets, dtype=np.int64)])
        number_of |= dict.fromkeys(cuts, DEPENDS)
        number_of |= {name: first_number + i for i, name in enumerate(known)}

    def _cuts(self, chunks: Iterable[str]) -> dict[str, Cut | None]:
        """How chunks are cut that are not a sentence's last; None where that depends."""
        cuts: dict[str, Cut | None] = {}
        odd = []
        for chunk in chunks:
            plain = LETTERS_AND_MARK.fullmatch(chunk)
            if len(chunk) > LONGEST_CHUNK:
                cuts[chunk] = None
            elif not plain or CONTRACTIONS.fullmatch(chunk):
                odd.append(chunk)
            elif plain[2]:
                cuts[chunk] = [plain[1], plain[2]], [0, len(plain[1])]
            else:
                cuts[chunk] = [chunk], [0]
        for first in range(0, len(odd), CHUNKS_A_CALL):
            some = odd[first : first + CHUNKS_A_CALL]
            cuts |= self._cuts_between(some, " ")
            closing = [chunk for chunk in some if chunk.endswith("'")]
            for chunk, cut in self._cuts_between(closing, "\n").items():
                if cuts[chunk] != cut:
                    cuts[chunk] = None
        return cuts

    def _cuts_between(self, chunks: Sequence[str], blank: str) -> dict[str, Cut]:
        """How each of the chunks is cut, neither first nor last in a sentence."""
        if not chunks:
            return {}
        sentence = blank.join(["a", *chunks, "a"])
        spans = iter(self._spans_of(sentence)[1:-1])
        cuts = {}
        position = 2
        for chunk in chunks:
            first, end = position, position + len(chunk)
            words, offsets = [], []
            while position < end:
                start, position = next(spans)
                words.append(sentence[start:position])
                offsets.append(start - first)
            position += 1
            cuts[chunk] = words, offsets
        return cuts

    def _cut_at_end(self, pieces: Sequence[str]) -> Cut | None:
        """A sentence's last chunk, which falls into pieces; None if it depends on its place."""
        if not "".join(pieces).strip(CLOSING_MARKS):
            return None
        words: list[str] = []
        offsets: list[int] = []
        length = 0
        for piece in pieces:
            number = self._number_of[piece]
            if number == DEPENDS:
                return None
            own_words, own_offsets = self._cut_of(number)
            words += own_words
            offsets += [length + offset for offset in own_offsets]
            length += len(piece)
        return words, offsets

    def _cut_of(self, number: int) -> Cut:
        first, length = int(self._first_word[number]), int(self._num_words[number])
        words = self._words.slice(first, length).to_pylist()
        return words, self._offsets[first : first + length].tolist()


def _distinct(codes: npt.NDArray[np.int32], num_codes: int) -> Places:
    """Those of so many codes that occur, in order."""
    occurs = np.zeros(num_codes, dtype=bool)
    occurs[codes] = True
    return np.flatnonzero(occurs)


def _looked_up(names: Sequence[str], number_of: Mapping[str, int]) -> Places:
    """The names' numbers; -1 where one has none."""
    return np.fromiter(map(number_of.get, names, repeat(-1)), np.int64, len(names))


def has_disputed_white_space(text: str) -> bool:
    """Whether a text has what is white space for `re` and `str.split`, but not for NLTK's regex."""
    # Four look-ups in C take a third of a regular expression's time.
    return "\x1c" in text or "\x1d" in text or "\x1e" in text or "\x1f" in text


def _pieces_at_end(chunk: str) -> list[str]:
    """What a chunk falls into where a period in it ends the sentence."""
    if "." not in chunk or not (final := FINAL_PERIOD.fullmatch(chunk)):
        return [chunk]
    return [piece for piece in (final[1], ".", final[2]) if piece]
