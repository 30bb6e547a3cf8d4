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
U+001C to U+001F alone, and paragraphs with these go to NLTK itself.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, Generic, TypeVar

from tasks.seams.chunks import Span
from tasks.seams.word_spans import has_disputed_white_space

ASCII_BLANKS_BUT_SPACE = "\n\t\r\v\f"

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
    """Cuts paragraphs where a PunktSentenceTokenizer does."""

    def __init__(self, punkt: Any) -> None:
        self._punkt = punkt
        variables = punkt._lang_vars
        self._possible_end = re.compile(
            variables._period_context_fmt
            % {
                "SentEndChars": variables._re_sent_end_chars,
                "NonWord": variables._re_non_word_chars,
            },
            re.VERBOSE,
        )
        self._closing = re.compile(variables.re_boundary_realignment.pattern, re.MULTILINE)
        self._collocation_firsts = {first for first, _ in punkt._params.collocations}
        self._is_settled_by = Remembered(self._settles)
        self._has_break = Remembered[bool](punkt.text_contains_sentbreak)

    def cut(self, paragraph: str) -> list[Span]:
        """The spans that `punkt.span_tokenize` gives."""
        if has_disputed_white_space(paragraph):
            return list(self._punkt.span_tokenize(paragraph))
        return self._with_closing_marks(paragraph, self._unaligned(paragraph))

    def _unaligned(self, text: str) -> list[Span]:
        """Sentences that end in their full stop; closing marks behind it open the next."""
        spaced = text
        for blank in ASCII_BLANKS_BUT_SPACE:
            spaced = spaced.replace(blank, " ")
        spans = []
        sentence_start = 0
        for word_start, match in self._contexts(spaced):
            end = match.end()
            if (
                self._is_settled_by[text[word_start:end]]
                or self._has_break[text[word_start : match.end("after_tok")]]
            ):
                spans.append((sentence_start, end))
                next_start = match.start("next_tok")
                sentence_start = end if next_start < 0 else next_start
        spans.append((sentence_start, len(text.rstrip())))
        return spans

    def _contexts(self, spaced: str) -> Iterator[tuple[int, re.Match[str]]]:
        """Possible ends, each with where the word before it starts; of one word's, the last."""
        word_start = word_stop = 0
        pending = None
        for match in self._possible_end.finditer(spaced):
            stop = match.start()
            blank = spaced.rfind(" ", word_stop, stop)
            start = blank + 1 if blank > word_stop else word_start
            if pending and word_stop <= start:
                yield word_start, pending
            pending = match
            word_start, word_stop = start, stop
        if pending:
            yield word_start, pending

    def _with_closing_marks(self, text: str, spans: list[Span]) -> list[Span]:
        """Closing marks at a sentence's start go to the sentence before it."""
        aligned = []
        moved = 0
        for (start, end), (next_start, next_end) in pairwise(spans):
            start += moved
            marks = self._closing.match(text, next_start, next_end)
            if marks:
                aligned.append((start, next_start + len(marks[0].rstrip())))
                moved = marks.end() - next_start
            else:
                moved = 0
                if start < end:
                    aligned.append((start, end))
        start, end = spans[-1]
        if start + moved < end:
            aligned.append((start + moved, end))
        return aligned

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
