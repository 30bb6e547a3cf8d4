r"""Punkt's sentences at many times NLTK's speed: each decision is made only once.

PunktSentenceTokenizer looks at every `.`, `?` and `!` with a closing mark or with white space and a
word behind it, takes the word before it (back to ASCII white space), what stands behind, cuts both
into tokens and asks whether one of these, but the last, ends a sentence. This loop finds the same
places and asks the same question of NLTK's own methods; it asks less often, for two reasons:

- **Most words settle it alone.** White space parts tokens, and so does a closing mark, none of
  which continues a word; thus what follows sees no more of the word before than its last token,
  and only where that ends in a period and is an abbreviation, an ellipsis, an initial, a number or
  the first half of a collocation. Where a word holds an end within it, or its last token is another
  that ends a sentence, all is said; remembered by the word alone. A word that holds white space
  beyond ASCII is never settled alone: `. . .` is one token across blanks.
- **The rest recurs**: `Mr. Darcy`. The answer is remembered by the whole context.

Places are found by the array, those of many paragraphs at once: a search in each costs more than
its sentences. NLTK's `regex` and Python differ in what white space is by U+001C to U+001F alone;
paragraphs with these go to NLTK itself.
"""

import re
from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from data.letters import Codes, codes_of
from tasks.seams.chunks import Places, Span, in_table, table_of
from tasks.seams.word_spans import has_disputed_white_space

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
ASCII_BLANKS = " \n\t\r\v\f"
CHARACTERS_AT_ONCE = 500_000  # each needs 30 bytes meanwhile

MOST_ANSWERS = 50_000
"""Answers of either kind remembered, at some 150 bytes each; all are forgotten beyond."""
LONGEST_QUESTION = 100
Answer = TypeVar("Answer")


class Remembered(dict[str, Answer], Generic[Answer]):
    """A function's answers by what it was asked; asks it where the answer is not yet known."""

    def __init__(self, function: Callable[[str], Answer]) -> None:
        self._function = function

    def __missing__(self, question: str) -> Answer:
        answer = self._function(question)
        if len(question) <= LONGEST_QUESTION:
            if len(self) >= MOST_ANSWERS:
                self.clear()
            self[question] = answer
        return answer


def paragraphs_of(text: str, start: int, end: int) -> list[Span]:
    """What of `text[start:end]` blank lines part."""
    gaps = [gap.span() for gap in BLANK_LINES.finditer(text, start, end)]
    return list(zip([start, *(e for _, e in gaps)], [*(s for s, _ in gaps), end], strict=True))


class _PossibleEnds(NamedTuple):
    """Each with the word before it and the token, or mark, behind it; places in the text."""

    word_starts: Places
    ends: Places
    next_starts: Places
    next_ends: Places


