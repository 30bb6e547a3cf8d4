"""Books cut into the texts that are clustered."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Literal, NamedTuple

import numpy as np

Level = Literal["section", "book", "passage"]


class Sentence(NamedTuple):
    """A sentence's place in its book, and its words."""

    char_start: int
    char_end: int
    words: Sequence[str]


def cut_texts(
    sections: Iterable[tuple[int, Sequence[Sentence]]], level: Level, passage_words: int
) -> Iterator[tuple[int, Sequence[Sentence]]]:
    """A book's texts, each with the index of the section that it begins in.

    Args:
        sections: the book's sections by index, in order.
        level: what a text is.
        passage_words: of a passage, about.
    """
    if level == "book":
        whole = list(sections)
        if whole:
            yield whole[0][0], [one for _, sentences in whole for one in sentences]
        return
    for section_index, sentences in sections:
        if level == "section":
            yield section_index, sentences
        else:
            for passage in passages(sentences, passage_words):
                yield section_index, passage


def passages(sentences: Sequence[Sentence], num_words: int) -> Iterator[Sequence[Sentence]]:
    """Cut a section into stretches of about so many words, all about as long as each other."""
    ends = np.cumsum([len(sentence.words) for sentence in sentences])
    count = max(1, round(ends[-1] / num_words))
    # A sentence belongs to the passage in which its middle word stands.
    middles = ends - np.diff(ends, prepend=0) / 2
    numbers = np.minimum((middles * count / max(1, ends[-1])).astype(int), count - 1)
    for _, own in groupby(range(len(sentences)), key=lambda index: numbers[index]):
        chosen = list(own)
        yield sentences[chosen[0] : chosen[-1] + 1]
