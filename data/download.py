"""Download what a URL holds: politely, once, and from the public internet alone.

    URL --> cache --(not there)--> tries --(each: redirections, one request each)--> bytes --> cache

A request waits for its turn at the host, goes to an address that was checked, says who asks, and
reads no more than is allowed. What failed and may pass is tried again after a growing wait; a body
that was cut off goes on where it ended, if the server can do that. Whatever is no book for good is
`Unreadable`.
"""

import random
import re
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from hashlib import sha256
from pathlib import Path, PurePosixPath

import httpx
from pydantic import Field

from data.addresses import without_login
from data.arriving_body import ArrivingBody
from data.documents import Unreadable
from data.download_cache import DownloadCache, Fetched
from data.pinned_transport import Interrupted, PinnedTransport, checked_addresses
from data.settings import Settings

_NEVER_HTML = {".txt", ".md", ".epub", ".zip"}
_PAGE_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*+<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
# The standard library's reading of a Content-Type ends in errors of its own where that is odd.
_CHARSET = re.compile(r";\s*charset\s*=\s*[\"']?([\w.:+-]{1,40})", re.IGNORECASE | re.ASCII)
_REASONS = {
    401: "its server asks for a password",
    403: "its server forbids it",
    404: "there is nothing at this address",
    410: "what was at this address is gone",
    451: "it is withheld for legal reasons",
}
_LOOK = "Open it in a browser to see what is there, or save the file and name its path."


class DownloadSettings(Settings):
    """How politely, how patiently and how much is downloaded."""

    contact: str = Field("", pattern=r"^[\x20-\x7e]*$")
    """Your e-mail address or web page, told to servers so that their owners can reach you."""
    timeout_seconds: float = Field(30.0, gt=0)
    """Longest silence of a server."""
    most_seconds: float = Field(600.0, gt=0)
    """Longest time that one request may take as a whole."""
    most_bytes: int = Field(64 * 2**20, gt=0)
    """Largest file, also once it is unpacked, in bytes."""
    most_redirects: int = Field(5, ge=0)
    """Redirections that are followed."""
    num_tries: int = Field(4, ge=1)
    """How often something is tried that fails and may pass."""
    first_wait_seconds: float = Field(1.0, ge=0)
    """Longest wait before the second try; it doubles with each further one."""
    most_wait_seconds: float = Field(120.0, ge=0)
    """Longest wait before any try, also where the server asks for a longer one."""
    num_later_tries: int = Field(2, ge=0)
    """How often a run tries all this again, by Prefect, after a longer wait."""
    later_wait_seconds: float = Field(60.0, ge=0)
    """Wait before a run tries again."""
    pause_seconds: float = Field(1.0, ge=0)
    """Pause between two requests to one host."""
    allow_private: bool = False
    """Whether hosts in private networks, this computer included, may be asked."""

    @property
    def user_agent(self) -> str:
        """Who asks, as servers are told."""
        return "bookloom/0.1" + (f" (+{self.contact})" if self.contact else "")


class NotThere(Unreadable):
    """Nothing is at this address."""


class Unreachable(Unreadable):
    """What may be had at another time: it outlasted all tries of this one."""


