"""Ten thousand hostile files: none may crash a reader, hang it, or make it write or call anywhere.

    python benchmarks/hostile.py --num-files 10000 --seed 1 --json
    python benchmarks/hostile.py --books shelf more/books --workers 2
    python benchmarks/hostile.py --first 4711 --num-files 1

Each file is written into a folder of its own, found and read as a user's file is, and what is read
is cut into sentences and tokens. Files come of the packaged plays, or of real ones; see
`benchmarks.hostile_files`. Seconds are the processor's. Exit status 1 if anything failed; `--first`
with the index of a file tries it again.
"""

import argparse
import faulthandler
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.hostile_files import MOST_BYTES, File, hostile_file, packaged_shelf, shelf_of
from data.books import Book, Refusal
from data.reading import ReadBook, Reading, read_entry
from data.sources import Entry, Finding, find_entries
from models.vocabulary import Unit
from tasks.seams.tokeniser import PunktModel, SentenceSplitter
from tasks.tokenise import sentence_columns

HANG_SECONDS = 10.0
SECONDS_A_BOOK = 0.001  # more, for an archive may hold 20,000 books
ALARM_SECONDS = 60
NUM_SLOWEST = 10

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_ACTING = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate")
_CALLING = (
    *("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork", "os.forkpty"),
    *("socket.connect", "socket.bind", "socket.getaddrinfo", "socket.sendto", "urllib.Request"),
)


@dataclass
class Outcome:
    """What became of a file. `failures` are empty where all is well."""

    index: int
    suffix: str
    damage: str
    num_bytes: int
    seconds: float = 0.0
    num_read: int = 0
    num_refused: int = 0
    num_tokens: int = 0
    reasons: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Watch:
    """Notes what the interpreter opens for writing, changes, starts or calls outside a folder.

    A hook can't be removed from an interpreter: it sleeps outside `of`.
    """

    def __init__(self) -> None:
        self._folder: str | None = None
        self._noted: list[str] = []
        sys.addaudithook(self._hear)

    def start(self, folder: Path) -> None:
        """Forget what was noted, and listen."""
        self._folder, self._noted = str(folder), []

    def stop(self) -> list[str]:
        """What was noted."""
        self._folder = None
        return self._noted

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._folder is None:
            return
        if event == "open":
            path, _, flags = arguments
            is_act = bool(flags & _WRITING) and not isinstance(path, int)
        else:
            is_act = event in _ACTING
        if event in _CALLING:
            self._noted.append(f"{event} {arguments!r:.200}")
        elif is_act and not self._is_inside(arguments[0]):
            self._noted.append(f"{event} {arguments[0]!r:.200}")

    def _is_inside(self, path: Any) -> bool:
        return os.path.realpath(os.fsdecode(path)).startswith(f"{self._folder}/")


class _Hang(BaseException):
    """The alarm; no `except Exception` on its way may take it for an error of its own."""


def examine(
    shelf: Sequence[File], seed: int, index: int, watch: Watch, most_bytes: int = MOST_BYTES
) -> Outcome:
    """Make a file, read it, cut it, and see that all is as it must be."""
    made = hostile_file(shelf, seed, index, most_bytes)
    outcome = Outcome(index, made.suffix, made.damage, len(made.content))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        path = folder / f"{index}{made.suffix}"
        path.write_bytes(made.content)
        watch.start(folder)
        started = time.process_time()
        try:
            _read(path, outcome)
        except _Hang:
            outcome.failures.append(f"still not read after {ALARM_SECONDS} s")
            outcome.failures.append(traceback.format_exc(limit=-6))
        except Exception:
            outcome.failures.append(traceback.format_exc())
        outcome.seconds = time.process_time() - started
        outcome.failures += [f"outside its folder: {act}" for act in watch.stop()]
        if [*folder.rglob("*")] != [path] or path.read_bytes() != made.content:
            outcome.failures.append(f"its folder holds {[*folder.rglob('*')]}")
    if outcome.seconds > HANG_SECONDS + SECONDS_A_BOOK * outcome.num_read:
        outcome.failures.append(f"it takes {outcome.seconds:.1f} s")
    return outcome


