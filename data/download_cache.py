"""What was downloaded, kept for good: contents under their digests, and a note for each URL.

    notes/<SHA-256 of the URL>.json     which content, where it came from in the end, of what type
    contents/<SHA-256 of the content>   each content once, however many URLs lead to it
    turns/<SHA-256 of the host>         locked during a request, changed at its end

Files appear whole or not at all, so that processes may share a folder; whatever is damaged is
noticed by its digest and counts as not there.
"""

import fcntl
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from data.filesystems import told


@dataclass(frozen=True)
class Fetched:
    """What a URL holds: its bytes, and what the server says of them.

    `url` is where the redirections ended; `content_type` is like `text/plain`, without parameters.
    """

    content: bytes
    url: str
    content_type: str | None
    charset: str | None
    sha256: str  # hexadecimal, of the content


class _Note(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    url: str
    final_url: str
    content_type: str | None
    charset: str | None
    num_bytes: int
    sha256: str


class DownloadCache:
    """A folder of downloads; it is made when something is first put there.

    Where it can't be used, such as on a full disk, all methods raise `StoreTrouble`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, url: str) -> Fetched | None:
        """What was put there under a URL, if all of it is still there and whole."""
        try:
            with self._told():
                note = _Note.model_validate_json(self._note_path(url).read_bytes())
                content = (self._folder / "contents" / note.sha256).read_bytes()
        except (FileNotFoundError, ValidationError):
            return None
        if note.url != url or sha256(content).hexdigest() != note.sha256:
            return None
        return Fetched(content, note.final_url, note.content_type, note.charset, note.sha256)

    def put(self, url: str, fetched: Fetched) -> None:
        """Keep what a URL holds. The content is written first: a note means a whole content."""
        note = _Note(
            url=url,
            final_url=fetched.url,
            content_type=fetched.content_type,
            charset=fetched.charset,
            num_bytes=len(fetched.content),
            sha256=fetched.sha256,
        )
        with self._told():
            _publish(self._folder / "contents" / fetched.sha256, fetched.content)
            _publish(self._note_path(url), note.model_dump_json(indent=1).encode())

    @contextmanager
    def turn(
        self,
        host: str,
        pause_seconds: float,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> Iterator[None]:
        """Have a host to oneself, a pause after the last turn ended.

        The last turn may have been another process's: together they are one visitor to the host.
        """
        path = self._folder / "turns" / _digest(host)
        with self._told():
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            last = os.fstat(descriptor)
            left = min(pause_seconds, last.st_mtime + pause_seconds - clock())
            if last.st_size and left > 0:
                sleep(left)
            try:
                yield
            finally:
                with self._told():
                    os.pwrite(descriptor, b".", 0)  # an empty file: nobody was there yet
                    os.utime(descriptor, (clock(), clock()))
        finally:
            os.close(descriptor)

    def _told(self) -> AbstractContextManager[None]:
        return told(str(self._folder), is_local=True)

    def _note_path(self, url: str) -> Path:
        return self._folder / "notes" / f"{_digest(url)}.json"


def _digest(name: str) -> str:
    return sha256(name.encode()).hexdigest()


def _publish(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
