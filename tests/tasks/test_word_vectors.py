"""Vectors of three kinds of file, gensim's own writer as the oracle; word2vec's bits."""

import gzip
import hashlib
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from unittest.mock import patch

import fsspec
import numpy as np
import numpy.typing as npt
import pytest
from gensim.models import KeyedVectors, Word2Vec
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from data.errors import UserMistake
from tasks.seams import word_vectors
from tasks.seams.word_vectors import FileFormat, Vector, file_digest, read_vectors, train_word2vec

PROJECT = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("BOOKLOOM_TEST_DATA", PROJECT.parent / "shared" / "data"))
FORMATS: tuple[FileFormat, ...] = ("glove", "word2vec_text", "word2vec_binary")
WORDS = ["the", "king", "naïve", "王", "'", "1999", "\x85", "moon"]
VECTORS_NE = np.random.default_rng(1).normal(size=(len(WORDS), 5)).astype(np.float32)


def saved(
    path: Path,
    file_format: FileFormat,
    words: Sequence[str] = WORDS,
    vectors_NE: npt.NDArray[np.float32] = VECTORS_NE,
) -> str:
    """A file as gensim writes it."""
    keyed = KeyedVectors(vectors_NE.shape[1])
    keyed.add_vectors(list(words), vectors_NE)
    keyed.save_word2vec_format(
        str(path), binary=file_format == "word2vec_binary", write_header=file_format != "glove"
    )
    return str(path)


def assert_same(found: dict[str, Vector], expected: dict[str, Vector]) -> None:
    assert found.keys() == expected.keys()
    for word, vector_E in expected.items():
        assert found[word].dtype == np.float32
        np.testing.assert_array_equal(found[word], vector_E)


EXPECTED = dict(zip(WORDS, VECTORS_NE, strict=True))


@pytest.mark.parametrize("file_format", FORMATS)
@pytest.mark.parametrize("named", [True, False], ids=["named", "auto"])
def test_what_gensim_wrote_is_read_to_the_bit(
    tmp_path: Path, file_format: FileFormat, named: bool
) -> None:
    path = saved(tmp_path / "vectors", file_format)
    asked = file_format if named else "auto"
    assert_same(read_vectors(path, [*WORDS, "absent"], asked, 5), EXPECTED)
    two = {word: EXPECTED[word] for word in ("1999", "moon")}
    assert_same(read_vectors(path, list(two), asked), two)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Z", "C"]), min_size=1, max_size=6),
        min_size=1,
        max_size=6,
        unique=True,
    ).flatmap(
        lambda words: st.tuples(
            st.just(words),
            arrays.arrays(
                np.float32,
                (len(words), 3),
                elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
            ),
        )
    )
)
def test_three_formats_give_equal_vectors(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[list[str], npt.NDArray[np.float32]],
) -> None:
    words, vectors_NE = drawn
    folder = tmp_path_factory.mktemp("vectors")
    for file_format in FORMATS:
        path = saved(folder / file_format, file_format, words, vectors_NE)
        assert_same(
            read_vectors(path, words, file_format), dict(zip(words, vectors_NE, strict=True))
        )


def test_glove_is_read_as_gensim_reads_it() -> None:
    path = TEST_DATA / "glove.6B.50d.8453words.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent; BOOKLOOM_TEST_DATA says where the extra test data is")
    oracle = KeyedVectors.load_word2vec_format(str(path), no_header=True)
    words = oracle.index_to_key
    assert len(words) == 8453
    found = read_vectors(str(path), [*words, "zounds!"], width=50)
    assert_same(found, {word: oracle[word] for word in words})


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zip"])
@pytest.mark.parametrize("file_format", FORMATS)
def test_packed_files_and_urls(tmp_path: Path, file_format: FileFormat, ending: str) -> None:
    plain = Path(saved(tmp_path / "vectors", file_format))
    packed = tmp_path / f"vectors.{ending}"
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as file:
            file.write(plain, "vectors")
            file.writestr("other", "another file")
        assert_same(read_vectors(f"zip://vectors::{packed}", WORDS), EXPECTED)
    else:
        with fsspec.open(str(packed), "wb", compression="infer") as out:
            out.write(plain.read_bytes())
    assert_same(read_vectors(str(packed), WORDS), EXPECTED)
    url = f"memory://test_word_vectors/vectors.{ending}"
    with fsspec.open(url, "wb") as out:
        out.write(packed.read_bytes())
    assert_same(read_vectors(url, WORDS), EXPECTED)
    digest = hashlib.sha256(packed.read_bytes()).hexdigest()
    assert file_digest(url) == file_digest(str(packed)) == digest


