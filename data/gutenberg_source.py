"""Books of Project Gutenberg by their numbers: `gutenberg:1342`, from a mirror of one's choice.

    number --> the files that the mirror may hold of it, best first --> the first that is there

Its text made from the master file is best, then texts that people uploaded (`-0` is UTF-8, `-8` is
latin-1, neither is ASCII), where the website and where mirrors keep them; the EPUB comes last.
"""

import re
from collections.abc import Iterator
from itertools import product

from data.documents import Unreadable
from data.download import Downloader, NotThere, Unreachable
from data.download_cache import Fetched
from data.raw_book import EPUB, PLAIN_TEXT, RawBook

PREFIX = "gutenberg:"
MIRROR = "https://www.gutenberg.org"

_NUMBER = re.compile(r"[1-9][0-9]{0,5}")  # there are about 80,000 books


def fetch_gutenberg(source: str, downloader: Downloader, mirror: str = MIRROR) -> RawBook:
    """Fetch the best file that a mirror holds of a book.

    Args:
        source: `gutenberg:` and the book's number.
        downloader: what fetches it; files that are cached are not looked for elsewhere.
        mirror: the URL under which the mirror's tree begins.

    Raises:
        Unreachable: the mirror fails in ways that may pass; see `Downloader`.
        Unreadable: it is no number of a book, or the mirror has it nowhere.
    """
    number = book_number(source)
    found = cached_gutenberg(source, downloader, mirror)
    if found is None:
        urls = list(candidate_urls(number, mirror))
        found = _first_there(number, urls, downloader, mirror)
    url, fetched = found
    name = url.rsplit("/", 1)[-1]
    media_type = EPUB if name.endswith(".epub") else PLAIN_TEXT
    return RawBook(source, name, media_type, fetched.content, fetched.charset)


def cached_gutenberg(
    source: str, downloader: Downloader, mirror: str = MIRROR
) -> tuple[str, Fetched] | None:
    """What was fetched of a book before, and from which URL. Raises as `fetch_gutenberg`."""
    urls = candidate_urls(book_number(source), mirror)
    known = ((url, downloader.cached(url)) for url in urls)
    return next(((url, fetched) for url, fetched in known if fetched), None)


def candidate_urls(number: int, mirror: str = MIRROR) -> Iterator[str]:
    """Where a mirror may keep a book, best first."""
    mirror = mirror.rstrip("/")
    digits = str(number)
    generated = f"{mirror}/cache/epub/{digits}/pg{digits}"
    tree = "/".join([*(digits[:-1] or "0"), digits])  # 1342 is in 1/3/4/1342
    yield f"{generated}.txt"
    for folder, ending in product((f"files/{digits}", tree), ("-0", "-8", "")):
        yield f"{mirror}/{folder}/{digits}{ending}.txt"
    yield f"{generated}-images-3.epub"
    yield f"{generated}.epub"


def book_number(source: str) -> int:
    """The number that a source names.

    Raises:
        Unreadable: it is no number of a book.
    """
    digits = source.removeprefix(PREFIX)
    if not _NUMBER.fullmatch(digits):
        raise Unreadable(
            f"{digits!r} is no number of a Project Gutenberg book.",
            "Give the number in the address of the book's page, as in gutenberg:1342.",
        )
    return int(digits)


def _first_there(
    number: int, urls: list[str], downloader: Downloader, mirror: str
) -> tuple[str, Fetched]:
    first: Unreadable | None = None
    for url in urls:
        try:
            return url, downloader.fetch(url)
        except NotThere:
            continue
        except Unreachable:
            raise
        except Unreadable as error:  # mirrors answer with pages or 403 where they have nothing
            first = first or error
    if first is not None:
        raise first
    raise Unreadable(
        f"{mirror} holds neither a text nor an EPUB of book {number}.",
        "Check the number on gutenberg.org; some are of recordings or pictures. A new book reaches"
        " mirrors after some days.",
    )
