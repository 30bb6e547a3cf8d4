"""Files that a command writes where its user says, whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import UserMistake
from data.filesystems import StoreTrouble
from data.store import Store


@contextmanager
def beside(out: str) -> Iterator[tuple[Store, str]]:
    """A store at the folder of a file that the user named, and the file's name there.

    Raises:
        UserMistake: the name is that of a folder, or something in the block cannot be written.
    """
    folder, name = os.path.split(out)
    remedy = "Name a file in a folder that you may write to, with --out."
    if not name:
        raise UserMistake(f"--out {out} names no file.", remedy)
    try:
        yield Store(folder or "."), name
    except StoreTrouble as error:
        raise UserMistake(f"{out} cannot be written: {error.cause}.", remedy) from error