def _read(path: Path, outcome: Outcome) -> None:
    splitter = SentenceSplitter(PunktModel((), (), (), ()))
    units: tuple[Unit, ...] = ("word", "character") if outcome.index % 4 == 0 else ("word",)
    finding = Finding(downloads=str(path.parent / "downloads"))
    for entry in find_entries([str(path)], finding):
        for item in read_entry(entry, finding, Reading()) if isinstance(entry, Entry) else [entry]:
            if isinstance(item, Refusal):
                outcome.num_refused += 1
                outcome.reasons.append(item.reason[:200])
                outcome.failures += refusal_faults(item)
                continue
            outcome.num_read += 1
            outcome.failures += book_faults(item)
            sections = [
                (index, one.char_start, one.char_end)
                for index, one in enumerate(item.book.sections)
            ]
            for unit in units:
                columns = sentence_columns("a-book", item.book.text, sections, splitter, unit)
                outcome.num_tokens += sum(map(len, columns["tokens"].to_pylist()))
                outcome.failures += sentence_faults(item.book, columns)
    if not outcome.num_read + outcome.num_refused:
        outcome.failures.append("neither read nor refused")


def refusal_faults(refusal: Refusal) -> Iterator[str]:
    """What is wrong with a refusal: nothing said, or something that a terminal obeys."""
    for name in ("reason", "remedy", "source"):
        words = getattr(refusal, name)
        if not words.strip():
            yield f"a refusal without {name}: {refusal}"
        if any(unicodedata.category(one) in ("Cc", "Cs") for one in words):
            yield f"control characters in the {name} of a refusal: {refusal}"


def book_faults(item: ReadBook) -> Iterator[str]:
    """What is wrong with a book: its sections, or strings that no table takes."""
    book = item.book
    for name, value in {**asdict(book), **asdict(item.receipt)}.items():
        if isinstance(value, str) and not _is_utf8(value):
            yield f"{name} is no valid text: {value[:100]!r}"
    position = 0
    for section in book.sections:
        if not position <= section.char_start < section.char_end <= len(book.text):
            yield f"{section} after {position} of {len(book.text)}"
        if not _is_utf8(section.heading):
            yield f"{section} is no valid text"
        position = section.char_end
    outside = [*book.text]
    for section in reversed(book.sections):
        outside[section.char_start : section.char_end] = []
    if words := "".join(outside).split():
        yield f"{len(words)} words lie in no section, {words[0]!r:.80} first"


def sentence_faults(book: Book, columns: dict[str, Any]) -> Iterator[str]:
    """What is wrong with a book's sentences: their order, or tokens that are not the text's."""
    position = 0
    tokens, token_starts = columns["tokens"].to_pylist(), columns["token_starts"].to_pylist()
    spans = zip(columns["char_start"], columns["char_end"], tokens, token_starts, strict=True)
    for start, end, words, starts in spans:
        if not position <= start < end <= len(book.text):
            yield f"sentence {start} to {end} after {position}"
        own_position = start
        for word, own in zip(words, starts, strict=True):
            its_own = book.text[own : own + len(word)]
            if own < own_position or own + len(word) > end:
                yield f"token {word!r:.80} at {own}, outside its place in {start} to {end}"
            elif its_own != word and not (word == " " and its_own.isspace()):
                yield f"token {word!r:.80} at {own}, where the text has {its_own!r:.80}"
            own_position = own + len(word)
        position = end


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


_shelf: list[File] = []
_watch: list[Watch] = []


