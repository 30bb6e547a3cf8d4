"""The training text as one run of token ids in a file, so that it need not fit into memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow.compute as pc

from data.book_schemas import TOKEN_IDS
from models.special_tokens import START, TokenIds
from tasks.seams.step_cache import StepRun
from tasks.seams.token_file import ITEM_BYTES, TokenFile


@contextmanager
def token_stream(run: StepRun, *, sections_open: bool) -> Iterator[TokenFile]:
    """The training sections of all books, in the order of the books' ids, as one file.

    Where sections open like books, each begins with a `_start_` of its own.
    """
    lengths: dict[str, int] = {}
    for book_id, section in _training_sections(run, sections_open):
        lengths[book_id] = lengths.get(book_id, 0) + len(section)
    offset, next_offset = 0, {}
    for book_id in sorted(lengths):
        next_offset[book_id] = offset
        offset += lengths[book_id] * ITEM_BYTES
    with TemporaryDirectory() as folder:
        path = f"{folder}/stream"
        with open(path, "wb") as file:
            for book_id, section in _training_sections(run, sections_open):
                file.seek(next_offset[book_id])
                next_offset[book_id] += file.write(section.tobytes())
        yield TokenFile(path)


def _training_sections(run: StepRun, sections_open: bool) -> Iterator[tuple[str, TokenIds]]:
    for rows in run.row_groups(TOKEN_IDS, ["book_id", "split", "token_ids"]):
        training = rows.filter(pc.equal(rows["split"], "train"))
        for book_id, token_ids in zip(training["book_id"], training["token_ids"], strict=True):
            section = token_ids.values.to_numpy(zero_copy_only=False).astype(np.int32)
            if sections_open and len(section) and section[0] != START:
                section = np.concatenate([np.array([START], dtype=np.int32), section])
            yield book_id.as_py(), section
