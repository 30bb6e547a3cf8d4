"""gensim's home: word2vec trained on the books; and word vectors from a file of one of three kinds.

    glove             the 0.418 0.24968 …      a line a word: the word, then its numbers
    word2vec_text     400000 50                a first line with the number of words and the width,
                      the 0.418 0.24968 …      then the same
    word2vec_binary   400000 50                the same first line, then each word, a space, and
                      the ⟨4 × 50 bytes⟩       its numbers as little-endian float32

GloVe: J. Pennington, R. Socher and C. Manning, GloVe: Global Vectors for Word Representation,
EMNLP 2014. Word2vec: T. Mikolov, I. Sutskever, K. Chen, G. Corrado and J. Dean, Distributed
Representations of Words and Phrases and their Compositionality, NeurIPS 2013.

Shapes: E width of a vector.
"""

import hashlib
import io
import lzma
import re
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, count, pairwise
from typing import IO, Literal, cast

import fsspec
import numpy as np
import numpy.typing as npt

from data.errors import UserMistake
from tasks.seams.report import progress

FileFormat = Literal["auto", "glove", "word2vec_text", "word2vec_binary"]
Vector = npt.NDArray[np.float32]

BUFFER_BYTES = 2**20
LONGEST_LINE_BYTES = 2**20
LARGEST_WIDTH = 2**16
LONGEST_SENTENCE = 10_000  # tokens; gensim drops what a sentence has beyond them
FIRST_ALPHA, LAST_ALPHA = 0.025, 0.0001  # word2vec's learning rate, gensim's defaults
DAMAGED = (EOFError, OSError, lzma.LZMAError, zipfile.BadZipFile, zlib.error)

_HEADER = re.compile(rb"\s*([0-9]{1,18})\s+([0-9]{1,18})\s*")
_CONTROL_CHARACTER = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_FETCH_AGAIN = "Fetch a whole copy of it."
_MEND_LINE = "Mend or delete the line, or name the file's true format and width."


def train_word2vec(
    sentences: Iterable[Sequence[str]],
    *,
    width: int,
    window: int,
    num_epochs: int,
    skip_gram: bool,
    num_negative: int,
    seed: int,
) -> dict[str, Vector]:
    """Vectors_E of all words of the sentences, by word.

    The same sentences, settings and seed give the same bits in every process: there is one worker,
    and neither the order of words nor the draws depend on Python's hashes of strings.

    Args:
        sentences: gone through once to count, then once an epoch; never held in memory.
        width: E.
        window: words on either side that count as context, at most.
        num_epochs: passes over the sentences.
        skip_gram: predict the context from the word; else the word from its context (CBOW).
        num_negative: drawn words that each true one is told from.
        seed: of the draws.

    Raises:
        ValueError: the sentences hold no word.
    """
    from gensim.models import Word2Vec  # more than a second; only word2vec needs it

    pieces = _Pieces(sentences)
    model = Word2Vec(
        vector_size=width,
        window=window,
        sg=int(skip_gram),
        negative=num_negative,
        min_count=1,  # the vocabulary has chosen already
        seed=seed,
        workers=1,
        hashfxn=lambda word: zlib.crc32(word.encode()),
    )
    model.build_vocab(pieces)
    if not len(model.wv):
        raise ValueError("the sentences hold no word")
    alphas = np.linspace(FIRST_ALPHA, LAST_ALPHA, num_epochs + 1)
    with progress("word2vec", num_epochs, "epochs") as advance:
        # Epoch by epoch, with the rate of one long run: gensim reports from threads of its own.
        for start_alpha, end_alpha in pairwise(alphas):
            model.train(
                pieces,
                total_words=model.corpus_total_words,
                epochs=1,
                start_alpha=float(start_alpha),
                end_alpha=float(end_alpha),
            )
            advance(1)
    return {word: np.array(model.wv[word], np.float32) for word in model.wv.index_to_key}


