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
cut by hand; the rest go to NLTK joined by blanks: a call for each would cost 0.13 ms. What is known
takes 0.7 µs a chunk, most of it the look-up and the lists, where NLTK takes 15.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate, islice

Span = tuple[int, int]
Cut = tuple[tuple[str, ...], tuple[int, ...], int]
"""A chunk's words; from each how far it is to the next, a blank counted after the last; and that
distance once more where the chunk is a word as it stands, else 0."""

LETTERS_AND_MARK = re.compile(r"([A-Za-z]+)([,;:?!])|[A-Za-z]+\.?")
CONTRACTIONS = re.compile(r"(cannot|gimme|gonna|gotta|lemme|wanna)[,;:?!.]?", re.IGNORECASE)
CLOSING_MARKS = "])}>\"'»”’"
FINAL_PERIOD = re.compile(rf"((?:.*[^.])?)\.([{re.escape(CLOSING_MARKS)}]*)")
CHUNK = re.compile(r"\S+")
AT_END = " "  # what the key of a sentence's last chunk has more than the chunk's own

MOST_CUTS = 200_000
"""As many are remembered, 310 bytes each, 60 MB; beyond, all are forgotten. 38 plays: 100,000."""
LONGEST_CHUNK = 64
CHUNKS_A_CALL = 4_000  # far below NLTK's limit of 5 seconds a substitution


class WordCutter:
    """Cuts sentences into words where another, slower cutter that obeys NLTK's rules does."""

    def __init__(self, spans_of: Callable[[str], list[Span]]) -> None:
        """`spans_of` is the slower cutter: the spans of a sentence's words."""
        self._spans_of = spans_of
        self._cuts: dict[str, Cut] = {}

    def cut(self, sentence: str, offset: int = 0) -> tuple[list[str], list[int]]:
        """A sentence's words, and where each begins, counted from `offset` on."""
        try:
            return self._cut_known(sentence, offset)
        except KeyError:
            chunks = sentence.split()
        self.learn(chunks)
        try:
            self._learn_at_end(chunks[-1])
            return self._cut_known(sentence, offset)
        except KeyError:
            spans = self._spans_of(sentence)
            return [sentence[a:b] for a, b in spans], [offset + a for a, _ in spans]

    def learn(self, chunks: Sequence[str]) -> None:
        """Cut the new ones among many chunks at once; saves the time that single calls take."""
        cuts = self._cuts
        new = self._new(chunks)
        if len(new) + len(cuts) >= MOST_CUTS:
            cuts.clear()
            new = self._new(islice(chunks, MOST_CUTS // 4))  # one may bring three pieces along
        odd = []
        for chunk in new:
            plain = LETTERS_AND_MARK.fullmatch(chunk)
            if len(chunk) > LONGEST_CHUNK:
                continue
            if not plain or CONTRACTIONS.fullmatch(chunk):
                odd.append(chunk)
            elif plain[2]:
                cuts[chunk] = (plain[1], plain[2]), (len(plain[1]), 2), 0
            else:
                cuts[chunk] = (chunk,), (len(chunk) + 1,), len(chunk) + 1
        for first in range(0, len(odd), CHUNKS_A_CALL):
            self._learn_from_rules(odd[first : first + CHUNKS_A_CALL])

    def _cut_known(self, sentence: str, offset: int) -> tuple[list[str], list[int]]:
        """As `cut`; KeyError if the sentence has white space or a chunk that is not known."""
        chunks = sentence.split()
        words: list[str] = []
        starts: list[int] = []
        if not chunks:
            return words, starts
        if has_disputed_white_space(sentence):
            raise KeyError(sentence)
        chunks[-1] += AT_END
        cuts = self._cuts
        position = offset
        # A loop over three values a chunk takes half the time of chained iterators.
        for chunk in chunks:
            chunk_words, steps, only_step = cuts[chunk]
            if only_step:
                words.append(chunk)
                starts.append(position)
                position += only_step
            else:
                words += chunk_words
                for step in steps:
                    starts.append(position)
                    position += step
        if position != offset + len(sentence) + 1:  # not one blank after each chunk
            starts = [
                start
                for match, chunk in zip(CHUNK.finditer(sentence), chunks, strict=True)
                for start in accumulate(cuts[chunk][1][:-1], initial=offset + match.start())
            ]
        return words, starts

    def _new(self, chunks: Iterable[str]) -> set[str]:
        """Those without a cut, and what each falls into at a sentence's end."""
        new = {chunk for chunk in chunks if chunk not in self._cuts}
        return new | {piece for chunk in new for piece in _pieces_at_end(chunk)}

    def _learn_from_rules(self, chunks: list[str]) -> None:
        before_blank = self._cuts_between(chunks, " ")
        closing = [chunk for chunk in chunks if chunk.endswith("'")]
        before_line_end = self._cuts_between(closing, "\n") if closing else {}
        for chunk, cut in before_blank.items():
            if before_line_end.get(chunk, cut) == cut:
                self._cuts[chunk] = cut

    def _cuts_between(self, chunks: list[str], blank: str) -> dict[str, Cut]:
        """How each of the chunks is cut, neither first nor last in a sentence."""
        sentence = blank.join(["a", *chunks, "a"])
        spans = iter(self._spans_of(sentence)[1:-1])
        cuts = {}
        position = 2
        for chunk in chunks:
            words, steps = [], []
            end = position + len(chunk)
            while position < end:
                start, position = next(spans)
                words.append(sentence[start:position])
                steps.append(position - start)
            steps[-1] += 1
            position += 1
            cuts[chunk] = tuple(words), tuple(steps), steps[0] if len(steps) == 1 else 0
        return cuts

    def _learn_at_end(self, chunk: str) -> None:
        """A sentence's last chunk, made of pieces; KeyError if it depends on its place."""
        if not chunk.strip(CLOSING_MARKS):
            raise KeyError(chunk)
        words: list[str] = []
        steps: list[int] = []
        for piece in _pieces_at_end(chunk):
            piece_words, piece_steps, _ = self._cuts[piece]
            words += piece_words
            steps += piece_steps
            steps[-1] -= 1
        steps[-1] += 1
        self._cuts[chunk + AT_END] = tuple(words), tuple(steps), 0


def has_disputed_white_space(text: str) -> bool:
    """Whether a text has what is white space for `re` and `str.split`, but not for NLTK's regex."""
    # Four look-ups in C take a third of a regular expression's time.
    return "\x1c" in text or "\x1d" in text or "\x1e" in text or "\x1f" in text


def _pieces_at_end(chunk: str) -> list[str]:
    """What a chunk falls into where a period in it ends the sentence."""
    if "." not in chunk or not (final := FINAL_PERIOD.fullmatch(chunk)):
        return [chunk]
    return [piece for piece in (final[1], ".", final[2]) if piece]
