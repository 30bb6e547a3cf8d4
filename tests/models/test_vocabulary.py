"""Which tokens get an id, in which order, and how frequent each is."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.special_tokens import END, NOTHING, SPECIAL_TOKENS, START, UNKNOWN
from models.vocabulary import UNKNOWN_SPELLINGS, Vocabulary, build_vocabulary

COUNTS = {"the": 7, "zounds": 2, "art": 2, "thou": 5, "once": 1, ".": 5, "<unk>": 3, "_end_": 4}


def vocabulary_of(
    counts: dict[str, int] = COUNTS,
    *,
    minimum_count: int = 2,
    maximum_types: int | None = None,
    lower_case: bool = True,
) -> Vocabulary:
    return build_vocabulary(
        counts,
        num_sentences=6,
        num_runs=3,
        minimum_count=minimum_count,
        maximum_types=maximum_types,
        lower_case=lower_case,
    )


def test_ids_by_hand() -> None:
    """`once` stands once; `<unk>` and `_end_` are no words, though they stand three times and
    four: 1 + 3 + 4 tokens are unknown."""
    vocabulary = vocabulary_of()
    assert vocabulary.tokens == (*SPECIAL_TOKENS, "the", ".", "thou", "art", "zounds")
    assert vocabulary.counts == (0, 3, 6, 8, 7, 5, 5, 2, 2)
    assert len(vocabulary) == 9
    assert vocabulary.lower_case


def test_inherited_words_keep_their_ids() -> None:
    """`ghost` no longer stands in the text, `once` is too rare to be new."""
    vocabulary = build_vocabulary(
        COUNTS,
        num_sentences=6,
        num_runs=3,
        minimum_count=2,
        maximum_types=None,
        lower_case=True,
        inherited=("thou", "ghost", "once"),
    )
    assert vocabulary.tokens[4:] == ("thou", "ghost", "once", "the", ".", "art", "zounds")
    assert vocabulary.counts == (0, 3, 6, 7, 5, 0, 1, 7, 5, 2, 2)


@pytest.mark.parametrize(("maximum_types", "num_new"), [(2, 0), (3, 0), (5, 2), (50, 4)])
def test_inherited_words_count_against_the_limit_but_stay(maximum_types: int, num_new: int) -> None:
    vocabulary = build_vocabulary(
        COUNTS,
        num_sentences=6,
        num_runs=3,
        minimum_count=2,
        maximum_types=maximum_types,
        lower_case=True,
        inherited=("thou", "ghost", "once"),
    )
    assert len(vocabulary) == 4 + 3 + num_new


def test_special_tokens_have_the_ids_that_the_stream_uses() -> None:
    id_of = vocabulary_of().id_of
    assert [id_of["_nothing_"], id_of["_start_"], id_of["_end_"], id_of["_unknown_"]] == [
        0,
        1,
        2,
        3,
    ]
    assert (NOTHING, START, END, UNKNOWN) == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("minimum_count", "maximum_types", "words", "num_unknown"),
    [
        (1, None, ["the", ".", "thou", "art", "zounds", "once"], 7),
        (5, None, ["the", ".", "thou"], 12),
        (2, 4, ["the", ".", "thou", "art"], 10),
        (2, 2, ["the", "."], 17),
        (2, 99, ["the", ".", "thou", "art", "zounds"], 8),
    ],
)
def test_limits(
    minimum_count: int, maximum_types: int | None, words: list[str], num_unknown: int
) -> None:
    vocabulary = vocabulary_of(minimum_count=minimum_count, maximum_types=maximum_types)
    assert list(vocabulary.tokens[4:]) == words
    assert vocabulary.counts[UNKNOWN] == num_unknown


@pytest.mark.parametrize("counts", [{}, {"once": 1}, {"<unk>": 9, "_start_": 9, "_unknown_": 9}])
def test_a_text_without_words_is_refused(counts: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="no word stands 2 times or more"):
        vocabulary_of(counts)


def test_a_unit_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="the unit 'syllable' is none of word, character"):
        Vocabulary(SPECIAL_TOKENS, (0,) * 4, True, "syllable")  # type: ignore[arg-type]


def test_encoding_by_hand() -> None:
    tokens = ["Thou", "art", "the", "Zounds", "once", "!", "."]
    assert vocabulary_of(lower_case=True).encode(tokens) == [6, 7, 4, 8, UNKNOWN, UNKNOWN, 5]
    assert vocabulary_of(lower_case=False).encode(tokens) == [
        UNKNOWN,
        7,
        4,
        UNKNOWN,
        UNKNOWN,
        UNKNOWN,
        5,
    ]
    assert vocabulary_of().encode([]) == []


@pytest.mark.parametrize("spelling", sorted(UNKNOWN_SPELLINGS))
def test_a_book_cannot_write_a_special_token(spelling: str) -> None:
    """Not `_end_`, which would end a sentence; nor `<UNK>` where case is folded."""
    assert vocabulary_of().encode([spelling, "the", spelling.upper()]) == [UNKNOWN, 4, UNKNOWN]
    assert vocabulary_of(lower_case=False).encode([spelling]) == [UNKNOWN]


def test_the_five_spellings_that_are_no_words() -> None:
    assert {"<unk>", "_nothing_", "_start_", "_end_", "_unknown_"} == UNKNOWN_SPELLINGS


def test_folding() -> None:
    assert vocabulary_of(lower_case=True).fold("ÉTÉ") == "été"
    assert vocabulary_of(lower_case=False).fold("ÉTÉ") == "ÉTÉ"


def test_log_frequency_by_hand() -> None:
    """Words: 8 unknown, 7, 5, 5, 2 and 2 are 29 tokens of 6 types; q = (count + 1) / 35."""
    q_V = np.exp(vocabulary_of().log_frequency())
    assert q_V[3:] == pytest.approx([9 / 35, 8 / 35, 6 / 35, 6 / 35, 3 / 35, 3 / 35])
    assert q_V[3:].sum() == pytest.approx(1.0)
    assert vocabulary_of().log_frequency()[:3].tolist() == [0.0, 0.0, 0.0]


def test_word_frequency_by_hand() -> None:
    assert vocabulary_of().word_frequency() == pytest.approx(
        [0, 0, 0, 0, 7 / 21, 5 / 21, 5 / 21, 2 / 21, 2 / 21]
    )


def test_a_vocabulary_comes_back_from_its_table() -> None:
    vocabulary = vocabulary_of(lower_case=False)
    columns = {
        "token": list(vocabulary.tokens),
        "count": list(vocabulary.counts),
        "lower_case": [False] * len(vocabulary),
        "unit": ["word"] * len(vocabulary),
        "written": list(vocabulary.written),
    }
    again = Vocabulary.from_columns(columns)
    assert again == vocabulary
    columns["unit"] = ["character"] * len(vocabulary)
    assert Vocabulary.from_columns(columns).unit == "character"
    assert again.encode(["thou"]) == [6]


token_lists = st.lists(
    st.one_of(st.sampled_from(["a", "b", "<unk>", "_end_"]), st.text("abÀß ", max_size=3)),
    min_size=1,
    max_size=20,
)


@settings(deadline=None, max_examples=60)
@given(token_lists, st.integers(1, 3), st.one_of(st.none(), st.integers(1, 4)), st.booleans())
def test_whatever_the_text(
    tokens: list[str], minimum_count: int, maximum_types: int | None, lower_case: bool
) -> None:
    counts = Counter(token.lower() if lower_case else token for token in tokens)
    words = {
        token
        for token, count in counts.items()
        if count >= minimum_count and token not in UNKNOWN_SPELLINGS
    }
    limits = {"minimum_count": minimum_count, "maximum_types": maximum_types}
    if not words:
        with pytest.raises(ValueError, match="no word"):
            vocabulary_of(counts, lower_case=lower_case, **limits)
        return
    vocabulary = vocabulary_of(counts, lower_case=lower_case, **limits)
    known = list(vocabulary.tokens[4:])
    assert len(known) == min(len(words), maximum_types or len(words))
    # The most frequent, by falling count and then by spelling; what is left out comes after them.
    order = [(-counts[token], token) for token in known]
    assert order == sorted(order)
    assert all((-counts[token], token) > order[-1] for token in words - {*known})
    # No token of the text is lost from the counts, and encoding agrees with them.
    assert sum(vocabulary.counts[3:]) == len(tokens)
    encoded = Counter(vocabulary.encode(tokens))
    assert [encoded[token_id] for token_id in range(len(vocabulary))] == [
        0,
        0,
        0,
        *vocabulary.counts[3:],
    ]
    assert np.exp(vocabulary.log_frequency()[3:]).sum() == pytest.approx(1.0)
    assert vocabulary.word_frequency().sum() == pytest.approx(1.0)
