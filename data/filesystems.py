"""The filesystems that a store may stand on: opened, and their troubles told as mistakes.

An object store fails in ways that a folder does not: it is away, it refuses, its bucket is not
there. None of this is damage, so nothing may be removed or made anew because of it.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec

from data.errors import UserMistake, installing

FULL = (errno.ENOSPC, errno.EDQUOT)
NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)
OF_WRITING = (*FULL, errno.EROFS, errno.EIO, errno.EFBIG)
KEPT = "then run again: what was finished is kept."


class StoreTrouble(UserMistake):
    """A store cannot be used, though nothing in it is damaged: it is full, shut or away.

    `may_pass` tells whether it may be over by itself.
    """

    def __init__(self, path: str, cause: str, remedy: str, may_pass: bool) -> None:
        super().__init__(f"{path} cannot be used: {cause}.", remedy)
        self.path, self.cause, self.may_pass = path, cause, may_pass

    def __reduce__(self) -> tuple[type["StoreTrouble"], tuple[str, str, str, bool]]:
        # As `Damaged` does.
        return StoreTrouble, (self.path, self.cause, self.remedy, self.may_pass)


def opened(root: str) -> tuple[Any, str]:
    """The filesystem of a path or URL, and the place there.

    Raises:
        UserMistake: nothing that is installed knows such a URL.
    """
    try:
        # What a listing said is not remembered: other processes write here too.
        files, place = fsspec.core.url_to_fs(root, use_listings_cache=False)
    except (ImportError, ValueError) as error:
        raise UserMistake(
            f"The store {root} cannot be opened: {error}.",
            f"For s3://: {installing('team')}. For others install fsspec's package that knows "
            "them, or correct the address.",
        ) from error
    return files, str(place)


@contextmanager
def told(path: str, *, is_local: bool) -> Iterator[None]:
    """What goes wrong in a call of a filesystem, as a mistake that names the cause.

    That something is not there passes as it is.

    Raises:
        FileNotFoundError: it is not.
        StoreTrouble: whatever else.
    """
    try:
        yield
    except (FileNotFoundError, UserMistake):
        raise
    except OSError as error:
        raise trouble(path, error, is_local) from error
    except Exception as error:
        if is_local:
            raise
        raise trouble(path, error, is_local) from error  # a client's own kinds of errors


@contextmanager
def writing_told(path: str) -> Iterator[None]:
    """The same of a block that writes to an open file of this machine, and may do other things.

    Raises:
        StoreTrouble: the disk is full, or does not take what is written.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OF_WRITING:
            raise trouble(path, error, is_local=True) from error
        raise


def is_of_the_way(error: Exception) -> bool:
    """Whether an error while Parquet is read is that of a filesystem: Arrow's own have no number
    and no kind.
    """
    return isinstance(error, OSError) and (type(error) is not OSError or error.errno is not None)


def trouble(path: str, error: Exception, is_local: bool) -> StoreTrouble:
    """An error of a filesystem in a user's words."""
    number, reason = _number(error), getattr(error, "strerror", None)
    cause = " ".join((reason or str(error) or type(error).__name__).split()).rstrip(".")
    may_pass = not is_local and number not in (*FULL, *NOT_ALLOWED, errno.ENOENT)
    if number in FULL:
        remedy = f"Free some space (bookloom prune shows what no kept run needs), {KEPT}"
    elif number in NOT_ALLOWED and is_local:
        remedy = f"Make it writable to you, or choose another store, {KEPT}"
    elif number in NOT_ALLOWED:
        remedy = (
            "Check the credentials (AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE) "
            f"and what they may do there, {KEPT}"
        )
    elif number == errno.ENOENT:
        remedy = f"Make the bucket first, or correct the store's address, {KEPT}"
    elif is_local:
        remedy = f"See to the disk, or choose another store, {KEPT}"
    else:
        remedy = (
            "See that the object store is up, and that its address (AWS_ENDPOINT_URL) and your "
            f"credentials are right, {KEPT}"
        )
    return StoreTrouble(path, cause, remedy, may_pass)


def _number(error: Exception) -> int | None:
    """Clients of object stores leave it out where the kind of error says it."""
    kinds: dict[type[Exception], int] = {
        FileNotFoundError: errno.ENOENT,
        PermissionError: errno.EACCES,
    }
    return kinds.get(type(error)) or getattr(error, "errno", None)


def sync_folder(folder: str) -> None:
    """Make a rename in this folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
