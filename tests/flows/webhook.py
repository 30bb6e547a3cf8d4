"""A webhook on this machine that keeps what is posted to it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.local_server import QuietHandler, serving


class Webhook:
    """Answers requests with these statuses in turn, the last one for ever; a status of 0 never
    answers in time.
    """

    def __init__(self, statuses: list[int], slow_seconds: float) -> None:
        self.address = ""
        self.posted: list[dict[str, Any]] = []
        self.content_types: set[str | None] = set()
        self.statuses, self.slow_seconds = statuses, slow_seconds

    def take(self, handler: QuietHandler) -> None:
        self.content_types.add(handler.headers["Content-Type"])
        content = handler.rfile.read(int(handler.headers["Content-Length"]))
        self.posted.append(json.loads(content))
        status = self.statuses[min(len(self.posted), len(self.statuses)) - 1]
        if status == 0:
            time.sleep(self.slow_seconds)
            status = 200
        with suppress(ConnectionError):  # who asked has not waited
            handler.answer(status, b"{}")


@contextmanager
def webhook(*statuses: int, slow_seconds: float = 0.0) -> Iterator[Webhook]:
    """A webhook that lives as long as the block; by default all is well."""
    hook = Webhook(list(statuses) or [200], slow_seconds)

    class Handler(QuietHandler):
        def do_POST(self) -> None:  # noqa: N802  # as http.server wants it
            hook.take(self)

    with serving(Handler) as address:
        hook.address = f"{address}/hooks/a-secret-token"
        yield hook