def read_vectors(
    path: str,
    words: Collection[str],
    file_format: FileFormat = "auto",
    width: int | None = None,
) -> dict[str, Vector]:
    """Vectors_E of those of the words that the file has, by word.

    The file is read once through, a line or word at a time; of a word that it has twice, the first
    vector counts. Every line's number of values is checked, but only the words asked for have
    their numbers read. Nothing is unpickled.

    Args:
        path: a path or any URL that fsspec knows; `.gz`, `.bz2`, `.xz` and one-file `.zip` are
            unpacked on the way (`zip://glove.6B.100d.txt::glove.6B.zip` names a file among many).
        words: spelled as in the file.
        file_format: `auto` looks at the first lines.
        width: E, where it is known; else it is the file's.

    Raises:
        UserMistake: the file can't be read, is damaged, is of another format or width, or has none
            of the words.
    """
    if file_format == "auto":
        with _opened(path, unpack=True) as file:
            file_format = _detected_format(file)
    wanted = {word.encode(): word for word in words}
    found: dict[str, Vector] = {}
    with _opened(path, unpack=True) as file:
        for word, vector_E in _VectorFile(path, file, width).vectors(file_format, wanted):
            found.setdefault(wanted[word], vector_E)
    if not found:
        raise UserMistake(
            f"{path} has a vector for none of the {len(words):,} words asked for.",
            "Give vectors of the books' language; mind upper and lower case.",
        )
    return found


def file_digest(path: str) -> str:
    """SHA-256 of a file's bytes, as they are stored.

    Raises:
        UserMistake: it can't be read.
    """
    with _opened(path, unpack=False) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@dataclass(frozen=True)
class _Pieces:
    """The sentences, cut where gensim would drop the rest."""

    sentences: Iterable[Sequence[str]]

    def __iter__(self) -> Iterator[list[str]]:
        for sentence in self.sentences:
            for start in range(0, len(sentence), LONGEST_SENTENCE):
                yield list(sentence[start : start + LONGEST_SENTENCE])


@dataclass(frozen=True)
class _VectorFile:
    """A file of vectors, open at its beginning; its methods go through it once."""

    path: str
    file: io.BufferedReader
    width: int | None

    def vectors(
        self, file_format: FileFormat, wanted: Collection[bytes]
    ) -> Iterator[tuple[bytes, Vector]]:
        """(word, vector_E) of the wanted words, in the file's order."""
        lines = self._lines()
        _, first_line = next(lines, (1, b""))
        if not first_line.strip():
            raise UserMistake(
                f"{self.path} holds no vectors: its first line is empty.", "Check it."
            )
        if file_format == "glove":
            width = self._agreed(_num_values(first_line))
            yield from self._from_text(chain([(1, first_line)], lines), width, wanted, None)
            return
        header = _HEADER.fullmatch(first_line)
        if header is None:
            raise self._mistake(
                "line 1",
                f"the format {file_format} begins with a number of words and a width",
                "Set the format to glove, or to auto.",
            )
        num_words, width = int(header[1]), self._agreed(int(header[2]))
        if file_format == "word2vec_text":
            yield from self._from_text(lines, width, wanted, num_words)
        else:
            yield from self._from_binary(width, wanted, num_words)

    def _lines(self) -> Iterator[tuple[int, bytes]]:
        for number in count(1):
            line = self.file.readline(LONGEST_LINE_BYTES)
            if not line:
                return
            if len(line) == LONGEST_LINE_BYTES and not line.endswith(b"\n"):
                raise self._mistake(
                    f"line {number}",
                    f"it is longer than {LONGEST_LINE_BYTES:,} bytes, so no line of vectors",
                    "Name the file's true format, or another file.",
                )
            yield number, line

    def _from_text(
        self,
        lines: Iterable[tuple[int, bytes]],
        width: int,
        wanted: Collection[bytes],
        promised: int | None,
    ) -> Iterator[tuple[bytes, Vector]]:
        num_words = 0
        for number, ended_line in lines:
            line = ended_line.rstrip()
            if not line:
                continue
            num_words += 1
            # To count is what makes gigabytes bearable; the rest is for the few odd lines.
            is_plain = line.count(b" ") == width and b"\t" not in line
            word = line.partition(b" ")[0] if is_plain else self._spaced_word(line, number, width)
            if word in wanted:
                yield word, self._parsed(line.rsplit(None, width)[1:], number, width)
        if promised is not None and num_words != promised:
            raise UserMistake(
                f"{self.path} holds {num_words:,} words; its first line promises {promised:,}.",
                f"{_FETCH_AGAIN} If it is whole, correct its first line.",
            )

    def _spaced_word(self, line: bytes, number: int, width: int) -> bytes:
        """A line's word where spaces are inside it, as in GloVe 840B's `. . .`, or tabs around it.

        A word whose last part is a number can't be told from a line with a value too many.
        """
        word, *values = line.rsplit(None, width)
        parts = word.split()
        if len(values) < width or (len(parts) > 1 and _is_number(parts[-1])):
            raise self._mistake(
                f"line {number}",
                f"it has {_num_values(line)} values, but the width is {width}",
                _MEND_LINE,
            )
        return word

    def _parsed(self, values: Sequence[bytes], number: int, width: int) -> Vector:
        for value in values:
            if not _is_number(value):
                shown = value[:40].decode(errors="backslashreplace")
                raise self._mistake(f"line {number}", f"'{shown}' is no number", _MEND_LINE)
        if len(values) != width:
            problem = f"it has {len(values)} values, but the width is {width}"
            raise self._mistake(f"line {number}", problem, _MEND_LINE)
        with np.errstate(over="ignore"):  # too large for a float32: infinite, and refused as such
            vector_E = np.array([float(value) for value in values]).astype(np.float32)
        return self._finite(vector_E, f"line {number}")

    def _from_binary(
        self, width: int, wanted: Collection[bytes], num_words: int
    ) -> Iterator[tuple[bytes, Vector]]:
        num_bytes = 4 * width
        waiting, at = b"", 0
        for index in range(num_words):
            place = f"word {index + 1:,} of {num_words:,}"
            while (space := waiting.find(b" ", at)) < 0 or len(waiting) < space + 1 + num_bytes:
                if space < 0 and len(waiting) - at > LONGEST_LINE_BYTES:
                    raise self._mistake(place, "no space ends the word", _FETCH_AGAIN)
                more = self.file.read(BUFFER_BYTES)
                if not more:
                    raise self._mistake(place, "the file is cut short", _FETCH_AGAIN)
                waiting, at = waiting[at:] + more, 0
            word = waiting[at:space].lstrip(b"\r\n")  # some writers end each vector with a newline
            at = space + 1 + num_bytes
            if word in wanted:
                vector_E = np.frombuffer(waiting, "<f4", width, space + 1).astype(np.float32)
                yield word, self._finite(vector_E, place)
        if (waiting[at:] + self.file.read(BUFFER_BYTES)).strip():
            raise UserMistake(
                f"{self.path} goes on after the {num_words:,} words that its first line promises.",
                f"{_FETCH_AGAIN} If it is whole, its first line is wrong, or its format.",
            )

    def _agreed(self, found: int) -> int:
        """The file's width, if it is the one that was asked for."""
        if not 0 < found <= LARGEST_WIDTH:
            problem = f"vectors of {found} numbers are none of the three formats"
            raise self._mistake("line 1", problem, "Name the file's true format, or another file.")
        if self.width not in (None, found):
            raise self._mistake(
                "line 1",
                f"its vectors have {found} numbers, but the width is set to {self.width}",
                f"Set width to {found}, leave it out, or give another file.",
            )
        return found

    def _finite(self, vector_E: Vector, place: str) -> Vector:
        if not np.isfinite(vector_E).all():
            value = vector_E[~np.isfinite(vector_E)][0]
            raise self._mistake(place, f"{value} is no finite number", _MEND_LINE)
        return vector_E

    def _mistake(self, place: str, problem: str, remedy: str) -> UserMistake:
        return UserMistake(f"{self.path}, {place}: {problem}.", remedy)


