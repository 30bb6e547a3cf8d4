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

What NLTK searches with `regex` is searched with `re`; the two differ in what white space is by
U+001C to U+001F alone, and paragraphs with these go to NLTK itself, as do those with the mask of
blank lines: a text's paragraphs are searched all at once, for a search costs more than a sentence.
"""

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any, Generic, TypeVar

from tasks.seams.chunks import Span
from tasks.seams.word_spans import has_disputed_white_space

BLANK_LINES = re.compile(r"\n(?:[^\S\n]*\n)+")
IN_GAP = "\0"  # what blank lines are masked with: neither white space nor part of a word
BLANKS_BUT_SPACE = f"\n\t\r\v\f{IN_GAP}"

MOST_ANSWERS = 100_000
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


class SentenceCutter:
    """Cuts a text at blank lines, and between them where a PunktSentenceTokenizer does."""

    def __init__(self, punkt: Any) -> None:
        self._punkt = punkt
        variables = punkt._lang_vars
        possible_end = variables._period_context_fmt % {
            "SentEndChars": variables._re_sent_end_chars,
            "NonWord": variables._re_non_word_chars,
        }
        within_paragraph = possible_end.replace(r"\S", rf"[^\s{IN_GAP}]")
        self._possible_end = re.compile(within_paragraph, re.VERBOSE)
        self._closing = re.compile(variables.re_boundary_realignment.pattern, re.MULTILINE)
        self._collocation_firsts = {first for first, _ in punkt._params.collocations}
        self._is_settled_by = Remembered(self._settles)
        self._has_break = Remembered[bool](punkt.text_contains_sentbreak)

    def cut(self, text: str) -> list[Span]:
        """The spans that `punkt.span_tokenize` gives for each paragraph, in their order."""
        gaps = [gap.span() for gap in BLANK_LINES.finditer(text)]
        starts = [0, *(end for _, end in gaps)]
        ends = [*(start for start, _ in gaps), len(text)]
        paragraphs = list(zip(starts, ends, strict=True))
        if not _goes_to_punkt(text):
            return self._cut_at_once(text, paragraphs)
        return [
            (start + first, start + last)
            for start, end in paragraphs
            for first, last in self._cut_paragraph(text[start:end])
        ]

    def _cut_paragraph(self, text: str) -> list[Span]:
        if _goes_to_punkt(text):
            return [] if text.isspace() else list(self._punkt.span_tokenize(text))
        return self._cut_at_once(text, [(0, len(text))])

    def _cut_at_once(self, text: str, paragraphs: Sequence[Span]) -> list[Span]:
        stripped = [(start, start + len(text[start:end].rstrip())) for start, end in paragraphs]
        paragraphs = [(start, end) for start, end in stripped if start < end]
        breaks = list(self._breaks(text))
        # A break's two sides stand next to each other in these.
        starts = sorted([*(start for start, _ in paragraphs), *(start for _, start in breaks)])
        ends = sorted([*(end for _, end in paragraphs), *(end for end, _ in breaks)])
        self._realign(text, starts, ends, {start for start, _ in paragraphs})
        return [(start, end) for start, end in zip(starts, ends, strict=True) if start < end]

    def _breaks(self, text: str) -> Iterator[Span]:
        """Where a sentence ends within a paragraph, and where the next one starts."""
        for word_start, match in self._contexts(text):
            end = match.end()
            if (
                self._is_settled_by[text[word_start:end]]
                or self._has_break[text[word_start : match.end("after_tok")]]
            ):
                next_start = match.start("next_tok")
                yield end, end if next_start < 0 else next_start

    def _contexts(self, text: str) -> Iterator[tuple[int, re.Match[str]]]:
        """Possible ends, each with where the word before it starts; of one word's, the last."""
        masked = BLANK_LINES.sub(lambda gap: IN_GAP * len(gap[0]), text)
        spaced = masked
        for blank in BLANKS_BUT_SPACE:
            spaced = spaced.replace(blank, " ")
        word_start = word_stop = 0
        pending = None
        for match in self._possible_end.finditer(masked):
            stop = match.start()
            last_blank = spaced.rfind(" ", word_stop, stop)
            start = last_blank + 1 if last_blank > word_stop else word_start
            if pending and word_stop <= start:
                yield word_start, pending
            pending = match
            word_start, word_stop = start, stop
        if pending:
            yield word_start, pending

    def _realign(
        self, text: str, starts: list[int], ends: list[int], fixed: Collection[int]
    ) -> None:
        """Give closing marks at a sentence's start to the sentence before it, in its paragraph."""
        for index, start in enumerate(starts):
            if text[start].isalnum() or start in fixed:
                continue
            if marks := self._closing.match(text, start, ends[index]):
                ends[index - 1] = start + len(marks[0].rstrip())
                starts[index] = marks.end()

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


def _goes_to_punkt(text: str) -> bool:
    return IN_GAP in text or has_disputed_white_space(text)
