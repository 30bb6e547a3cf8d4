"""One thread for products and sums, whose bits would otherwise differ from run to run.

Sums split among threads come in another order.
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import sklearn.cluster  # noqa: F401  # its OpenMP must be there before it is looked for
from threadpoolctl import ThreadpoolController


def one_thread() -> AbstractContextManager[Any]:
    """A block in which BLAS and OpenMP use one thread. Looking for them takes 5 ms, once."""
    block: AbstractContextManager[Any] = _controller().limit(limits=1)
    return block


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()
