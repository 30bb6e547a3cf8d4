import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import data.lines
from data.lines import find_lines, paragraphs

TEXTS = st.text(alphabet=st.sampled_from("aÉ ß7İ\n\n\n\t\r\x85\u2028\u3000𝔄.\ud800"), max_size=80)


def by_strings(text: str) -> list[tuple[int, int, int, int, str]]:
    """Start, end, first character, width and key of each line, as a reader would find them."""
    found, start = [], 0
    for line in text.split("\n"):
        first = len(line) - len(line.lstrip())
        without_digits = re.sub("[0-9]", " ", line)
        key = "".join(without_digits.split()).replace("İ", "i").lower()
        at = start + first if line.strip() else -1
        found.append((start, start + len(line), at, len(without_digits.strip()), key))
        start += len(line) + 1
    return found


@given(TEXTS)
@example("")
@example("\n")
@example(" 12 \n Page\xa013")
def test_lines_are_those_of_strings(text: str) -> None:
    lines = find_lines(text)
    assert [*zip(*(np.asarray(column).tolist() for column in lines), strict=True)] == by_strings(
        text
    )


@given(TEXTS)
def test_paragraphs_are_those_of_a_regular_expression(text: str) -> None:
    lines = find_lines(text)
    firsts, lasts = paragraphs(lines)
    spans = zip(lines.first[firsts].tolist(), lines.ends[lasts].tolist(), strict=True)
    assert [*spans] == [one.span() for one in re.finditer(r"\S.*(?:\n.*\S.*)*", text)]


@given(TEXTS, st.integers(0, 9))
def test_a_long_text_is_looked_at_in_pieces(text: str, at_once: int) -> None:
    whole = find_lines(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data.lines, "_AT_ONCE", at_once)
        pieces = find_lines(text)
    for one, other in zip(whole, pieces, strict=True):
        assert np.array_equal(one, other)