class Downloader:
    """Fetches URLs and keeps what it fetched in a folder for good.

    Threads and processes may share a folder: whatever they are, a host gets one request at a time.
    """

    def __init__(
        self,
        cache_folder: Path,
        settings: DownloadSettings,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._cache = DownloadCache(cache_folder)
        self._settings = settings
        self._sleep = sleep

    def cached(self, url: str) -> Fetched | None:
        """What a URL held when it was fetched, if it ever was; nothing is asked of its host.

        Raises:
            Unreadable: it is no URL of the web, or has a password in it.
        """
        return self._cache.get(str(_checked_url(url)))

    def fetch(self, url: str) -> Fetched:
        """What a URL holds, from the cache if it was ever fetched.

        Raises:
            NotThere: the server says that there is no such thing.
            Unreachable: it failed in ways that may pass, as often as it may be tried.
            Unreadable: it is too large, private, forbidden, a web page where the URL names a text
                or an EPUB, or else not to be had; or it is no URL of the web.
        """
        if (known := self.cached(url)) is not None:
            return known
        target = _checked_url(url)
        body = ArrivingBody(self._settings.most_bytes)
        for number in range(1, self._settings.num_tries + 1):
            try:
                fetched = self._follow(target, body)
                break
            except Interrupted as failure:
                if number == self._settings.num_tries:
                    raise Unreachable(
                        f"{target} was not fetched in {number} tries; at the last, {failure.what}.",
                        "Check the address and your connection, and try again later.",
                    ) from failure
                self._sleep(self._wait_seconds(number, failure.retry_after_seconds))
        self._cache.put(str(target), fetched)
        return fetched

    def _wait_seconds(self, number: int, asked_for: float | None) -> float:
        """How long to wait after a failed try: partly by chance, lest all come back at once."""
        longest = self._settings.first_wait_seconds * 2 ** (number - 1)
        wait = random.uniform(longest / 2, longest) if asked_for is None else asked_for
        return min(wait, self._settings.most_wait_seconds)

    def _follow(self, target: httpx.URL, body: ArrivingBody) -> Fetched:
        url = str(target)
        for _ in range(self._settings.most_redirects + 1):
            try:
                answer = self._request(_checked_url(url), body)
            except Unreadable as error:
                if url == str(target):
                    raise
                reason = f"{target} leads on to another address. {error.reason}"
                raise type(error)(reason, error.remedy) from error
            if isinstance(answer, Fetched):
                _refuse_page(target, answer)
                return answer
            url = answer
        raise Unreadable(
            f"{target} leads from redirection to redirection, at the last to {url}.",
            "Open it in a browser and give the address where it ends.",
        )

    def _request(self, url: httpx.URL, body: ArrivingBody) -> Fetched | str:
        """Ask for a URL once: what it holds, or which URL it sends on to."""
        settings = self._settings
        headers = {
            "User-Agent": settings.user_agent,
            "Accept-Encoding": "gzip",
            **body.request_headers,
        }
        with self._cache.turn(url.host, settings.pause_seconds, self._sleep):
            addresses = checked_addresses(url, settings.allow_private)
            transport = PinnedTransport(addresses, settings.most_seconds, self._tls)
            try:
                with (
                    httpx.Client(
                        transport=transport, timeout=settings.timeout_seconds, trust_env=False
                    ) as client,
                    client.stream("GET", url, headers=headers) as answer,
                ):
                    if answer.next_request is not None:
                        return str(answer.next_request.url)
                    _refuse_status(url, answer)
                    return _fetched(url, body.read(url, answer), answer)
            except (httpx.RemoteProtocolError, UnicodeError) as error:
                raise Unreadable(f"{url} leads to no address: {error}", _LOOK) from error

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context()


def _checked_url(url: str) -> httpx.URL:
    """The URL without its fragment, which is never sent."""
    shown = without_login(url)
    try:
        parsed = httpx.URL(url).copy_with(fragment=None)
        host = parsed.host  # decoded only now
    except (httpx.InvalidURL, UnicodeError) as error:
        reason = str(error).rstrip(".")
        raise Unreadable(f"{shown!r} is no URL: {reason}.", "Check the address.") from None
    if parsed.scheme not in ("http", "https") or not host:
        raise Unreadable(
            f"{shown!r} is no address on the web.",
            "Give a URL that begins with https:// or http://.",
        )
    if "%" in host or (parsed.port or 0) >= 2**16:
        reason = f"{shown!r} is no URL: no host or port can be called so."
        raise Unreadable(reason, "Check the address.")
    if parsed.userinfo:
        raise Unreadable(
            f"The URL of {host} has a user's name or password in it.",
            "Tables and logs would keep it: save the file and name its path.",
        )
    return parsed


def _refuse_status(url: httpx.URL, answer: httpx.Response) -> None:
    status = answer.status_code
    if status in (408, 429) or status >= 500:
        raise Interrupted(f"it answered with status {status}", _retry_after_seconds(answer.headers))
    if status not in (200, 206, 416):
        reason = _REASONS.get(status, f"its server answers with status {status}")
        kind = NotThere if status in (404, 410) else Unreadable
        raise kind(f"{url} can't be fetched: {reason}.", _LOOK)


def _retry_after_seconds(headers: httpx.Headers) -> float | None:
    """How long the server asks to wait; a date is read by its own clock, if it tells it."""
    value = headers.get("Retry-After", "")
    if value.isdecimal():
        return float(value)
    if (until := _date(value)) is None:
        return None
    now = _date(headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (until - now).total_seconds())


def _date(value: str) -> datetime | None:
    try:
        parsed = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # OverflowError: a year of twenty digits
        return None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _fetched(url: httpx.URL, content: bytes, answer: httpx.Response) -> Fetched:
    told = answer.headers.get("Content-Type", "")
    content_type, charset = told.split(";")[0].strip().lower(), _CHARSET.search(told)
    return Fetched(
        content=content,
        url=str(url),
        content_type=content_type or None,
        charset=charset[1].lower() if charset else None,
        sha256=sha256(content).hexdigest(),
    )


def _refuse_page(target: httpx.URL, fetched: Fetched) -> None:
    """Refuse a page where the URL names a file: some servers say so, with 200, that it is gone."""
    says_html = fetched.content_type in ("text/html", "application/xhtml+xml")
    is_page = _PAGE_START.match(fetched.content) or (
        says_html and fetched.content.lstrip().startswith(b"<")
    )
    if is_page and PurePosixPath(target.path).suffix.lower() in _NEVER_HTML:
        raise Unreadable(f"{target} is a web page, not the file that its name promises.", _LOOK)