def _detected_format(file: IO[bytes]) -> FileFormat:
    """Two whole numbers alone in the first line are word2vec's; what follows is text or is not."""
    if not _HEADER.fullmatch(file.readline(LONGEST_LINE_BYTES)):
        return "glove"
    sample = file.read(4096)
    if _CONTROL_CHARACTER.search(sample):
        return "word2vec_binary"
    try:
        sample[: sample.rfind(b" ")].decode()  # the last word may be cut in a character
    except UnicodeDecodeError:
        return "word2vec_binary"
    return "word2vec_text"


def _num_values(line: bytes) -> int:
    """How many numbers stand at a line's end, its first field, the word, left out."""
    values = line.split()[1:]
    first = next((i for i in reversed(range(len(values))) if not _is_number(values[i])), -1)
    return len(values) - 1 - first


def _is_number(field: bytes) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


@contextmanager
def _opened(path: str, *, unpack: bool) -> Iterator[io.BufferedReader]:
    """A file open for reading.

    Raises:
        UserMistake: there is none, or reading it fails, which may be long after it was opened.
    """
    try:
        opened = fsspec.open(path, "rb", compression="infer" if unpack else None)
    except (ImportError, ValueError) as error:
        raise UserMistake(f"{path} can't be opened: {error}.", "Check the path or URL.") from error
    try:
        with opened as file:
            yield io.BufferedReader(cast(io.RawIOBase, file), BUFFER_BYTES)
    except FileNotFoundError as error:
        raise UserMistake(f"There is no file {path}.", "Check the path.") from error
    except DAMAGED as error:
        raise UserMistake(f"{path} can't be read: {error}.", f"Check it. {_FETCH_AGAIN}") from error
