"""Work on independent parts side by side, each on one thread of its own.

Searches are made of many small operations, most of which PyTorch runs on one thread however many
there are; parts side by side keep all of them busy.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import TypeVar

import torch

Part = TypeVar("Part")
Result = TypeVar("Result")


def side_by_side(do: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """What `do` makes of each part, in order; with several parts, as many at once as PyTorch has
    threads, each with one. What is not asked for any more is not begun.
    """
    num_threads = torch.get_num_threads()
    num_workers = min(num_threads, len(parts))
    if num_workers < 2:
        yield from map(do, parts)
        return
    started = Barrier(num_workers + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread takes over what is set for all when first asked
        torch.set_num_threads(1)
        started.wait()

    pool = ThreadPoolExecutor(num_workers, initializer=start)
    try:
        futures = [pool.submit(do, part) for part in parts]
        started.wait()
        # What a thread says holds for itself and for all that start later.
        torch.set_num_threads(num_threads)
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)
