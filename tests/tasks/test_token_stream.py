"""The training text in a file: the same tokens as in memory, whatever the order of the books."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pytest

from models.batching import book_runs
from tasks.seams.step_cache import StepRun
from tasks.seams.token_file import TokenFile
from tasks.seams.token_stream import token_stream

ROWS = [
    ("zebra", "train", [1, 5, 2]),
    ("zebra", "train", [6, 2]),
    ("ant", "train", [1, 7, 8, 2]),
    ("bee", "validation", [1, 9, 2]),
    ("ant", "test", [1, 4, 2]),
    ("ant", "train", [9, 2]),
]


def run_of(rows: list[tuple[str, str, list[int]]], group: int) -> StepRun:
    def row_groups(table: Any, columns: list[str]) -> Any:
        for first in range(0, len(rows), group):
            values = list(zip(*rows[first : first + group], strict=True))
            kinds = (pa.string(), pa.string(), pa.list_(pa.int32()))
            arrays = [pa.array(v, kind) for v, kind in zip(values, kinds, strict=True)]
            yield pa.table(dict(zip(("book_id", "split", "token_ids"), arrays, strict=True)))

    return cast(StepRun, SimpleNamespace(row_groups=row_groups))


@pytest.mark.parametrize("sections_open", [False, True])
@pytest.mark.parametrize("group", [1, 2, 6])
def test_the_stream_is_all_training_runs_in_order(group: int, sections_open: bool) -> None:
    runs = book_runs(ROWS, sections_open=sections_open)["train"]
    expected = np.concatenate(list(runs.values()))
    with token_stream(run_of(ROWS, group), sections_open=sections_open) as stream:
        assert stream[0 : len(stream)].tolist() == expected.tolist()
        assert len(stream) == len(expected)
        assert stream[3:7].tolist() == expected[3:7].tolist()
        assert stream[5:1000].tolist() == expected[5:].tolist()
        assert stream[4:4].tolist() == []


def test_no_training_text_is_an_empty_stream() -> None:
    with token_stream(run_of(ROWS[3:5], 2), sections_open=False) as stream:
        assert len(stream) == 0


def test_a_file_is_opened_anew_in_another_process(tmp_path: Path) -> None:
    path = tmp_path / "stream"
    path.write_bytes(np.arange(10, dtype=np.int32).tobytes())
    made, arguments = TokenFile(str(path)).__reduce__()
    assert made(*arguments)[2:5].tolist() == [2, 3, 4]
