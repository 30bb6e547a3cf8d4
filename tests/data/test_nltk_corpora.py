import shutil
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile

import nltk.data
import pytest

from data import nltk_corpora
from data.documents import Unreadable
from data.nltk_corpora import read_nltk
from data.raw_book import PLAIN_TEXT, RawBook

FILES = {
    "README": b"About the corpus.",
    "austen-emma.txt": b"[Emma by Jane Austen 1816]",
    "bible-kjv.txt": "Im Anfang schuf Gott\x96".encode("latin-1"),
    "inner/late.txt": b"Late.",
}
TEXTS = ["austen-emma.txt", "bible-kjv.txt", "inner/late.txt"]


def as_folder(corpora: Path) -> None:
    for name, content in FILES.items():
        path = corpora / "gutenberg" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def as_zip(corpora: Path) -> None:
    corpora.mkdir(parents=True, exist_ok=True)
    with ZipFile(corpora / "gutenberg.zip", "w", ZIP_DEFLATED) as archive:
        archive.mkdir("gutenberg")
        for name, content in FILES.items():
            archive.writestr(f"gutenberg/{name}", content)
        archive.writestr("gutenberg/../../evil.txt", b"Evil.")
        archive.writestr("elsewhere.txt", b"Not of this corpus.")


installed = pytest.mark.parametrize("install", [as_folder, as_zip])
Install = Callable[[Path], None]


@pytest.fixture
def corpora(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of corpora in the second of NLTK's folders; the first is not there."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nowhere"), str(tmp_path / "data")])
    return tmp_path / "data" / "corpora"


@installed
def test_a_file_is_read_as_it_is(install: Install, corpora: Path) -> None:
    install(corpora)
    source = "nltk:gutenberg/inner/late.txt"
    assert list(read_nltk(source)) == [RawBook(source, "late.txt", PLAIN_TEXT, b"Late.")]
    (readme,) = read_nltk("nltk:gutenberg/README")
    assert readme.content == FILES["README"]


@installed
def test_a_corpus_means_its_texts_in_order(install: Install, corpora: Path) -> None:
    install(corpora)
    books = list(read_nltk("nltk:gutenberg"))
    assert [book.source for book in books] == [f"nltk:gutenberg/{name}" for name in TEXTS]
    assert [book.content for book in books] == [FILES[name] for name in TEXTS]
    assert list(read_nltk("nltk:gutenberg/")) == books


@installed
@pytest.mark.parametrize(
    "inner",
    ["../evil.txt", "inner/../../../evil.txt", "/etc/passwd", "./README", "..", "a\\..\\b", "c:x"],
)
def test_paths_lead_out_of_no_corpus(install: Install, inner: str, corpora: Path) -> None:
    install(corpora)
    (corpora / "evil.txt").write_bytes(b"Evil.")
    with pytest.raises(Unreadable, match="leads out of the corpus"):
        list(read_nltk(f"nltk:gutenberg/{inner}"))


@pytest.mark.parametrize("name", ["..", ".", "", "~", "guten berg", "/etc", "a\\b"])
def test_corpora_have_plain_names(name: str, corpora: Path) -> None:
    with pytest.raises(Unreadable, match="is no name of an NLTK corpus"):
        list(read_nltk(f"nltk:{name}"))


def test_links_lead_out_of_no_corpus(corpora: Path) -> None:
    as_folder(corpora)
    (corpora / "evil.txt").write_bytes(b"Evil.")
    (corpora / "gutenberg" / "link.txt").symlink_to(corpora / "evil.txt")
    with pytest.raises(Unreadable, match=r"link\.txt is a link that leads out"):
        list(read_nltk("nltk:gutenberg/link.txt"))


def test_a_corpus_may_be_a_link_itself(corpora: Path, tmp_path: Path) -> None:
    as_folder(tmp_path / "disk")
    corpora.mkdir(parents=True)
    (corpora / "gutenberg").symlink_to(tmp_path / "disk" / "gutenberg")
    assert len(list(read_nltk("nltk:gutenberg"))) == 3


@installed
def test_a_file_that_is_not_there_is_said(install: Install, corpora: Path) -> None:
    install(corpora)
    for inner in ("gone.txt", "inner"):
        with pytest.raises(Unreadable, match=f"corpus gutenberg has no file {inner}"):
            list(read_nltk(f"nltk:gutenberg/{inner}"))


def test_a_corpus_that_is_not_installed_is_said(corpora: Path) -> None:
    with pytest.raises(Unreadable, match=r"not installed in any of .*nowhere") as raised:
        list(read_nltk("nltk:gutenberg"))
    assert "python -m nltk.downloader gutenberg" in raised.value.remedy


def test_a_corpus_without_texts_is_said(corpora: Path) -> None:
    (corpora / "brown").mkdir(parents=True)
    (corpora / "brown" / "ca01").write_bytes(b"The/at")
    with pytest.raises(Unreadable, match=r"holds no \.txt files"):
        list(read_nltk("nltk:brown"))


@installed
def test_files_that_are_too_large_are_not_read(
    install: Install, corpora: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(corpora)
    monkeypatch.setattr(nltk_corpora, "MOST_BYTES", 4)
    with pytest.raises(Unreadable, match=r"late\.txt is larger than 4 bytes"):
        list(read_nltk("nltk:gutenberg/inner/late.txt"))


def test_damage_is_said(corpora: Path) -> None:
    as_zip(corpora)
    path = corpora / "gutenberg.zip"
    raw = path.read_bytes()
    at = raw.index(b"austen-emma.txt") + len("austen-emma.txt")
    path.write_bytes(raw[:at] + bytes([raw[at] ^ 0xFF]) + raw[at + 1 :])
    with pytest.raises(Unreadable, match="gutenberg can't be read"):
        list(read_nltk("nltk:gutenberg/austen-emma.txt"))
    path.write_bytes(raw[:-30])
    with pytest.raises(Unreadable, match="gutenberg can't be read"):
        list(read_nltk("nltk:gutenberg"))
    shutil.rmtree(corpora)
