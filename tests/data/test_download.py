"""Downloads from a real server that misbehaves; names of the internet lead to it, and nowhere else.

`books.example` and `other.example` have public addresses, and connections to these are led to the
server; the server's own address, 127.0.0.1, stays what it is: a private one.
"""

import errno
import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from data.documents import Unreadable
from data.download import Downloader, DownloadSettings, NotThere, Unreachable
from data.filesystems import StoreTrouble
from data.pinned_transport import checked_addresses

TEXT = b"It is a truth universally acknowledged. " * 500
PUBLIC = {"books.example": "93.184.216.34", "other.example": "93.184.216.35"}
URL = "http://books.example/emma.txt"

Answer = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.requests.append(self)
            answers = self.server.answers.get(self.path.split("?")[0], [answer(404)])
            following = answers.pop(0) if len(answers) > 1 else answers[0]
        self.close_connection = True
        following(self)

    def version_string(self) -> str:
        return "test"

    def log_message(self, *_: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Answers each path with its answers in turn, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[Handler] = []
        self.over = threading.Event()

    @property
    def asked(self) -> list[str]:
        return [request.path for request in self.requests]

    def handle_error(self, *_: Any) -> None:
        pass  # clients hang up on what they don't want


def answer(status: int, body: bytes = b"", declared: int | None = None, **headers: str) -> Answer:
    """An answer, with any declared length of its body; `Content_Type` means Content-Type."""

    def send(handler: Handler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body) if declared is None else declared))
        handler.end_headers()
        handler.wfile.write(body)

    return send


def sends_on(location: str) -> Answer:
    return answer(302, Location=location)


def silent(handler: Handler) -> None:
    handler.server.over.wait(20)


def drip(handler: Handler) -> None:
    """A byte now and then, each before the silence is too long."""
    answer(200, declared=10**6)(handler)
    while not handler.server.over.wait(0.03):
        handler.wfile.write(b".")


def drip_of_headers(handler: Handler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while not handler.server.over.wait(0.03):
        handler.wfile.write(b".")


def endless(handler: Handler) -> None:
    handler.send_response(200)
    handler.end_headers()
    while not handler.server.over.is_set():
        handler.wfile.write(b"endless " * 1000)


def resumable(*lengths: int, etag: str = '"one"') -> list[Answer]:
    """Answers that send the text from where they are asked to, but only so many bytes of it."""

    def send(handler: Handler, length: int) -> None:
        asked = handler.headers["Range"]
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        headers = {"ETag": etag}
        if asked:
            headers["Content_Range"] = f"bytes {start}-{len(TEXT) - 1}/{len(TEXT)}"
        rest = TEXT[start : start + length]
        answer(206 if asked else 200, rest, len(TEXT) - start, **headers)(handler)

    return [lambda handler, length=length: send(handler, length) for length in lengths]  # type: ignore[misc]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    look_up, connect = socket.getaddrinfo, socket.create_connection

    def fake_look_up(host: Any, port: Any, *rest: Any, **options: Any) -> Any:
        return look_up(PUBLIC.get(host, host), port, *rest, **options)

    def fake_connect(address: tuple[str, int], *rest: Any, **options: Any) -> socket.socket:
        is_public = address[0] in PUBLIC.values()
        return connect(server.server_address if is_public else address, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", fake_look_up)
    monkeypatch.setattr(socket, "create_connection", fake_connect)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.over.set()
    server.shutdown()
    thread.join()
    server.server_close()


class Patience(list[float]):
    """Waits that were asked for, none of them waited."""

    def downloader(self, folder: Path, **settings: Any) -> Downloader:
        quick = {"pause_seconds": 0.0, "timeout_seconds": 5.0, "num_tries": 3}
        return Downloader(folder, DownloadSettings(**(quick | settings)), sleep=self.append)


@pytest.fixture
def waits() -> Patience:
    return Patience()


def assert_nothing_is_kept(folder: Path) -> None:
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.parent.name for path in kept} <= {"turns"}


def test_a_url_is_fetched_once_by_someone_who_says_who(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT, Content_Type="Text/Plain; charset=UTF-8")]
    downloader = waits.downloader(tmp_path, contact="mailto:me@example.org")
    assert downloader.cached(URL) is None
    fetched = downloader.fetch(URL)
    assert fetched.content == TEXT
    assert (fetched.url, fetched.content_type, fetched.charset) == (URL, "text/plain", "utf-8")
    assert fetched.sha256 == sha256(TEXT).hexdigest()
    again = waits.downloader(tmp_path)
    assert again.fetch(f"{URL}#chapter-1") == again.cached(URL) == fetched
    (request,) = server.requests
    assert request.headers["User-Agent"] == "bookloom/0.1 (+mailto:me@example.org)"
    assert request.headers["Host"] == "books.example"
    assert waits == []


