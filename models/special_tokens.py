"""The tokens that no book holds, and what token ids are kept as."""

import numpy as np
import numpy.typing as npt

NOTHING, START, END, UNKNOWN = 0, 1, 2, 3
SPECIAL_TOKENS = ("_nothing_", "_start_", "_end_", "_unknown_")

TokenIds = npt.NDArray[np.int32]
