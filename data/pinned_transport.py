"""Connections to addresses that were checked first: what keeps downloads out of private networks.

    host --(one look-up)--> addresses --(all public?)--> a transport that connects to these alone

A name is looked up once, and the transport never sees it: so a server of names that gives a public
address to the check and a private one to the connection ("DNS rebinding") gains nothing. The name
is still what a certificate must be for. Proxies of the environment are not used, since what they
connect to can't be checked.
"""

import ipaddress
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpcore
import httpx

from data.documents import Unreadable

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # how networks of IPv6 alone reach IPv4
_KINDS = ("unspecified", "loopback", "link_local", "multicast", "reserved", "private")


class Interrupted(Exception):
    """What failed and may pass, said of the server: `it did not answer in time`."""

    def __init__(self, what: str, retry_after_seconds: float | None = None) -> None:
        super().__init__(what)
        self.what, self.retry_after_seconds = what, retry_after_seconds


def checked_addresses(url: httpx.URL, allow_private: bool) -> tuple[str, ...]:
    """The addresses of a URL's host, in the order in which to try them.

    The system's own look-up reads the host, so `2130706433` and `0x7f.1` are seen to be 127.0.0.1.

    Raises:
        Unreadable: one of them is not on the public internet, and `allow_private` is false.
        Interrupted: the host was not found.
    """
    host = url.raw_host.decode("ascii")
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise Interrupted(f"its host {host} was not found ({error.strerror})") from error
    except UnicodeError:
        raise Unreadable(
            f"{url} can't be fetched: {host} is no host's name.", "Check the address."
        ) from None
    addresses = tuple(dict.fromkeys(str(one[4][0]) for one in found))
    for address in () if allow_private else addresses:
        if (kind := _kind_unless_public(address)) is not None:
            raise Unreadable(
                f"{url} is not fetched: its host is at {address}, a {kind} address.",
                "If you trust it, set read.finding.download.allow_private; or save the file and"
                " name its path.",
            )
    return addresses


def _kind_unless_public(address: str) -> str | None:
    """What kind of address this is, in a word; None for one on the public internet."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        parsed = _carried_ipv4(parsed) or parsed
    for kind in _KINDS:
        if getattr(parsed, f"is_{kind}"):
            return kind.replace("_", "-")
    is_unicast = parsed.version == 4 or parsed in _GLOBAL_UNICAST
    return None if parsed.is_global and is_unicast else "special"


def _carried_ipv4(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """The IPv4 address that an IPv6 address stands for, where it is such a one."""
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else None)


class PinnedTransport(httpx.BaseTransport):
    """Sends a request to given addresses, whatever its URL's host, within a time limit over all.

    The limit also ends what httpx's own time-outs let pass: a server that sends a byte now and
    then. Failures of the network are raised as `Interrupted`, bad certificates as `Unreadable`.
    """

    def __init__(self, addresses: Sequence[str], most_seconds: float, tls: ssl.SSLContext) -> None:
        backend = _PinnedBackend(addresses, time.monotonic() + most_seconds)
        self._pool = httpcore.ConnectionPool(ssl_context=tls, network_backend=backend)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request; its answer's body is read as it is asked for."""
        sent = httpcore.Request(
            method=request.method,
            url=httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            extensions=request.extensions,
        )
        with _failures_of(request.url):
            answer = self._pool.handle_request(sent)
        body = _Body(request.url, answer)
        return httpx.Response(answer.status, headers=answer.headers, stream=body)

    def close(self) -> None:
        """Close the connection."""
        self._pool.close()


class _Body(httpx.SyncByteStream):
    def __init__(self, url: httpx.URL, answer: httpcore.Response) -> None:
        self._url, self._answer = url, answer

    def __iter__(self) -> Iterator[bytes]:
        with _failures_of(self._url):
            yield from self._answer.iter_stream()

    def close(self) -> None:
        self._answer.close()


@contextmanager
def _failures_of(url: httpx.URL) -> Iterator[None]:
    try:
        yield
    except httpcore.TimeoutException as error:
        raise Interrupted("it did not answer in time") from error
    except httpcore.ConnectError as error:
        (cause,) = error.args  # httpcore's pool drops it from __cause__
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise Unreadable(
                f"{url} is not fetched: its certificate is not valid ({cause.verify_message}).",
                "Check the address and this computer's clock; a certificate authority of your own"
                " is named by SSL_CERT_FILE.",
            ) from error
        raise Interrupted(f"it could not be connected to ({cause})") from error
    except (httpcore.NetworkError, httpcore.ProtocolError) as error:
        raise Interrupted(f"the connection was cut ({error})") from error


class _PinnedBackend(httpcore.NetworkBackend):
    def __init__(self, addresses: Sequence[str], deadline: float) -> None:
        self._addresses, self._deadline = addresses, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        *others, last = self._addresses
        connect = httpcore.SyncBackend().connect_tcp
        for address in others:
            try:
                return _BoundedStream(connect(address, port, timeout), self._deadline)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue  # such as an IPv6 address where the network has none
        return _BoundedStream(connect(last, port, timeout), self._deadline)


class _BoundedStream(httpcore.NetworkStream):
    """A connection on which nothing waits beyond a deadline, in seconds of `time.monotonic`."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        secured = self._stream.start_tls(ssl_context, server_hostname, self._left(timeout))
        return _BoundedStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)

    def _left(self, timeout: float | None) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the whole time is used up")
        return left if timeout is None else min(left, timeout)
