"""Which books, or which sections of a lone book, are for training and which are held out."""

from collections.abc import Collection, Sequence
from hashlib import sha256
from typing import Literal

SectionSplit = Literal["train", "validation", "test"]
Split = SectionSplit | Literal["by_section"]

ONE_IN = 12  # the share of books, or of a lone book's characters, in each held-out split


def assign_splits(
    book_ids_and_sha256: Sequence[tuple[str, str]],
    *,
    plays: bool,
    seed: int,
    learned: Collection[str] = (),
) -> dict[str, Split]:
    """Return each book's split; books of fewer than three are all split `by_section`.

    The packaged plays have a fixed split (the 6th and the 12th of every 12, by path), so that
    figures on them can be compared. Other books are ranked by a seeded hash of their content,
    which does not depend on their names, places or order. Books that a model to go on from has
    learned from (`learned`, by id) are for training, as long as two others can be held out.
    """
    if plays:
        places: dict[int, Split] = {ONE_IN // 2 - 1: "validation", ONE_IN - 1: "test"}
        book_ids = sorted(book_id for book_id, _ in book_ids_and_sha256)
        return {book_id: places.get(i % ONE_IN, "train") for i, book_id in enumerate(book_ids)}
    if len(book_ids_and_sha256) < 3:
        return {book_id: "by_section" for book_id, _ in book_ids_and_sha256}
    num_new = len(book_ids_and_sha256) - len(learned)
    if num_new < 2:
        learned, num_new = (), len(book_ids_and_sha256)
    ranked = sorted(
        book_ids_and_sha256,
        key=lambda book: (book[0] in learned, sha256(f"{seed}:{book[1]}".encode()).digest()),
    )
    num_held_out = max(1, min(round(len(ranked) / ONE_IN), num_new // 2))
    splits: dict[str, Split] = {}
    for rank, (book_id, _) in enumerate(ranked):
        if rank < num_held_out:
            splits[book_id] = "validation"
        elif rank < 2 * num_held_out:
            splits[book_id] = "test"
        else:
            splits[book_id] = "train"
    return splits


def section_splits(section_lengths: Sequence[int]) -> list[SectionSplit]:
    """Return the split of each section of one book, given their lengths in characters.

    From the book's end, test takes sections until it holds a twelfth of the characters, then
    validation does; each gets at least one section, and so does training. Of fewer than three
    sections none is held out: such a book has a map, but no language model.
    """
    splits: list[SectionSplit] = ["train"] * len(section_lengths)
    if len(splits) < 3:
        return splits
    first_taken = len(section_lengths)
    held_out: list[tuple[SectionSplit, int]] = [("test", 2), ("validation", 1)]
    for split, num_left_over in held_out:
        num_characters = 0
        while True:
            first_taken -= 1
            splits[first_taken] = split
            num_characters += section_lengths[first_taken]
            enough = num_characters * ONE_IN >= sum(section_lengths)
            if enough or first_taken == num_left_over:
                break
    return splits