def test_redirections_are_followed_and_their_end_is_told(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [sends_on("/old")]
    server.answers["/old"] = [sends_on("http://other.example/new")]
    server.answers["/new"] = [answer(200, TEXT)]
    downloader = waits.downloader(tmp_path)
    assert downloader.fetch(URL).url == "http://other.example/new"
    assert downloader.fetch(URL).content == TEXT
    assert server.asked == ["/emma.txt", "/old", "/new"]


@pytest.mark.parametrize("bad", [answer(503), answer(500), answer(429), answer(408)])
def test_what_may_pass_is_tried_again_after_growing_waits(
    bad: Answer, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [bad, bad, answer(200, TEXT)]
    assert waits.downloader(tmp_path, first_wait_seconds=8).fetch(URL).content == TEXT
    first, second = waits
    assert 4 <= first <= 8 <= second <= 16
    assert len(server.requests) == 3


def test_tries_come_to_an_end(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers["/emma.txt"] = [answer(503)]
    with pytest.raises(Unreachable, match="in 3 tries; at the last, it answered with status 503"):
        waits.downloader(tmp_path, most_wait_seconds=0.5).fetch(URL)
    assert len(server.requests) == 3
    assert waits == [0.5, 0.5]
    assert_nothing_is_kept(tmp_path)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "7"}, 7.0),
        ({"Retry_After": "86400"}, 120.0),
        ({"Retry_After": "9" * 400}, 120.0),
        # The server's clock, in `Date`, is years behind: the difference is what counts.
        (
            {
                "Retry_After": "Wed, 21 Oct 2015 07:28:30 GMT",
                "Date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            30.0,
        ),
        ({"Retry_After": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"Retry_After": f"{datetime.now(UTC) + timedelta(1):%a, %d %b %Y %H:%M:%S GMT}"}, 120.0),
    ],
)
def test_a_server_is_left_alone_for_as_long_as_it_asks(
    headers: dict[str, str], seconds: float, server: Server, tmp_path: Path, waits: Patience
) -> None:
    def busy(handler: Handler) -> None:
        handler.send_response_only(429)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    server.answers["/emma.txt"] = [busy, answer(200, TEXT)]
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    assert waits == [seconds]


def test_a_time_that_no_calendar_has_is_no_time(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    far = answer(503, Retry_After="Mon, 01 Jan 99999999999999999999 00:00:00 GMT")
    server.answers["/emma.txt"] = [far, answer(200, TEXT)]
    assert waits.downloader(tmp_path, first_wait_seconds=8).fetch(URL).content == TEXT
    [wait] = waits
    assert 4 <= wait <= 8


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        ("text/plain; Charset=UTF-8", "utf-8"),
        ('text/plain;format=flowed; charset = "ISO-8859-1"', "iso-8859-1"),
        ("text/plain; charset*= \\''%)", None),
        ("text/plain; charset=", None),
        ("text/plain", None),
    ],
)
def test_any_content_type_is_read(
    content_type: str, charset: str | None, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT, Content_Type=content_type)]
    fetched = waits.downloader(tmp_path).fetch(URL)
    assert (fetched.content_type, fetched.charset) == ("text/plain", charset)


