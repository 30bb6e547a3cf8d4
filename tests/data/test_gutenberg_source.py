import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from data.documents import Unreadable
from data.download import Downloader, DownloadSettings, Unreachable
from data.gutenberg_source import candidate_urls, fetch_gutenberg
from data.raw_book import EPUB, PLAIN_TEXT


class Mirror(ThreadingHTTPServer):
    """Holds some files; one that is a number makes it answer with this status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes | int] = {}
        self.asked: list[str] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        held = self.server.files.get(self.path, 404)
        status, body = (held, b"") if isinstance(held, int) else (200, held)
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    mirror = Mirror()
    thread = threading.Thread(target=mirror.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield mirror
    mirror.shutdown()
    thread.join()
    mirror.server_close()


@pytest.fixture
def downloader(tmp_path: Path) -> Downloader:
    settings = DownloadSettings(allow_private=True, pause_seconds=0, num_tries=2)
    return Downloader(tmp_path, settings, sleep=lambda seconds: None)


def test_a_number_names_these_files() -> None:
    assert list(candidate_urls(1342, "https://mirror.example/books/")) == [
        "https://mirror.example/books/cache/epub/1342/pg1342.txt",
        "https://mirror.example/books/files/1342/1342-0.txt",
        "https://mirror.example/books/files/1342/1342-8.txt",
        "https://mirror.example/books/files/1342/1342.txt",
        "https://mirror.example/books/1/3/4/1342/1342-0.txt",
        "https://mirror.example/books/1/3/4/1342/1342-8.txt",
        "https://mirror.example/books/1/3/4/1342/1342.txt",
        "https://mirror.example/books/cache/epub/1342/pg1342-images-3.epub",
        "https://mirror.example/books/cache/epub/1342/pg1342.epub",
    ]
    assert "https://www.gutenberg.org/0/5/5-0.txt" in candidate_urls(5)


def test_the_first_file_that_is_there_is_the_book(mirror: Mirror, downloader: Downloader) -> None:
    mirror.files["/files/1342/1342-8.txt"] = "Orgueil et Préjugés".encode("latin-1")
    mirror.files["/files/1342/1342.txt"] = b"Worse."
    book = fetch_gutenberg("gutenberg:1342", downloader, mirror.url)
    assert book.content == "Orgueil et Préjugés".encode("latin-1")
    assert (book.source, book.name) == ("gutenberg:1342", "1342-8.txt")
    assert (book.media_type, book.charset) == (PLAIN_TEXT, "utf-8")
    assert len(mirror.asked) == 3
    assert fetch_gutenberg("gutenberg:1342", downloader, mirror.url) == book
    assert len(mirror.asked) == 3


def test_an_epub_is_taken_where_there_is_no_text(mirror: Mirror, downloader: Downloader) -> None:
    mirror.files["/cache/epub/98/pg98.epub"] = b"PK..."
    book = fetch_gutenberg("gutenberg:98", downloader, mirror.url)
    assert (book.name, book.media_type) == ("pg98.epub", EPUB)


def test_a_mirror_without_the_book_is_said(mirror: Mirror, downloader: Downloader) -> None:
    with pytest.raises(Unreadable, match="holds neither a text nor an EPUB of book 999999"):
        fetch_gutenberg("gutenberg:999999", downloader, mirror.url)
    assert len(mirror.asked) == 9


PAGE = b"<!DOCTYPE html><title>Are you a robot?</title>"


def test_other_files_do_not_stand_in_for_one_that_may_be_had_later(
    mirror: Mirror, downloader: Downloader
) -> None:
    mirror.files |= {"/files/11/11-0.txt": b"Alice", "/cache/epub/11/pg11.txt": 500}
    with pytest.raises(Unreachable, match="status 500"):
        fetch_gutenberg("gutenberg:11", downloader, mirror.url)
    assert set(mirror.asked) == {"/cache/epub/11/pg11.txt"}


@pytest.mark.parametrize("refused", [PAGE, 403])
def test_other_files_stand_in_for_what_is_refused(
    refused: bytes | int, mirror: Mirror, downloader: Downloader
) -> None:
    mirror.files |= {"/cache/epub/11/pg11.txt": refused, "/files/11/11-8.txt": b"Alice"}
    assert fetch_gutenberg("gutenberg:11", downloader, mirror.url).content == b"Alice"
    assert len(mirror.asked) == 3


def test_the_first_refusal_is_told_where_nothing_is_had(
    mirror: Mirror, downloader: Downloader
) -> None:
    mirror.files |= {"/files/11/11-0.txt": PAGE, "/files/11/11-8.txt": 403}
    with pytest.raises(Unreadable, match=r"11-0\.txt is a web page"):
        fetch_gutenberg("gutenberg:11", downloader, mirror.url)
    assert len(mirror.asked) == 9


@pytest.mark.parametrize(
    "number", ["abc", "0", "-1", "01342", "1342 ", "9999999", "1342/..", "", "１"]
)
def test_what_is_no_number_is_refused(number: str, downloader: Downloader) -> None:
    with pytest.raises(Unreadable, match="is no number of a Project Gutenberg book") as raised:
        fetch_gutenberg(f"gutenberg:{number}", downloader, "http://mirror.example")
    assert repr(number) in raised.value.reason
    assert "gutenberg:1342" in raised.value.remedy
