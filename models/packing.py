"""Tensors and what is said of them as the bytes of one safetensors file, which nobody unpickles.

What is no tensor stands in the file's metadata as JSON, under a single key: safetensors does not
promise the order of several, and the same content is to give the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

METADATA_KEY = "bookloom"
HEADER_LENGTH_BYTES = 8  # a safetensors file opens with its JSON header's length, little-endian
# What a damaged header, damaged settings and tensors that do not fit them raise.
DAMAGE = (SafetensorError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError)


def packed(tensors: Mapping[str, Tensor], about: str) -> bytes:
    """The file's bytes; `about` is JSON."""
    return bytes(save(dict(tensors), {METADATA_KEY: about}))


def unpacked(content: bytes) -> tuple[dict[str, Tensor], Any]:
    """The tensors in the bytes of a file, and the values of its JSON.

    Raises:
        Exception: one of `DAMAGE`, if these are no such bytes.
    """
    length = int.from_bytes(content[:HEADER_LENGTH_BYTES], "little")
    header = json.loads(content[HEADER_LENGTH_BYTES : HEADER_LENGTH_BYTES + length])
    about = json.loads(header["__metadata__"][METADATA_KEY])
    return load(content), about


def content_digest(tensors: Mapping[str, Tensor], about: str) -> str:
    """SHA-256 over every tensor's name, type, shape and values, and the JSON."""
    total = hashlib.sha256(about.encode())
    for name, tensor in sorted(tensors.items()):
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.contiguous().numpy().tobytes())
    return total.hexdigest()