@pytest.mark.parametrize("file_format", FORMATS)
def test_a_file_larger_than_the_buffer_is_never_held(
    tmp_path: Path, file_format: FileFormat
) -> None:
    path = saved(tmp_path / "vectors", file_format)
    with patch.object(word_vectors, "BUFFER_BYTES", 7):
        assert_same(read_vectors(path, WORDS), EXPECTED)


def glove(text: str) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        path.write_text(text, encoding="utf-8")
        return str(path)

    return write


def binary(content: bytes) -> Callable[[Path], str]:
    def write(path: Path) -> str:
        path.write_bytes(content)
        return str(path)

    return write


FLOATS = np.array([1.0, -2.0], "<f4").tobytes()


@pytest.mark.parametrize(
    "content",
    [
        "king 1 -2\n. . . 3 4\nat a@b.c 5 6\n",  # words with spaces, as in GloVe 840B
        "king 1 -2 \n. . . 3 4 \nat a@b.c 5 6 \n",  # a space before the line's end, as fastText's
        "king\t1\t-2\r\n. . .\t3\t4\r\nat a@b.c\t5\t6\r\n\r\n",
        "3 2\nking 1.0 -2e0\n. . . 3 4\nat a@b.c 5 6",
        "king 1 -2\n. . . 3 4\nking 9 9\nat a@b.c 5 6\n. . . 9 9\n",  # the first of two wins
        "king 1 -2\n. . . 3 4\n 7 7\nat a@b.c 5 6\n",  # an empty word
    ],
)
def test_odd_lines(tmp_path: Path, content: str) -> None:
    (tmp_path / "vectors").write_bytes(content.encode())
    expected = {
        "king": np.array([1, -2], np.float32),
        ". . .": np.array([3, 4], np.float32),
        "at a@b.c": np.array([5, 6], np.float32),
    }
    assert_same(read_vectors(str(tmp_path / "vectors"), [".", "at", *expected]), expected)