def _start_worker(books: Sequence[str], folder: str) -> None:
    """Of a process: the shelf, the alarm, and a working folder that must stay empty."""
    sys.dont_write_bytecode = True
    faulthandler.enable()
    _shelf[:] = shelf_of(books) if books else packaged_shelf()
    os.chdir(folder)
    signal.signal(signal.SIGALRM, _alarm)
    _watch.append(Watch())


def _alarm(number: int, frame: FrameType | None) -> None:
    raise _Hang


def _examine_in_worker(seed: int, index: int) -> tuple[Outcome, int]:
    """The outcome, and the most memory that the process has held, in bytes."""
    signal.alarm(ALARM_SECONDS)
    # C code that never comes back to hear the alarm ends the process, which says where it is.
    faulthandler.dump_traceback_later(2 * ALARM_SECONDS, exit=True)
    try:
        outcome = examine(_shelf, seed, index, _watch[0])
    finally:
        signal.alarm(0)
        faulthandler.cancel_dump_traceback_later()
    return outcome, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def examined(
    books: Sequence[str], seed: int, indices: range, num_workers: int
) -> Iterator[tuple[Outcome, int]]:
    """Outcomes as they come; a process that dies ends the run: it had one of the files named."""
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(
            num_workers, initializer=_start_worker, initargs=(books, folder)
        ) as pool,
    ):
        waiting = iter(indices)
        running: dict[Future[tuple[Outcome, int]], int] = {}
        while True:
            while len(running) < 2 * num_workers and (index := next(waiting, None)) is not None:
                running[pool.submit(_examine_in_worker, seed, index)] = index
            if not running:
                break
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            if any(future.exception() for future in done):
                print(f"a process died at one of {sorted(running.values())}", file=sys.stderr)
            for future in done:
                del running[future]
                yield future.result()
        if left := os.listdir(folder):
            raise AssertionError(f"The working folder holds {left}.")


def main() -> None:
    """Make and read files, print counts, the slowest and what failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--books", nargs="+", default=[], metavar="FOLDER")
    parser.add_argument("--num-files", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0, help="index of the first file")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    indices = range(options.first, options.first + options.num_files)
    outcomes: list[Outcome] = []
    peak = 0
    for outcome, memory in examined(options.books, options.seed, indices, options.workers):
        outcomes.append(outcome)
        peak = max(peak, memory)
        for failure in outcome.failures:
            print(f"{_line(outcome)}\n{failure}", file=sys.stderr, flush=True)
    result = summary(outcomes) | {"seed": options.seed, "peak_memory_bytes": peak}
    print(json.dumps(result) if options.json else _table(result))
    sys.exit(bool(result["num_failed"]))


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Counts by suffix, seconds, the slowest, and what failed."""
    slowest = sorted(outcomes, key=lambda one: -one.seconds)[:NUM_SLOWEST]
    failed = [one for one in outcomes if one.failures]
    return {
        "num_files": len(outcomes),
        "num_failed": len(failed),
        "megabytes": sum(one.num_bytes for one in outcomes) / 1e6,
        "seconds": sum(one.seconds for one in outcomes),
        "num_tokens": sum(one.num_tokens for one in outcomes),
        "books_read": dict(sum((Counter({o.suffix: o.num_read}) for o in outcomes), Counter())),
        "refused": dict(sum((Counter({o.suffix: o.num_refused}) for o in outcomes), Counter())),
        "slowest": [_line(one) for one in slowest],
        "failed": [_line(one) for one in failed],
    }


def _table(result: dict[str, Any]) -> str:
    return "\n".join(
        f"{name:<18} " + ("\n" + " " * 19).join(value if isinstance(value, list) else [str(value)])
        for name, value in result.items()
    )


def _line(outcome: Outcome) -> str:
    return (
        f"{outcome.index}{outcome.suffix}: {outcome.seconds:.2f} s, {outcome.num_bytes:,} bytes, "
        f"{outcome.num_read:,} read, {outcome.num_refused:,} refused: {outcome.damage}"
    )


if __name__ == "__main__":
    main()
