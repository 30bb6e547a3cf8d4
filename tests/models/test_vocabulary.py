"""Tokens' ids, and how frequent each is."""

import numpy as np
import pytest

from models.special_tokens import END, NOTHING, SPECIAL_TOKENS, START, UNKNOWN
from models.vocabulary import UNKNOWN_SPELLINGS, Vocabulary


def vocabulary_of(lower_case: bool = True) -> Vocabulary:
    words = ("the", ".", "thou", "art", "zounds")
    counts = (0, 3, 6, 8, 7, 5, 5, 2, 2)
    return Vocabulary((*SPECIAL_TOKENS, *words), counts, lower_case)


def test_special_tokens_have_the_ids_that_the_stream_uses() -> None:
    id_of = vocabulary_of().id_of
    assert [id_of["_nothing_"], id_of["_start_"], id_of["_end_"], id_of["_unknown_"]] == [
        0,
        1,
        2,
        3,
    ]
    assert (NOTHING, START, END, UNKNOWN) == (0, 1, 2, 3)


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
        "written": [],
    }
    again = Vocabulary.from_columns(columns)
    assert again == vocabulary
    columns["unit"] = ["character"] * len(vocabulary)
    assert Vocabulary.from_columns(columns).unit == "character"
    assert again.encode(["thou"]) == [6]