def test_binary_with_newlines_between_words(tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(b"2 2\na " + FLOATS + b"\nb " + FLOATS + b"\n")
    expected = np.array([1.0, -2.0], np.float32)
    assert_same(read_vectors(str(tmp_path / "v"), ["a", "b"]), {"a": expected, "b": expected})


@pytest.mark.parametrize(
    ("content", "file_format", "width", "message", "remedy"),
    [
        (b"", "auto", None, "holds no vectors", "Check"),
        (b"\n\n", "glove", None, "holds no vectors", "Check"),
        (b"a 1 2\nb 1\n", "auto", None, "line 2: it has 1 values, but the width is 2", "Mend"),
        (b"a 1 2\nb 1 2 3\n", "auto", None, "line 2: it has 3 values, but the width", "Mend"),
        (b"a 1 2\nz 1 2 3\n", "auto", None, "line 2: it has 3 values, but the width", "Mend"),
        (b"a 1 2\nb one 2\n", "auto", None, "line 2: 'one' is no number", "Mend"),
        (b"a 1 2\nb 1  2\n", "auto", 3, "width is set to 3", "Set width to 2"),
        (b"a 1 2\nb  1\n", "auto", None, "line 2: it has 1 values", "Mend"),
        (b"2 2\na 1 2\nb nan 2\n", "auto", None, "line 3: nan is no finite number", "Mend"),
        (b"a 1 2\nb 1 -inf\n", "auto", None, "line 2: -inf is no finite number", "Mend"),
        (b"a 1 2\nb 1 1e39\n", "auto", None, "line 2: inf is no finite number", "Mend"),
        (b"2 2\na 1 2\nb 1 2\n", "auto", 50, "line 1: its vectors have 2 numbers", "to 2"),
        (b"2 2\na " + FLOATS + b"b " + FLOATS, "auto", 50, "vectors have 2 numbers", "to 2"),
        (b"3 2\na 1 2\nb 1 2\n", "auto", None, "holds 2 words; its first line promises 3", "whole"),
        (b"1 2\na 1 2\nb 1 2\n", "auto", None, "holds 2 words; its first line promises 1", "whole"),
        (b"a 1 2\n", "word2vec_text", None, "line 1: the format word2vec_text begins", "glove"),
        (b"a 1 2\n", "word2vec_binary", None, "line 1: the format word2vec_binary", "glove"),
        (b"9 2\na 1 2\n", "glove", None, "line 2: it has 2 values, but the width is 1", "format"),
        (b"hello\n", "auto", None, "vectors of 0 numbers", "another file"),
        (b"1 99999999999\na ", "auto", None, "vectors of 99999999999 numbers", "another file"),
        (b"2 2\na " + FLOATS + b"b " + FLOATS[:7], "auto", None, "word 2 of 2: the file is cut",
         "whole copy"),
        (b"2 2\na " + FLOATS, "auto", None, "word 2 of 2: the file is cut short", "whole copy"),
        (b"1 2\na " + FLOATS + b"b ", "auto", None, "goes on after the 1 words", "first line"),
        (b"1 1\na \x00\x00\xc0\x7f", "auto", None, "word 1 of 1: nan is no finite", "Mend"),
        (b"x 1 2\ny 3 4\n", "auto", None, "has a vector for none of the 2 words", "language"),
        (b"x" * 2**20, "auto", None, "line 1: it is longer than", "another file"),
        (b"1 2\n" + b"\x00" * 2**21, "auto", None, "word 1 of 1: no space ends the word", "whole"),
    ],
)  # fmt: skip
def test_bad_files_are_named_with_their_place_and_remedy(
    tmp_path: Path,
    content: bytes,
    file_format: FileFormat,
    width: int | None,
    message: str,
    remedy: str,
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_bytes(content)
    with pytest.raises(UserMistake) as caught:
        read_vectors(str(path), ["a", "b"], file_format, width)
    assert message in caught.value.message
    assert str(path) in caught.value.message
    assert remedy in caught.value.remedy


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    whole = gzip.compress(Path(saved(tmp_path / "v", "glove")).read_bytes())
    (tmp_path / "short.gz").write_bytes(whole[:-20])
    (tmp_path / "text.gz").write_bytes(b"a 1 2\n")
    for name, message in {
        "short.gz": "can't be read",
        "text.gz": "can't be read",
        "absent.txt": "There is no file",
        "": "can't be read",  # the folder
    }.items():
        with pytest.raises(UserMistake, match=message):
            read_vectors(str(tmp_path / name), WORDS)
    with pytest.raises(UserMistake, match="can't be opened"):
        read_vectors("nowhere://vectors.txt", WORDS)
    with pytest.raises(UserMistake, match="There is no file"):
        file_digest(str(tmp_path / "absent.txt"))


SENTENCES = [
    [["the", "king"], ["a", "fool"]][i % 2] + [["sees", "loves"][i % 3 % 2]] + [f"thing{i % 7}"]
    for i in range(200)
]


def trained(seed: int = 1, *, skip_gram: bool = True) -> dict[str, Vector]:
    return train_word2vec(
        SENTENCES, width=8, window=2, num_epochs=3, skip_gram=skip_gram, num_negative=5, seed=seed
    )


def bits(vectors: dict[str, Vector]) -> str:
    digest = hashlib.sha256(" ".join(vectors).encode())
    for vector_E in vectors.values():
        digest.update(vector_E.tobytes())
    return digest.hexdigest()


def test_word2vec_gives_the_same_bits_in_any_process() -> None:
    here = [bits(trained(skip_gram=skip_gram)) for skip_gram in (True, False)]
    assert here == [bits(trained(skip_gram=skip_gram)) for skip_gram in (True, False)]
    assert len({*here, bits(trained(seed=2)), bits(trained(seed=2, skip_gram=False))}) == 4
    code = (
        "from tests.tasks.test_word_vectors import bits, trained\n"
        "print(bits(trained()), bits(trained(skip_gram=False)))"
    )
    own_seed = os.environ.get("PYTHONHASHSEED", "random")
    other_seed = "1" if own_seed != "1" else "2"
    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=PROJECT,
        env={**os.environ, "PYTHONHASHSEED": other_seed, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.split() == here


def test_epochs_one_by_one_are_gensims_own_run() -> None:
    model = Word2Vec(
        SENTENCES, vector_size=8, window=2, sg=1, negative=5, min_count=1, seed=1, workers=1,
        epochs=3,
    )  # fmt: skip
    assert_same(trained(), {word: model.wv[word] for word in model.wv.index_to_key})


def test_words_of_like_company_come_near_each_other() -> None:
    draw = np.random.default_rng(3)
    sentences = [
        [f"{kind}{index}" for index in draw.integers(0, 4, size=6)]
        for kind in draw.choice(["sea", "land"], size=2000)
    ]
    vectors = train_word2vec(
        sentences, width=10, window=5, num_epochs=5, skip_gram=True, num_negative=5, seed=1
    )
    unit = {word: vector_E / np.linalg.norm(vector_E) for word, vector_E in vectors.items()}
    for word, vector_E in unit.items():
        nearest = sorted(unit, key=lambda other: -float(unit[other] @ vector_E))[:4]
        assert {other[:-1] for other in nearest} == {word[:-1]}


def test_long_sentences_are_learned_to_their_end() -> None:
    with patch.object(word_vectors, "LONGEST_SENTENCE", 3):
        pieces = list(word_vectors._Pieces([["a", "b"], ["c", "d", "e", "f"], []]))
    assert pieces == [["a", "b"], ["c", "d", "e"], ["f"]]


def test_no_words_are_an_error() -> None:
    with pytest.raises(ValueError, match="hold no word"):
        train_word2vec(
            [[]], width=2, window=1, num_epochs=1, skip_gram=True, num_negative=5, seed=1
        )
