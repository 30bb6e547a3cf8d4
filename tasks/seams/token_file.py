"""Token ids in a file, so that a text need not fit into memory."""

import os

import numpy as np

from models.special_tokens import TokenIds

ITEM_BYTES = 4


class TokenFile:
    """A file of int32 token ids. A slice reads just its part, and maps nothing into memory."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = os.open(path, os.O_RDONLY)
        self._length = os.fstat(self._file).st_size // ITEM_BYTES

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> TokenIds:
        first, last, _ = part.indices(self._length)
        content = os.pread(self._file, max(0, last - first) * ITEM_BYTES, first * ITEM_BYTES)
        return np.frombuffer(content, dtype=np.int32)

    def __reduce__(self) -> tuple[type["TokenFile"], tuple[str]]:
        """Processes that train together open the file anew."""
        return TokenFile, (self._path,)

    def __del__(self) -> None:
        os.close(self._file)
