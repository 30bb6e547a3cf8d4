"""Books cut into texts."""

from hypothesis import given
from hypothesis import strategies as st

from tasks.seams.texts import Level, Sentence, cut_texts, passages


def sentences_of(*lengths: int) -> list[Sentence]:
    """Sentences of so many words, one character a word."""
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    pairs = zip(starts, lengths, strict=True)
    return [Sentence(start, start + length, ["w"] * length) for start, length in pairs]


SECTIONS = [(0, sentences_of(3, 4, 3)), (2, sentences_of(2))]


def lengths_by(level: Level, passage_words: int) -> list[tuple[int, list[int]]]:
    return [
        (index, [len(sentence.words) for sentence in own])
        for index, own in cut_texts(iter(SECTIONS), level, passage_words)
    ]


def test_levels_by_hand() -> None:
    assert lengths_by("section", 1) == [(0, [3, 4, 3]), (2, [2])]
    assert lengths_by("book", 1) == [(0, [3, 4, 3, 2])]
    # 10 words by 5 make two passages; the middle of the sentence of four words opens the second.
    assert lengths_by("passage", 5) == [(0, [3]), (0, [4, 3]), (2, [2])]
    assert lengths_by("passage", 100) == [(0, [3, 4, 3]), (2, [2])]


def test_a_book_without_sentences_has_no_texts() -> None:
    assert list(cut_texts([], "book", 5)) == []


@given(st.lists(st.integers(1, 40), min_size=1, max_size=60), st.integers(1, 100))
def test_passages_lose_nothing_and_are_about_as_long_as_asked(
    lengths: list[int], num_words: int
) -> None:
    sentences = sentences_of(*lengths)
    cut = list(passages(sentences, num_words))
    assert [one for passage in cut for one in passage] == sentences
    total = sum(lengths)
    count = max(1, round(total / num_words))
    assert len(cut) <= count
    for passage in cut:
        size = sum(len(sentence.words) for sentence in passage)
        assert size <= total / count + max(lengths)
