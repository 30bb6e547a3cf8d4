"""Which tokens get an id, in which order, how frequent each is and how it is written."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.book_schemas import VOCABULARY
from models.special_tokens import SPECIAL_TOKENS, UNKNOWN
from models.vocabulary import UNKNOWN_SPELLINGS, Vocabulary
from tasks.seams.vocabulary_table import vocabulary_columns, written_forms

COUNTS = {"the": 7, "zounds": 2, "art": 2, "thou": 5, "once": 1, ".": 5, "<unk>": 3, "_end_": 4}
INHERITED = Vocabulary(
    (*SPECIAL_TOKENS, "thou", "ghost", "once"),
    (0, 1, 1, 0, 1, 1, 1),
    True,
    written=(*SPECIAL_TOKENS, "Thou", "Ghost", "once"),
)


def table_of(
    counts: Mapping[str, int] = COUNTS,
    *,
    minimum_count: int = 2,
    maximum_types: int | None = None,
    lower_case: bool = True,
    inherited: Vocabulary | None = None,
    written: Mapping[str, str] | None = None,
) -> pa.Table:
    types = {
        "token": pa.array(counts.keys(), pa.string()),
        "count": pa.array(counts.values(), pa.int64()),
        "num_books": pa.array([1 + count // 4 for count in counts.values()], pa.int64()),
    }
    forms = {"token": [*(written or {})], "written": [*(written or {}).values()]}
    columns = vocabulary_columns(
        pa.table(types),
        num_sentences=6,
        num_runs=3,
        minimum_count=minimum_count,
        maximum_types=maximum_types,
        lower_case=lower_case,
        inherited=inherited,
        written=pa.table(forms) if written else None,
    )
    return pa.Table.from_pydict(columns, schema=VOCABULARY.schema)


def vocabulary_of(counts: Mapping[str, int] = COUNTS, **limits: Any) -> Vocabulary:
    return Vocabulary.from_columns(table_of(counts, **limits).to_pydict())


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
    vocabulary = vocabulary_of(inherited=INHERITED)
    assert vocabulary.tokens[4:] == ("thou", "ghost", "once", "the", ".", "art", "zounds")
    assert vocabulary.counts == (0, 3, 6, 7, 5, 0, 1, 7, 5, 2, 2)


@pytest.mark.parametrize(("maximum_types", "num_new"), [(2, 0), (3, 0), (5, 2), (50, 4)])
def test_inherited_words_count_against_the_limit_but_stay(maximum_types: int, num_new: int) -> None:
    vocabulary = vocabulary_of(maximum_types=maximum_types, inherited=INHERITED)
    assert len(vocabulary) == 4 + 3 + num_new


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


def test_the_other_columns_by_hand() -> None:
    """What the text writes now goes before what the model's text wrote, that before the token."""
    rows = table_of(inherited=INHERITED, written={"the": "The", "thou": "THOU"})
    assert rows["token_id"].to_pylist() == [*range(11)]
    assert rows["num_books"].to_pylist() == [0, 3, 3, 3, 2, 0, 1, 2, 2, 1, 1]
    assert rows["written"].to_pylist()[4:] == ["THOU", "Ghost", "once", "The", ".", "art", "zounds"]
    assert rows["lower_case"].to_pylist() == [True] * 11
    assert rows["unit"].to_pylist() == ["word"] * 11


def test_how_a_text_mostly_writes_a_token() -> None:
    """Lines of verse open with a capital, too: a word in lower case is one unless that is rare."""
    spellings = {
        "And": 9,
        "and": 4,
        "Romeo": 7,
        "ROMEO": 2,
        "I": 50,
        "rose": 1,
        "Rose": 9,
        "éTÉ": 1,
    }
    table = pa.table({"token": [*spellings, "Ay"], "count": [*spellings.values(), 9]})
    tokens = pa.chunked_array([sorted({spelling.lower() for spelling in spellings})])
    forms = written_forms(table, tokens)
    assert dict(zip(*(forms[name].to_pylist() for name in ("token", "written")), strict=True)) == {
        "romeo": "Romeo",
        "i": "I",
        "rose": "Rose",
        "été": "éTÉ",
    }
