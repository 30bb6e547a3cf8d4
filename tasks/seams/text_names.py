"""What texts are called: their books' titles and their sections' headings."""

from collections import Counter

import pyarrow as pa


def titles_and_headings(
    books: pa.Table, sections: pa.Table, texts: pa.Table
) -> tuple[list[str], list[str]]:
    """Each text's book and section by name; of several passages of a section, which one it is; of a
    text that is longer than the section that it begins in, that it is the whole book.
    """
    title_of = dict(zip(books["book_id"].to_pylist(), books["title"].to_pylist(), strict=True))
    keys = zip(*(sections[name].to_pylist() for name in ("book_id", "section_index")), strict=True)
    facts = zip(*(sections[name].to_pylist() for name in ("heading", "char_end")), strict=True)
    section_of = dict(zip(keys, facts, strict=True))
    columns = (texts[name].to_pylist() for name in ("book_id", "section_index"))
    places = list(zip(*columns, strict=True))
    in_all, so_far = Counter(places), Counter[tuple[str, int]]()
    headings = []
    for place, char_end in zip(places, texts["char_end"].to_pylist(), strict=True):
        so_far[place] += 1
        heading, section_end = section_of[place]
        if char_end > section_end:
            heading = "the whole book"
        elif in_all[place] > 1:
            heading += f", passage {so_far[place]} of {in_all[place]}"
        headings.append(heading)
    return [title_of[book_id] for book_id, _ in places], headings