class SentenceCutter:
    """Cuts paragraphs where a PunktSentenceTokenizer does."""

    def __init__(self, punkt: Any) -> None:
        self._punkt = punkt
        variables = punkt._lang_vars
        self._is_end = table_of(re.compile(variables._re_sent_end_chars).fullmatch)
        self._is_mark = table_of(re.compile(variables._re_non_word_chars).fullmatch)
        self._closing = re.compile(variables.re_boundary_realignment.pattern, re.MULTILINE)
        self._is_closing = table_of(self._closing.match)
        self._collocation_firsts = {first for first, _ in punkt._params.collocations}
        self._is_settled_by = Remembered(self._settles)
        self._has_break = Remembered[bool](punkt.text_contains_sentbreak)

    def cut(self, text: str, paragraphs: Sequence[Span]) -> list[Span]:
        """The spans that `punkt.span_tokenize` gives for each paragraph, in the text's places.

        Args:
            text: holds the paragraphs.
            paragraphs: in order, without overlaps.
        """
        blocks = groupby(paragraphs, key=lambda span: span[0] // CHARACTERS_AT_ONCE)
        return [span for _, block in blocks for span in self._cut_block(text, list(block))]

    def _cut_block(self, text: str, paragraphs: Sequence[Span]) -> list[Span]:
        first, last = paragraphs[0][0], paragraphs[-1][1]
        block = text[first:last]
        if not has_disputed_white_space(block):
            spans = self._cut_at_once(block, np.array(paragraphs, dtype=np.int64) - first)
            return [(first + start, first + end) for start, end in spans]
        if len(paragraphs) > 1:
            return [span for one in paragraphs for span in self._cut_block(text, [one])]
        spans = [] if block.isspace() else self._punkt.span_tokenize(block)
        return [(first + start, first + end) for start, end in spans]

    def _cut_at_once(self, text: str, paragraphs: Places) -> list[Span]:
        codes = codes_of(text)
        is_white = in_table(table_of(str.isspace), codes)
        blacks, whites = np.flatnonzero(~is_white), np.flatnonzero(is_white)
        starts, ends = _without_blanks(paragraphs, blacks)
        if not len(starts):
            return []
        possible = self._possible_ends(codes, blacks, whites, starts, ends)
        breaks = np.flatnonzero(self._are_ends(text, possible))
        # The two sides of a break stand next to each other in these.
        is_first = np.isin(all_starts := _merged(starts, possible.next_starts[breaks]), starts)
        all_ends = _merged(ends, possible.ends[breaks]).tolist()
        may_close = ~is_first & in_table(self._is_closing, codes[all_starts])
        sentence_starts = all_starts.tolist()
        for index in np.flatnonzero(may_close).tolist():
            # Closing marks at a sentence's start go to the sentence before it.
            if marks := self._closing.match(text, sentence_starts[index], all_ends[index]):
                all_ends[index - 1] = marks.start() + len(marks[0].rstrip())
                sentence_starts[index] = marks.end()
        return [(a, b) for a, b in zip(sentence_starts, all_ends, strict=True) if a < b]

    def _possible_ends(
        self, codes: Codes, blacks: Places, whites: Places, starts: Places, ends: Places
    ) -> _PossibleEnds:
        """Full stops with a mark, or white space and a token, behind; of one word's, the last."""
        stops = np.flatnonzero(in_table(self._is_end, codes))
        paragraph = np.searchsorted(starts, stops, side="right") - 1
        within = (paragraph >= 0) & (stops + 1 < ends[paragraph])
        stops, paragraph = stops[within], paragraph[within]
        next_black = blacks[np.searchsorted(blacks, stops + 1)]
        is_mark = in_table(self._is_mark, codes[stops + 1])
        counts = is_mark | (next_black > stops + 1)
        stops, paragraph, is_mark = stops[counts], paragraph[counts], is_mark[counts]
        next_start = next_black[counts]
        blanks = whites[in_table(table_of(ASCII_BLANKS.__contains__), codes[whites])]
        next_white = np.append(whites, len(codes))[np.searchsorted(whites, next_start)]
        last_blank = np.insert(blanks, 0, -1)[np.searchsorted(blanks, stops)]
        # White space at a paragraph's very start counts to its first word, for Punkt.
        opening = starts[paragraph]
        word_start = np.where(last_blank > opening, last_blank + 1, opening)
        is_last = np.append(word_start[1:] >= stops[:-1], True)[: len(stops)]
        return _PossibleEnds(
            word_start[is_last],
            stops[is_last] + 1,
            next_start[is_last],
            np.where(is_mark, stops + 2, np.minimum(next_white, ends[paragraph]))[is_last],
        )

    def _are_ends(self, text: str, possible: _PossibleEnds) -> list[bool]:
        settled, has_break = self._is_settled_by, self._has_break
        return [
            settled[text[start:end]] or has_break[text[start:after]]
            for start, end, after in zip(
                possible.word_starts.tolist(),
                possible.ends.tolist(),
                possible.next_ends.tolist(),
                strict=True,
            )
        ]

    def _settles(self, word: str) -> bool:
        """Whether a word, its full stop included, ends a sentence whatever follows."""
        stem = word[:-1]
        if stem.isascii() and stem.isalpha():
            # The rules below, for nine words of ten: Punkt's own annotation takes 50 µs.
            kind = stem.lower()
            return word[-1] != "." or (
                len(stem) > 1
                and kind not in self._punkt._params.abbrev_types
                and kind not in self._collocation_firsts
            )
        if any(map(str.isspace, word)):
            return False
        # A word of a million marks has as many tokens, of 10 µs each; most often the first will do.
        tokens = self._punkt._annotate_first_pass(self._punkt._tokenize_words(word))
        last = next(tokens)
        for token in tokens:
            self._punkt._second_pass_annotation(last, token)
            if last.sentbreak:
                return True
            last = token
        kind = last.type_no_period
        depends = last.period_final and (
            last.is_initial or kind == "##number##" or kind in self._collocation_firsts
        )
        return bool(last.sentbreak and not depends)


def _without_blanks(paragraphs: Places, blacks: Places) -> tuple[Places, Places]:
    """Starts and ends without the white space behind, of paragraphs that hold anything else."""
    num_before = np.searchsorted(blacks, paragraphs)
    is_filled = num_before[:, 0] < num_before[:, 1]
    return paragraphs[is_filled, 0], blacks[num_before[is_filled, 1] - 1] + 1


def _merged(one: Places, other: Places) -> Places:
    return np.sort(np.concatenate([one, other]))
