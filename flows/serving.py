"""Servers on this machine alone, until they are stopped."""

from typing import Any

import uvicorn

from flows.ports import HOST, listening


def serve(app: Any, port: int, what: str, path: str = "/") -> None:
    """Serve an ASGI application.

    Raises:
        UserMistake: the port is taken.
    """
    with listening(port) as listener:
        print(f"{what} at http://{HOST}:{port}{path} (Ctrl-C stops it)", flush=True)
        uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])
