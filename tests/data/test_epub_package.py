import pytest

from data.archives import ArchiveLimits, open_archive
from data.documents import Unreadable
from data.epub_package import Landmark, Package, Place, place_of, read_package
from data.safe_xml import all_named, parse_xml, words_of
from tests.data.epub_files import (
    CONTAINER,
    NAVIGATION_ITEM,
    NCX_ITEM,
    package,
    packed,
    page,
)

PAGES = {"OEBPS/a.xhtml": page("<p>a</p>"), "OEBPS/b.xhtml": page("<p>b</p>")}
ENTITIES = '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
CONTENT = "http://www.w3.org/2001/04/xmlenc#aes256-cbc"
FONT = "http://www.idpf.org/2008/embedding"


def read(raw: bytes) -> Package:
    return read_package(open_archive(raw, ArchiveLimits()))


def with_package(document: str) -> bytes:
    return packed({**PAGES, "OEBPS/book.opf": document})


def refused(raw: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        read(raw)
    assert caught.value.remedy
    return caught.value.reason


def told(metadata: str) -> Package:
    return read(with_package(package(["a.xhtml"], metadata)))


def encryption(*of: tuple[str, str]) -> str:
    told = "".join(
        "<EncryptedData xmlns='http://www.w3.org/2001/04/xmlenc#'>"
        f"<EncryptionMethod Algorithm='{algorithm}'/>"
        f"<CipherData><CipherReference URI='{uri}'/></CipherData></EncryptedData>"
        for algorithm, uri in of
    )
    return (
        f"<encryption xmlns='urn:oasis:names:tc:opendocument:xmlns:container'>{told}</encryption>"
    )


def test_a_package_of_each_thing() -> None:
    document = package(
        ["a.xhtml", "b.xhtml"],
        metadata=(
            "<dc:title>A  Tale\n</dc:title><dc:title>Its Subtitle</dc:title>"
            '<dc:creator opf:role="ill">A Painter</dc:creator>'
            '<dc:creator opf:role="aut">A Poet</dc:creator>'
            '<dc:date opf:event="conversion">2025-01-01</dc:date>'
            '<dc:date opf:event="publication">1813-01-28</dc:date>'
            "<dc:language>en-GB</dc:language><dc:rights>Public domain.</dc:rights>"
        ),
        items=NAVIGATION_ITEM + NCX_ITEM,
        guide='<reference type="title-page" href="a.xhtml"/><reference type="other.x" href="b"/>'
        '<reference type="toc" href="b.xhtml#toc"/><reference type="cover" href="../../c"/>',
    )
    assert read(with_package(document)) == Package(
        title="A Tale",
        author="A Poet",
        year=1813,
        language="en",
        licence="Public domain.",
        pages=("OEBPS/a.xhtml", "OEBPS/b.xhtml"),
        apart=(),
        navigation="OEBPS/nav.xhtml",
        ncx="OEBPS/toc.ncx",
        guide=(
            Landmark("title page", Place("OEBPS/a.xhtml", None)),
            Landmark("contents", Place("OEBPS/b.xhtml", "toc")),
        ),
    )


def test_a_package_that_tells_nothing() -> None:
    assert told("") == Package(
        title=None,
        author=None,
        year=None,
        language=None,
        licence=None,
        pages=("OEBPS/a.xhtml",),
        apart=(),
        navigation=None,
        ncx=None,
        guide=(),
    )


@pytest.mark.parametrize(
    ("creators", "author"),
    [
        ("<dc:creator>First</dc:creator><dc:creator>Second</dc:creator>", "First"),
        (
            '<dc:creator id="a">Editor</dc:creator><dc:creator id="b">Poet</dc:creator>'
            '<meta refines="#a" property="role">edt</meta>'
            '<meta refines="#b" property="role">aut</meta>',
            "Poet",
        ),
        ("<dc:creator> </dc:creator>", None),
        ("<dc:creator>Bront&euml; &amp; Sisters &copy;</dc:creator>", "Brontë & Sisters ©"),
    ],
)
def test_the_author(creators: str, author: str | None) -> None:
    assert told(creators).author == author


@pytest.mark.parametrize(
    ("date", "year"), [("1813", 1813), ("-0043-03-15", -43), ("c. 1813", None), ("", None)]
)
def test_the_year(date: str, year: int | None) -> None:
    assert told(f"<dc:date>{date}</dc:date>").year == year


def test_calibres_unknown_date_is_none() -> None:
    unknown = "<dc:date>0101-01-01T00:00:00+00:00</dc:date>"
    assert told(unknown).year is None
    assert told(f"{unknown}<dc:date>1813-01-28</dc:date>").year == 1813


@pytest.mark.parametrize(
    ("tag", "language"), [("FR", "fr"), ("de_AT", "de"), ("eng", None), ("English", None)]
)
def test_the_language(tag: str, language: str | None) -> None:
    assert told(f"<dc:language>{tag}</dc:language>").language == language


def test_pages_apart_pictures_and_repetitions_are_left_out() -> None:
    document = package(
        ["a.xhtml", "b.xhtml"],
        items='<item id="svg" href="c.svg" media-type="image/svg+xml"/>',
        spine='<itemref idref="svg"/><itemref idref="p1"/><itemref idref="p0" linear="no"/>'
        '<itemref idref="p1"/>',
    )
    found = read(with_package(document))
    assert (found.pages, found.apart) == (("OEBPS/b.xhtml",), ("OEBPS/a.xhtml",))


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        (package(["c.xhtml"]), "The page 'OEBPS/c.xhtml' is missing in the archive."),
        (package([]), "The spine of 'OEBPS/book.opf' names no pages of text."),
        (
            package(["a.xhtml"], spine='<itemref idref="z"/>'),
            "The spine of 'OEBPS/book.opf' names 'z', which its manifest lacks.",
        ),
        (
            package(["http://example.org/a.xhtml"]),
            "'OEBPS/book.opf' names 'http://example.org/a.xhtml', which is not in the book;"
            " nothing is fetched.",
        ),
        (
            package(["../../etc/passwd"]),
            "'OEBPS/book.opf' names '../../etc/passwd', which leads out of the archive.",
        ),
        (
            package(
                [],
                items='<item id="p" href="a.pdf" media-type="application/pdf"/>',
                spine='<itemref idref="p"/>',
            ),
            "The page 'OEBPS/a.pdf' is of the type 'application/pdf', which is not read.",
        ),
        (
            ENTITIES + package(["a.xhtml"], "<dc:title>&b;</dc:title>"),
            "'OEBPS/book.opf' declares entities, which can expand without end.",
        ),
    ],
)
def test_packages_that_are_refused(document: str, reason: str) -> None:
    document = document.replace('<?xml version="1.0"?>', "")
    assert refused(with_package(document)) == reason


def test_a_package_cut_short() -> None:
    document = package(["a.xhtml", "b.xhtml"])
    assert refused(with_package(document[:-100])).startswith(
        "'OEBPS/book.opf' is no well-formed XML: "
    )


def test_containers_that_are_refused() -> None:
    files = {**PAGES, "OEBPS/book.opf": package(["a.xhtml"])}
    name = "'META-INF/container.xml'"
    assert refused(packed(files, "<container/>")) == f"{name} names no package document."
    assert refused(packed(files, "")).startswith(f"{name} is no well-formed XML: ")
    assert refused(packed(files, ENTITIES + "<container>&b;</container>")) == (
        f"{name} declares entities, which can expand without end."
    )
    elsewhere = CONTAINER.replace("book.opf", "other.opf")
    assert refused(packed(files, elsewhere)) == "The archive holds no file 'OEBPS/other.opf'."


def test_an_archive_that_is_no_book() -> None:
    raw = packed({}).replace(b"META-INF/container.xml", b"META-INF/contained.xml")
    assert refused(raw) == "It is no EPUB: the archive holds no META-INF/container.xml."


@pytest.mark.parametrize(
    ("licence", "scheme"),
    [
        ("META-INF/license.lcpl", "LCP of Readium"),
        ("META-INF/rights.xml", "ADEPT of Adobe"),
        ("META-INF/sinf.xml", "FairPlay of Apple"),
        ("META-INF/other.xml", "by a scheme that it does not name"),
    ],
)
def test_an_encrypted_book(licence: str, scheme: str) -> None:
    told = encryption((FONT, "f.otf"), (CONTENT, "OEBPS/a.xhtml"), (CONTENT, "OEBPS/b.xhtml"))
    files = {**PAGES, "OEBPS/book.opf": package(["a.xhtml"]), "META-INF/encryption.xml": told}
    with pytest.raises(Unreadable) as caught:
        read(packed({**files, licence: "<licence/>"}))
    assert caught.value.reason == (
        f"It is encrypted ({scheme}): 2 of its members, 'OEBPS/a.xhtml' first."
    )
    assert caught.value.remedy == "Ask its publisher for a copy without protection."


def test_obfuscated_fonts_are_no_encryption() -> None:
    told = encryption((FONT, "a.otf"), ("http://ns.adobe.com/pdf/enc#RC", "b.otf"))
    files = {**PAGES, "OEBPS/book.opf": package(["a.xhtml"]), "META-INF/encryption.xml": told}
    assert read(packed(files)).pages == ("OEBPS/a.xhtml",)


@pytest.mark.parametrize(
    ("href", "place"),
    [
        ("a%20b.xhtml#caf%C3%A9", Place("x/a b.xhtml", "café")),
        ("../y/./a.xhtml", Place("y/a.xhtml", None)),
        ("#here", Place("x/base.opf", "here")),
        ("a.xhtml#", Place("x/a.xhtml", None)),
    ],
)
def test_places(href: str, place: Place) -> None:
    assert place_of(href, "x/base.opf") == place


@pytest.mark.parametrize(
    "href", ["file:///etc/passwd", "//host/a", "/a", "..", "%2e%2e/%2e%2e/a", "http://["]
)
def test_places_out_of_the_archive(href: str) -> None:
    with pytest.raises(Unreadable, match="names"):
        place_of(href, "x/base.opf")


def test_no_file_is_looked_up() -> None:
    raw = b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/hostname">]><a>&f;</a>'
    with pytest.raises(Unreadable, match=r"'a.opf' declares entities"):
        parse_xml(raw, "a.opf")
    with pytest.raises(Unreadable, match=r"'a.opf' declares entities"):
        parse_xml(raw.decode().encode("utf-16"), "a.opf")


def test_a_damaged_document_is_read_as_far_as_it_goes_where_that_is_asked() -> None:
    damaged = b"<a>Caf&eacute; & <b>Bar</a>"
    with pytest.raises(Unreadable, match="is no well-formed XML"):
        parse_xml(damaged, "a")
    assert words_of(parse_xml(damaged, "a", forgiving=True)) == "Café Bar"
    with pytest.raises(Unreadable, match="'a' is no XML"):
        parse_xml(b"no XML", "a", forgiving=True)


def test_elements_inside_their_like_are_part_of_them() -> None:
    """Or the words of the innermost of 200 would be read 200 times."""
    root = parse_xml(b"<a><b>1<b>2</b><c><b>3</b></c></b><c><b>4</b></c></a>", "a")
    assert [words_of(one) for one in all_named(root, "b")] == ["123", "4"]
    assert [one.tag for one in all_named(root, "a", "b")] == ["a"]


def test_a_control_character_in_a_package_is_told_on_one_line() -> None:
    reason = refused(with_package("<package>\0</package>"))
    assert "no well-formed XML" in reason and reason.isprintable()
