from pathlib import Path

import pytest

from data.catalogue import CatalogueBook, read_catalogue
from data.errors import UserMistake


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder whose name looks like a pattern."""
    (tmp_path / "shelf [old]").mkdir()
    return tmp_path / "shelf [old]"


def catalogue(folder: Path, content: str) -> Path:
    path = folder / "catalogue.toml"
    path.write_text(content, encoding="utf-8")
    return path


def sources(folder: Path, *given: str) -> list[str]:
    content = "\n".join(f"[[books]]\nsource = '{source}'" for source in given)
    return [book.source for book in read_catalogue(catalogue(folder, content))]


def test_books_are_read_with_what_is_known_of_them(tmp_path: Path) -> None:
    path = catalogue(
        tmp_path,
        """
        [[books]]
        source = "gutenberg:1342"
        title = "Pride and Prejudice"
        author = "Jane Austen"
        year = 1813
        genre = "novel"
        language = "en"

        [[books]]
        source = "plays"
        """,
    )
    assert read_catalogue(path) == (
        CatalogueBook(
            source="gutenberg:1342",
            title="Pride and Prejudice",
            author="Jane Austen",
            year=1813,
            genre="novel",
            language="en",
        ),
        CatalogueBook(source="plays"),
    )


def test_paths_are_joined_to_the_folder_of_the_catalogue(shelf: Path) -> None:
    assert sources(shelf, "emma.txt", "../a/b.txt", "/abs/c.txt", "parquet:d.parquet") == [
        f"{shelf}/emma.txt",
        f"{shelf}/../a/b.txt",
        "/abs/c.txt",
        f"parquet:{shelf}/d.parquet",
    ]
    others = ["plays", "gutenberg:11", "nltk:gutenberg", "https://books.example/a.txt"]
    others += ["HTTPS://books.example/b.txt", "Gutenberg:12", "s3://shelf/c.txt"]
    assert sources(shelf, *others) == others
    assert sources(shelf, "./plays") == [f"{shelf}/plays"]


def test_a_folder_named_like_the_plays_is_none_of_them(
    shelf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shelf)
    assert sources(Path(), "./plays", "plays", "emma.txt") == ["./plays", "plays", "emma.txt"]


def test_patterns_mean_files_of_that_very_folder(shelf: Path) -> None:
    (shelf / "[1].txt").write_text("A name like a pattern.")
    assert sources(shelf, "*.txt", "[1].txt") == [
        f"{shelf.parent}/shelf [[]old]/*.txt",
        f"{shelf}/[1].txt",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "has no list of books"),
        ("books = []", "has no list of books"),
        ("books = 'emma.txt'", "has no list of books"),
        ("books = ['emma.txt']", "book 1 is 'emma.txt'"),
        ("[books]\nsource = 'a'", "has no list of books"),
        ("[[book]]\nsource = 'a'", "has the unknown key 'book'"),
        ("[[books]]\nsource = 'a'\n[[books]]\ntitle = 'Emma'", r"book 2 \(Emma\) has no source"),
        ("[[books]]\nsource = 'a'\nauthour = 'b'", "book 1 has the unknown key 'authour'"),
        ("[[books]]\nsource = 'a'\nyear = '1813'", "book 1 has the year '1813'"),
        ("[[books]]\nsource = 'a'\nyear = 18130000000", "book 1 has the year 18130000000"),
        ("[[books]]\nsource = 'a'\nyear = 3001", "book 1 has the year 3001"),
        (f"year = {'1' * 5_000}", "is TOML that can't be read"),
        ("a = " + "[" * 5_000, "is TOML that can't be read"),
        ("[[books]]\nsource = 'a'\nyear = true", "book 1 has the year True"),
        ("[[books]]\nsource = 'a'\nyear = 1813.0", r"book 1 has the year 1813\.0"),
        ("[[books]]\nsource = 'a'\ntitle = 1984", "book 1 has the title 1984"),
        ("[[books]]\nsource = ' '", "book 1 has the source ' '"),
        ("[[books]]\nsource = 'a'\nlanguage = 'English'", "book 1 has the language 'English'"),
        ("[[books]]\nsource = 'a'\n[[books]]\nsource = './a'", "book 2 has the source of book 1"),
        ("[[books]]\nsource = a", r"no TOML: .*line 2"),
    ],
)
def test_mistakes_are_told_with_their_place(content: str, message: str, tmp_path: Path) -> None:
    path = catalogue(tmp_path, content)
    with pytest.raises(UserMistake, match=message) as raised:
        read_catalogue(path)
    assert raised.value.message.startswith(str(path))
    assert raised.value.remedy


def test_what_is_no_file_or_no_text_is_told(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="No such file"):
        read_catalogue(tmp_path / "gone.toml")
    with pytest.raises(UserMistake, match="Is a directory"):
        read_catalogue(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b"# \xe9")
    with pytest.raises(UserMistake, match="byte 2 begins no character"):
        read_catalogue(tmp_path / "latin.toml")


def test_a_mark_of_byte_order_is_no_mistake(tmp_path: Path) -> None:
    assert sources(tmp_path, "plays") == ["plays"]
    path = tmp_path / "catalogue.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_catalogue(path) == (CatalogueBook("plays"),)


def test_the_packaged_catalogue_names_famous_books() -> None:
    books = read_catalogue(Path(__file__).parents[2] / "data" / "catalogue.toml")
    assert {book.source: (book.year, book.language) for book in books} == {
        "gutenberg:1342": (1813, "en"),
        "gutenberg:105": (1817, "en"),
        "gutenberg:11": (1865, "en"),
        "gutenberg:12": (1871, "en"),
        "gutenberg:1400": (1861, "en"),
        "gutenberg:98": (1859, "en"),
        "gutenberg:1661": (1892, "en"),
        "gutenberg:2852": (1902, "en"),
        "gutenberg:35": (1895, "en"),
        "gutenberg:36": (1898, "en"),
        "gutenberg:84": (1818, "en"),
        "gutenberg:22367": (1915, "de"),
    }
    assert all(book.title and book.author and book.genre for book in books)


def test_a_catalogue_names_no_catalogues(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="book 1 has a catalogue as its source"):
        sources(tmp_path, "Catalogue.TOML")
    address = "https://example.org/shelf.toml"
    assert sources(tmp_path, address) == [address]