@pytest.mark.parametrize("bad", [silent, drip, drip_of_headers])
def test_a_slow_server_is_given_up(
    bad: Answer, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [bad]
    with pytest.raises(Unreachable, match="in 2 tries; at the last, it did not answer in time"):
        waits.downloader(tmp_path, timeout_seconds=0.2, most_seconds=0.5, num_tries=2).fetch(URL)
    assert len(server.requests) == 2
    assert_nothing_is_kept(tmp_path)


@pytest.mark.parametrize(
    "bad",
    [
        answer(200, TEXT[:100], declared=len(TEXT)),  # cut off, or a wrong length
        answer(200, gzip.compress(TEXT)[:-30], Content_Encoding="gzip"),
        answer(200, TEXT, Content_Encoding="gzip"),
        answer(206, TEXT[:100], Content_Range=f"bytes 0-99/{len(TEXT)}"),
        lambda handler: None,
    ],
    ids=["short", "short gzip", "no gzip", "a part", "no answer"],
)
def test_what_is_not_whole_is_asked_for_again(
    bad: Answer, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [bad, answer(200, TEXT)]
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    assert len(server.requests) == 2
    server.answers["/emma.txt"] = [bad]
    with pytest.raises(Unreachable):
        waits.downloader(tmp_path / "anew").fetch(URL)
    assert_nothing_is_kept(tmp_path / "anew")


def test_a_body_ends_where_its_length_says(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT + b"HTTP/1.1 404 Evil", declared=len(TEXT))]
    server.answers["/next.txt"] = [answer(200, b"Next.")]
    downloader = waits.downloader(tmp_path)
    assert downloader.fetch(URL).content == TEXT
    assert downloader.fetch("http://books.example/next.txt").content == b"Next."


def test_a_cut_body_goes_on_where_it_ended(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers["/emma.txt"] = resumable(7000, 5000, len(TEXT))
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    ranges = [(one.headers["Range"], one.headers["If-Range"]) for one in server.requests]
    assert ranges == [(None, None), ("bytes=7000-", '"one"'), ("bytes=12000-", '"one"')]


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (answer(200, TEXT), "the text changed, or it can't send parts"),
        (answer(416), "nothing is there from byte 7000 on"),
        (resumable(10**6, etag='"two"')[0], "a part of another version"),
        (
            answer(206, TEXT[7000:], ETag='"one"', Content_Range=f"bytes {'0' * 5000}7000-1/2"),
            "a place of 5,000 digits",
        ),
    ],
)
def test_a_body_that_changed_is_read_from_its_beginning(
    second: Answer, why: str, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [*resumable(7000), second, answer(200, TEXT)]
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT, why
    assert server.requests[1].headers["Range"] == "bytes=7000-"
    assert all(one.headers["Range"] is None for one in server.requests[2:])


def test_a_weak_etag_is_nothing_to_go_on_from(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = resumable(7000, len(TEXT), etag='W/"one"')
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    assert server.requests[1].headers["Range"] is None


@pytest.mark.parametrize(
    ("status", "reason"),
    [(403, "forbids it"), (418, "status 418"), (204, "status 204"), (304, "status 304")],
)
def test_what_will_not_pass_is_tried_once(
    status: int, reason: str, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [answer(status)]
    with pytest.raises(Unreadable, match=reason) as raised:
        waits.downloader(tmp_path).fetch(URL)
    assert type(raised.value) is Unreadable
    assert URL in raised.value.reason
    assert (len(server.requests), waits) == (1, [])
    assert_nothing_is_kept(tmp_path)


def test_what_is_not_there_is_told_apart(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers["/gone.txt"] = [answer(410)]
    for url in (URL, "http://books.example/gone.txt"):
        with pytest.raises(NotThere):
            waits.downloader(tmp_path).fetch(url)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"<!DOCTYPE html><p>Not found", "text/html"),
        (b"\n<!-- a --><!-- b -->\n<HTML lang=en>", "text/plain"),
        (b'\xef\xbb\xbf<?xml version="1.0"?><!DOCTYPE html>', "application/octet-stream"),
        (b" <p>Not found", "text/html"),
    ],
)
def test_a_page_in_place_of_a_file_is_noticed(
    body: bytes, content_type: str, server: Server, tmp_path: Path, waits: Patience
) -> None:
    for path in ("/emma.txt", "/emma.epub", "/emma.html", "/emma"):
        server.answers[path] = [answer(200, body, Content_Type=content_type)]
    downloader = waits.downloader(tmp_path)
    for url in (URL, "http://books.example/emma.epub?x=.html"):
        with pytest.raises(Unreadable, match="is a web page"):
            downloader.fetch(url)
    assert_nothing_is_kept(tmp_path)
    for path in ("/emma.html", "/emma"):
        assert downloader.fetch(f"http://books.example{path}").content == body


def test_a_text_that_the_server_calls_a_page_is_a_text(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    bodies = [b"Emma <html>", b"<!-- " * 2000, b"<!-- a -->" * 2000 + b"<"]
    for number, body in enumerate(bodies):
        server.answers[f"/{number}.txt"] = [answer(200, body, Content_Type="text/plain")]
        fetched = waits.downloader(tmp_path).fetch(f"http://books.example/{number}.txt")
        assert fetched.content == body


@pytest.mark.parametrize(
    "large",
    [
        answer(200, declared=10**12),
        endless,
        answer(200, gzip.compress(bytes(10**7)), Content_Encoding="gzip"),
    ],
    ids=["declared", "endless", "gzip bomb"],
)
def test_what_is_too_large_is_not_read(
    large: Answer, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [large]
    with pytest.raises(Unreadable, match="larger than 50,000 bytes"):
        waits.downloader(tmp_path, most_bytes=50_000).fetch(URL)
    assert len(server.requests) == 1
    assert_nothing_is_kept(tmp_path)


def test_the_largest_size_is_allowed(server: Server, tmp_path: Path, waits: Patience) -> None:
    packed = answer(200, gzip.compress(TEXT), Content_Encoding="gzip")
    server.answers |= {"/emma.txt": [answer(200, TEXT)], "/packed.txt": [packed]}
    downloader = waits.downloader(tmp_path, most_bytes=len(TEXT))
    assert downloader.fetch(URL).content == TEXT
    assert downloader.fetch("http://books.example/packed.txt").content == TEXT
    too_small = waits.downloader(tmp_path / "anew", most_bytes=len(TEXT) - 1)
    for path in ("emma", "packed"):
        with pytest.raises(Unreadable, match="larger"):
            too_small.fetch(f"http://books.example/{path}.txt")


def test_redirections_come_to_an_end(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers |= {"/emma.txt": [sends_on("/b")], "/b": [sends_on("/emma.txt")]}
    with pytest.raises(Unreadable, match="from redirection to redirection"):
        waits.downloader(tmp_path, most_redirects=4).fetch(URL)
    assert len(server.requests) == 5
    assert waits == []


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ("http://127.0.0.1:{port}/secret", "127.0.0.1, a loopback address"),
        ("http://localhost:{port}/secret", "a loopback address"),
        ("//[::ffff:127.0.0.1]:{port}/secret", "a loopback address"),
        ("http://169.254.169.254/latest/meta-data", "a link-local address"),
        ("file:///etc/passwd", "no address on the web"),
        ("ftp://books.example/secret", "no address on the web"),
        ("http://me:word@books.example/secret", "a user's name or password"),
        ("http://[oops/secret", "is no URL"),
        ("http://0177.0.0.1/secret", "leads to no address"),
        ("https://xn--a/secret", "leads to no address"),
    ],
)
def test_redirections_lead_to_no_forbidden_place(
    location: str, reason: str, server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [sends_on(location.format(port=server.server_port))]
    server.answers["/secret"] = [answer(200, b"secret")]
    with pytest.raises(Unreadable, match=reason) as raised:
        waits.downloader(tmp_path).fetch(URL)
    assert URL in raised.value.reason
    assert not isinstance(raised.value, Unreachable)
    assert server.asked == ["/emma.txt"]
    assert_nothing_is_kept(tmp_path)


@pytest.mark.parametrize(
    ("host", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.1", "loopback"),
        ("2130706433", "loopback"),
        ("0x7f000001", "loopback"),
        ("0x7f.1", "loopback"),
        ("127。0。0。1", "loopback"),
        ("[::1]", "loopback"),
        ("[::ffff:127.0.0.1]", "loopback"),
        ("[::ffff:7f00:1]", "loopback"),
        ("[64:ff9b::7f00:1]", "loopback"),
        ("[2002:7f00:1::]", "loopback"),
        ("0", "unspecified"),
        ("[::]", "unspecified"),
        ("10.1.2.3", "private"),
        ("167838211", "private"),  # 10.1.2.3
        ("172.16.0.1", "private"),
        ("192.168.0.1", "private"),
        ("[fc00::1]", "private"),
        ("[::ffff:192.168.0.1]", "private"),
        ("[2001:db8::1]", "private"),
        ("169.254.169.254", "link-local"),
        ("[fe80::1]", "link-local"),
        ("224.0.0.1", "multicast"),
        ("[ff02::1]", "multicast"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("[::7f00:1]", "reserved"),
        ("100.64.0.1", "special"),
        ("[fec0::1]", "special"),
        ("[64:ff9b:1::7f00:1]", "reserved"),
    ],
)
def test_private_addresses_are_refused_however_they_are_written(
    host: str, kind: str, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: Any, **__: Any) -> None:
        pytest.fail("a connection was made")

    monkeypatch.setattr(socket, "create_connection", connect)
    with pytest.raises(Unreadable, match=f"a {kind} address") as raised:
        waits.downloader(tmp_path).fetch(f"http://{host}/emma.txt")
    assert not isinstance(raised.value, Unreachable)


@pytest.mark.parametrize("host", ["8.8.8.8", "[2606:4700::1111]", "[::ffff:8.8.8.8]"])
def test_public_addresses_are_allowed(host: str) -> None:
    url = httpx.URL(f"http://{host}/")
    assert checked_addresses(url, allow_private=False) == (url.host,)


def test_private_addresses_can_be_allowed(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    url = f"http://localhost:{server.server_port}/emma.txt"
    assert waits.downloader(tmp_path, allow_private=True).fetch(url).content == TEXT


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of names that says something else the second time gains nothing."""
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    said = iter(["93.184.216.34", "127.0.0.1", "127.0.0.1"])
    look_up = socket.getaddrinfo

    def two_faced(host: Any, *rest: Any, **options: Any) -> Any:
        return look_up(next(said) if host == "books.example" else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", two_faced)
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    assert next(said) == "127.0.0.1"  # the first of two that were never asked for


def test_a_host_with_one_private_address_is_refused(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [(socket.AF_INET, 0, 0, "", (address, 0)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: both)
    with pytest.raises(Unreadable, match=r"10\.0\.0\.1, a private address"):
        waits.downloader(tmp_path).fetch(URL)
    assert server.asked == []


def test_the_next_address_is_tried_where_one_does_not_answer(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    tried, connect = [], socket.create_connection
    both = [(socket.AF_INET, 0, 0, "", (address, 0)) for address in ("8.8.8.8", "93.184.216.34")]
    look_up = socket.getaddrinfo

    def look_up_both(host: Any, *rest: Any, **options: Any) -> Any:
        return both if host == "books.example" else look_up(host, *rest, **options)

    def refuse_first(address: tuple[str, int], *rest: Any, **options: Any) -> socket.socket:
        tried.append(address)
        if address[0] == "8.8.8.8":
            raise ConnectionRefusedError
        return connect(address, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", look_up_both)
    monkeypatch.setattr(socket, "create_connection", refuse_first)
    assert waits.downloader(tmp_path).fetch(URL).content == TEXT
    assert tried == [("8.8.8.8", 80), ("93.184.216.34", 80)]


def test_an_unknown_host_may_be_known_later(
    tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Unreachable, match=r"its host books\.example was not found"):
        waits.downloader(tmp_path).fetch(URL)
    assert len(waits) == 2


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "no address on the web"),
        ("emma.txt", "no address on the web"),
        ("file:///etc/passwd", "no address on the web"),
        ("http://", "no address on the web"),
        ("http://me:word@books.example/", "a user's name or password"),
        ("http://0177.0.0.1/", "is no URL"),
        ("http://books.example:99999/", "is no URL"),
        ("http://[fe80::1%25eth0]/", "is no URL"),
        ("https://xn--a/", "is no URL"),
        ("https://books.example/caf\udce9.txt", "is no URL"),
        (f"http://{'a' * 70}.example/", "no host's name|is no URL"),
    ],
)
def test_bad_urls_are_refused(url: str, reason: str, tmp_path: Path, waits: Patience) -> None:
    with pytest.raises(Unreadable, match=reason) as raised:
        waits.downloader(tmp_path).fetch(url)
    assert "word" not in raised.value.reason.replace("password", "")


def test_proxies_and_passwords_of_the_environment_are_not_used(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    (tmp_path / "netrc").write_text("machine books.example login me password word\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9/")
    assert waits.downloader(tmp_path / "cache").fetch(URL).content == TEXT
    assert server.requests[0].headers["Authorization"] is None


def test_hosts_get_a_pause_between_requests(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    server.answers["/emma.txt"] = [sends_on("/a.txt")]
    server.answers["/a.txt"] = [answer(200, TEXT)]
    waits.downloader(tmp_path, pause_seconds=10**6).fetch(URL)
    assert len(waits) == 1  # before the second request
    assert 10**6 - 3600 < waits[0] <= 10**6
    waits.downloader(tmp_path, pause_seconds=10**6).fetch("http://books.example/a.txt")
    assert len(waits) == 2  # another downloader shares the folder
    waits.downloader(tmp_path, pause_seconds=10**6).fetch("http://other.example/a.txt")
    assert len(waits) == 2


def test_a_host_gets_one_request_at_a_time(server: Server, tmp_path: Path) -> None:
    """Each request waits for another to come beside it; none may."""
    guests = threading.Semaphore(1)
    met: list[str] = []

    def lonely(handler: Handler) -> None:
        if not guests.acquire(blocking=False):
            met.append(handler.path)
            return
        handler.server.over.wait(0.05)
        guests.release()
        answer(200, handler.path.encode())(handler)

    urls = [f"http://books.example/{number}.txt" for number in range(6)]
    server.answers |= {f"/{number}.txt": [lonely] for number in range(6)}
    settings = DownloadSettings(pause_seconds=0)
    with ThreadPoolExecutor(6) as pool:
        fetched = pool.map(lambda url: Downloader(tmp_path, settings).fetch(url).content, urls)
        assert list(fetched) == [f"/{number}.txt".encode() for number in range(6)]
    assert met == []


@pytest.mark.parametrize("folder", ["notes", "contents"])
@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b"", lambda b: b"{}", None])
def test_a_damaged_cache_is_noticed_and_mended(
    folder: str,
    damage: Callable[[bytes], bytes] | None,
    server: Server,
    tmp_path: Path,
    waits: Patience,
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    downloader = waits.downloader(tmp_path)
    downloader.fetch(URL)
    (path,) = (tmp_path / folder).iterdir()
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage(path.read_bytes()))
    assert downloader.cached(URL) is None
    assert downloader.fetch(URL).content == TEXT
    assert downloader.cached(URL) is not None
    assert len(server.requests) == 2


def test_a_note_leads_nowhere_outside_the_cache(
    server: Server, tmp_path: Path, waits: Patience
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    downloader = waits.downloader(tmp_path / "cache")
    downloader.fetch(URL)
    (path,) = (tmp_path / "cache/notes").iterdir()
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sha256": "../../secret"}))
    assert downloader.cached(URL) is None


def test_one_content_is_kept_once(server: Server, tmp_path: Path, waits: Patience) -> None:
    server.answers |= {"/emma.txt": [answer(200, TEXT)], "/same.txt": [answer(200, TEXT)]}
    for url in (URL, "http://books.example/same.txt"):
        waits.downloader(tmp_path).fetch(url)
    assert len(list((tmp_path / "notes").iterdir())) == 2
    assert [path.read_bytes() for path in (tmp_path / "contents").iterdir()] == [TEXT]


def test_a_write_that_fails_leaves_nothing(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    server.answers["/emma.txt"] = [answer(200, TEXT)]
    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreTrouble, match="No space left on device") as raised:
        waits.downloader(tmp_path).fetch(URL)
    assert raised.value.remedy.startswith("Free some space")
    assert_nothing_is_kept(tmp_path)


def test_a_folder_that_cannot_be_made_is_told(
    server: Server, tmp_path: Path, waits: Patience, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    (tmp_path / "file").touch()
    below = waits.downloader(tmp_path / "file" / "downloads")
    for use in (below.cached, below.fetch):
        with pytest.raises(StoreTrouble, match="file/downloads cannot be used: Not a directory"):
            use(URL)

    def forbid(path: Path, *_: Any, **__: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "mkdir", forbid)
    with pytest.raises(StoreTrouble, match="Permission denied") as raised:
        waits.downloader(tmp_path / "home").fetch(URL)
    assert raised.value.remedy.startswith("Make it writable to you")
    assert server.asked == []


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of `books.example` that nobody signed, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "books.example")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("books.example")]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = tmp_path / "certificate.pem"
    path.write_bytes(pem + signed.public_bytes(serialization.Encoding.PEM))
    return path


def test_certificates_are_for_the_name_and_signed_by_someone_known(
    server: Server,
    certificate: Path,
    tmp_path: Path,
    waits: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    server.answers["/emma.txt"] = [answer(200, TEXT)]
    url = URL.replace("http:", "https:")
    with pytest.raises(Unreadable, match="its certificate is not valid") as raised:
        waits.downloader(tmp_path / "cache").fetch(url)
    assert not isinstance(raised.value, Unreachable)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert waits.downloader(tmp_path / "cache").fetch(url).content == TEXT
    with pytest.raises(Unreadable, match="its certificate is not valid"):
        waits.downloader(tmp_path / "cache").fetch(url.replace("books", "other"))
    assert server.asked == ["/emma.txt"]
    assert waits == []
