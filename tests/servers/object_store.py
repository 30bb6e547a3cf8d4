"""An object store on this machine, moto's S3, that fails as often as it is told to."""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from flows.environment import PATIENCE
from tests.servers.processes import HOST

FAILURES = {"500": "500 Internal Server Error", "503": "503 Slow Down"}
CODES = {"500": "InternalError", "503": "SlowDown"}
RESET = "reset"


class ObjectStore:
    """moto's S3 in a thread of this process.

    Of each hundred requests `100 * error_rate` are answered 500 or 503, or cut off, before moto
    hears of them or, half of those that write, after it has done as it was told.
    """

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            def log(self, *_: Any) -> None:
                pass

        self.error_rate = 0.0
        self.failures: Counter[str] = Counter()
        self.num_requests = 0
        self._draw, self._lock = random.Random(1), threading.Lock()
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server(HOST, 0, self._answer, threaded=True, request_handler=Quiet)
        self.url = f"http://{HOST}:{self._server.port}"

    @property
    def environment(self) -> dict[str, str]:
        """What its clients need to know."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "bookloom",
            "AWS_SECRET_ACCESS_KEY": "a test's",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
            **{name: value for name, value in PATIENCE.items() if name.startswith("AWS_")},
        }

    def new_bucket(self, name: str) -> str:
        """Make a bucket; gives its URL."""
        import boto3

        boto3.client("s3").create_bucket(Bucket=name)
        return f"s3://{name}"

    @contextmanager
    def failing(self, error_rate: float) -> Iterator[None]:
        """Fail so often in the block."""
        self.error_rate = error_rate
        try:
            yield
        finally:
            self.error_rate = 0.0

    @contextmanager
    def serving(self) -> Iterator["ObjectStore"]:
        """Serve as long as the block."""
        thread = threading.Thread(target=self._server.serve_forever)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()

    def _answer(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        with self._lock:
            self.num_requests += 1
            kind = None
            if self._draw.random() < self.error_rate:
                kind = self._draw.choice([*FAILURES, RESET])
                self.failures[kind] += 1
            is_done_first = environ["REQUEST_METHOD"] == "PUT" and self._draw.random() < 0.5
        if kind is None:
            return list(self._moto(environ, start_response))
        if is_done_first:
            list(self._moto(environ, lambda *_: lambda _: None))
        else:
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if kind == RESET:
            _reset(environ["werkzeug.socket"])
        content = f"<Error><Code>{CODES[kind]}</Code></Error>".encode()
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(content)))]
        start_response(FAILURES[kind], headers)
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else content]


def _reset(connection: socket.socket) -> None:
    """Cut a connection off, as a machine that dies does."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError
