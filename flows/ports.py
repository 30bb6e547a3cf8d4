"""Ports on this machine, and who has them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import UserMistake

HOST = "127.0.0.1"


@contextmanager
def listening(port: int, setting: str = "--port") -> Iterator[socket.socket]:
    """A socket that listens on a port of this machine alone.

    Args:
        port: its number.
        setting: what chooses another, for who must do so.

    Raises:
        UserMistake: the port is taken, or may not be had.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
            listener.listen()
        except (OSError, OverflowError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise UserMistake(
                f"Port {port} of {HOST} cannot be had: {reason}.", f"Choose another with {setting}."
            ) from error
        yield listener
