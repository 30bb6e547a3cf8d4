import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.books import Section
from data.documents import Document, Edit, Removal, edited, merged, without


def document(text: str, *sections: Section) -> Document:
    return Document(text, "utf-8", "valid UTF-8", sections)


def test_what_is_removed_is_gone_and_sections_keep_their_words() -> None:
    #         0         1         2
    #         0123456789012345678901234
    before = "Head. One [pic]two. Three."
    sections = (Section("I", 6, 19), Section("II", 20, 26))
    after = without(document(before, *sections), [Removal(10, 15, "picture"), Removal(0, 6, "h")])
    assert after.text == "One two. Three."
    assert after.sections == (Section("I", 0, 8), Section("II", 9, 15))


def test_removals_may_overlap_and_a_section_without_words_goes() -> None:
    given = document("One. Two. Three.", Section("I", 0, 4), Section("II", 5, 9))
    removals = [Removal(5, 8, "a"), Removal(6, 10, "b"), Removal(10, 10, "empty")]
    assert merged(removals) == [(5, 10)]
    after = without(given, removals)
    assert (after.text, after.sections) == ("One. Three.", (Section("I", 0, 4),))


def test_an_edit_moves_what_follows_and_bounds_inside_it_stay_inside() -> None:
    given = document("ab—cd", Section("I", 0, 2), Section("II", 2, 5))
    after = edited(given, [Edit(2, 3, "---")])
    assert (after.text, after.sections) == ("ab---cd", (Section("I", 0, 2), Section("II", 2, 7)))
    inside = edited(document("abcdef", Section("I", 0, 2), Section("II", 3, 6)), [Edit(1, 5, "x")])
    assert inside.text == "axf"
    assert inside.sections == (Section("I", 0, 2), Section("II", 2, 3))


def test_edits_that_overlap_are_refused() -> None:
    with pytest.raises(ValueError, match="overlaps"):
        edited(document("abcdef"), [Edit(0, 3, ""), Edit(2, 4, "")])


@given(st.data())
def test_kept_are_exactly_the_characters_outside_removals(data: st.DataObject) -> None:
    text = data.draw(st.text(alphabet="abc \n", max_size=60))
    offsets = st.integers(0, len(text))
    pairs = data.draw(st.lists(st.tuples(offsets, offsets).map(sorted), max_size=6))
    bounds = sorted(data.draw(st.lists(offsets, max_size=6).filter(lambda one: len(one) % 2 == 0)))
    sections = tuple(
        Section(str(index), start, end)
        for index, (start, end) in enumerate(zip(bounds[::2], bounds[1::2], strict=True))
    )
    removals = [Removal(start, end, "any") for start, end in pairs]
    after = without(document(text, *sections), removals)

    stays = [not any(start <= at < end for start, end in pairs) for at in range(len(text))]
    assert after.text == "".join(text[at] for at in range(len(text)) if stays[at])
    expected = {
        one.heading: "".join(text[at] for at in range(one.char_start, one.char_end) if stays[at])
        for one in sections
    }
    assert {one.heading: after.text[one.char_start : one.char_end] for one in after.sections} == {
        heading: words for heading, words in expected.items() if words.strip()
    }
