"""A body on its way: it may be cut off, go on where it ended, and is never larger than allowed.

    bytes of one answer | bytes of the next, asked for with Range and the ETag of the first | ...

What is counted and continued are the bytes that travel; they are unpacked once all are there.
"""

import re
import zlib

import httpx

from data.documents import Unreadable
from data.pinned_transport import Interrupted

_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII)


class ArrivingBody:
    """What has arrived of a body so far, over all tries."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._raw = bytearray()
        self._etag = ""

    @property
    def request_headers(self) -> dict[str, str]:
        """What to ask for: the rest, of the same version, if there is a beginning to go on from."""
        if self._raw and self._etag.startswith('"'):  # W/"...": alike, but not the same bytes
            return {"Range": f"bytes={len(self._raw)}-", "If-Range": self._etag}
        return {}

    def read(self, url: httpx.URL, answer: httpx.Response) -> bytes:
        """Take in an answer of status 200, 206 or 416; what has arrived, unpacked, if it is whole.

        Raises:
            Interrupted: it is not whole; what arrived is kept if it can be gone on from.
            Unreadable: it is larger than allowed, or packed in a way that was not asked for.
        """
        num_bytes = self._begin(answer)
        declared = answer.headers.get("Content-Length", "")
        if declared.isdecimal() and len(self._raw) + int(declared) > self._most_bytes:
            raise self._too_large(url)
        for chunk in answer.iter_raw():
            self._raw += chunk
            if len(self._raw) > self._most_bytes:
                raise self._too_large(url)
        if num_bytes is not None and len(self._raw) != num_bytes:
            raise Interrupted(f"it sent {len(self._raw):,} of {num_bytes:,} bytes")
        return self._unpacked(url, answer.headers.get("Content-Encoding", "identity").lower())

    def _begin(self, answer: httpx.Response) -> int | None:
        """Drop what arrived, unless the answer is its rest; how long the whole is, if it says."""
        if answer.status_code == 206:
            span = _CONTENT_RANGE.fullmatch(answer.headers.get("Content-Range", ""))
            if span and int(span[1]) == len(self._raw) and answer.headers.get("ETag") == self._etag:
                return int(span[2])
        self._raw.clear()
        self._etag = answer.headers.get("ETag", "")
        if answer.status_code != 200:
            raise Interrupted("it does not go on where it was cut off")
        return None

    def _unpacked(self, url: httpx.URL, encoding: str) -> bytes:
        if encoding == "identity":
            return bytes(self._raw)
        if encoding not in ("gzip", "x-gzip"):
            raise Unreadable(
                f"{url} comes packed as {encoding}, which was not asked for.",
                "Save the file from a browser and name its path.",
            )
        unpacking = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: a gzip header
        try:
            content = unpacking.decompress(self._raw, self._most_bytes + 1)
        except zlib.error as error:
            self._raw.clear()
            raise Interrupted(f"what it sent can't be unpacked ({error})") from error
        if len(content) > self._most_bytes:
            raise self._too_large(url)
        if not unpacking.eof or unpacking.unused_data:
            self._raw.clear()
            raise Interrupted("what it sent is not one whole gzip file")
        return content

    def _too_large(self, url: httpx.URL) -> Unreadable:
        return Unreadable(
            f"{url} is larger than {self._most_bytes:,} bytes.",
            "If it is a book, allow more with most_bytes.",
        )
