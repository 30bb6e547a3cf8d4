"""Parts side by side: results in order, a thread each, and nothing left changed."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from models.side_by_side import side_by_side


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_results_come_in_order_though_the_first_part_takes_longest() -> None:
    def do(part: float) -> float:
        time.sleep(part)
        return part

    assert list(side_by_side(do, [0.1, 0.0, 0.05])) == [0.1, 0.0, 0.05]


def test_two_parts_run_at_the_same_time_on_one_thread_each() -> None:
    both = threading.Barrier(2, timeout=20)

    def do(_: int) -> int:
        both.wait()  # would time out if one waited for the other
        return torch.get_num_threads()

    assert list(side_by_side(do, [1, 2])) == [1, 1]
    assert torch.get_num_threads() == 2
    later = []
    thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    assert later == [2]


def test_one_part_has_all_threads() -> None:
    assert list(side_by_side(lambda _: torch.get_num_threads(), [1])) == [2]
    assert list(side_by_side(lambda _: 0, [])) == []


def test_an_error_comes_to_the_caller_and_parts_not_asked_for_are_not_begun() -> None:
    begun = []

    def do(part: int) -> int:
        begun.append(part)
        time.sleep(0.001)
        if part == 1:
            raise ValueError("part 1")
        return part

    results = side_by_side(do, range(1000))
    assert next(results) == 0
    with pytest.raises(ValueError, match="part 1"):
        next(results)
    assert len(begun) < 1000


def test_a_caller_that_stops_asking_stops_the_work() -> None:
    begun = []

    def do(part: int) -> int:
        begun.append(part)
        time.sleep(0.001)
        return part

    results = side_by_side(do, range(1000))
    next(results)
    results.close()  # type: ignore[attr-defined]
    assert len(begun) < 1000
