"""Checkpoints: a step's way to go on where a killed run stopped.

They stand in the store beside the step's output, named for their place in the training and their
content's digest, so that a damaged one is known:

    steps/train/<key>/checkpoints/000000400-1f3a….safetensors

Only the newest two are kept: should the newest be damaged, the one before it serves.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from data.store import Store
from tasks.seams.report import say

if TYPE_CHECKING:
    from torch import Tensor

CHECKPOINTS = "checkpoints"
NUM_KEPT = 2
DIGEST_LENGTH = 32


class Checkpoints:
    """The checkpoints in one folder of a store."""

    def __init__(self, store: Store, folder: str) -> None:
        self._store, self._folder = store, folder

    @property
    def path(self) -> str:
        """Where they stand."""
        return self._store.path(self._folder)

    def keep(self, step: int, tensors: Mapping[str, "Tensor"], values: Mapping[str, Any]) -> None:
        """Publish a checkpoint whole, then remove those that are too old to be needed."""
        from models.packing import packed  # with PyTorch, which most steps can do without

        plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        content = packed(plain, json.dumps(values, sort_keys=True))
        name = f"{self._folder}/{step:09d}-{_digest(content)}.safetensors"
        self._store.write_bytes(name, content)
        for old in self._store.names(self._folder)[:-NUM_KEPT]:
            self._store.delete(old)

    def newest(self) -> "tuple[dict[str, Tensor], dict[str, Any]] | None":
        """The newest whole checkpoint, if any; a damaged one is told, removed and passed over."""
        from models.packing import unpacked

        for name in reversed(self._store.names(self._folder)):
            content = self._store.read_bytes(name)
            if not name.endswith(f"-{_digest(content)}.safetensors"):
                say(
                    f"the checkpoint {self._store.path(name)} is damaged; going on from the one "
                    "before it",
                    logging.WARNING,
                )
                self._store.delete(name)
                continue
            return unpacked(content)
        return None

    def clear(self) -> None:
        """Remove all: the step's output is whole."""
        for name in self._store.names(self._folder):
            self._store.delete(name)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]
