"""Small EPUBs, made for the tests that read them."""

import zipfile
from collections.abc import Mapping, Sequence
from io import BytesIO

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0">
<rootfiles><rootfile full-path="OEBPS/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""
TITLE = "<dc:title>A Tale</dc:title>"


def page(body: str) -> str:
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml"'
        ' xmlns:epub="http://www.idpf.org/2007/ops"><head><title>A page</title></head>'
        f"<body>{body}</body></html>"
    )


def package(
    pages: Sequence[str],
    metadata: str = TITLE,
    items: str = "",
    spine: str | None = None,
    guide: str = "",
) -> str:
    """A package document; its pages have the ids p0, p1, ... unless `spine` says otherwise."""
    manifest = "".join(
        f'<item id="p{index}" href="{href}" media-type="application/xhtml+xml"/>'
        for index, href in enumerate(pages)
    )
    if spine is None:
        spine = "".join(f'<itemref idref="p{index}"/>' for index in range(len(pages)))
    return (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" version="3.0">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/"'
        f' xmlns:opf="http://www.idpf.org/2007/opf">{metadata}</metadata>'
        f'<manifest>{manifest}{items}</manifest><spine toc="ncx">{spine}</spine>'
        f"<guide>{guide}</guide></package>"
    )


NAVIGATION_ITEM = (
    '<item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
)
NCX_ITEM = '<item id="ncx" href="toc.ncx" media-type="application/x-dtbncx+xml"/>'


def packed(files: Mapping[str, str | bytes], container: str | bytes = CONTAINER) -> bytes:
    """The archive of a book's files."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip", zipfile.ZIP_STORED)
        archive.writestr("META-INF/container.xml", container)
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def book(
    pages: Mapping[str, str],
    *,
    metadata: str = TITLE,
    toc: str | None = None,
    landmarks: str = "",
    ncx: str | None = None,
    guide: str = "",
) -> bytes:
    """An EPUB of pages' bodies; `toc` and `landmarks` are the lists of EPUB 3's document."""
    files: dict[str, str | bytes] = {f"OEBPS/{name}": page(body) for name, body in pages.items()}
    items = ""
    if toc is not None:
        items += NAVIGATION_ITEM
        files["OEBPS/nav.xhtml"] = page(
            f'<nav epub:type="toc">{toc}</nav><nav epub:type="landmarks">{landmarks}</nav>'
        )
    if ncx is not None:
        items += NCX_ITEM
        files["OEBPS/toc.ncx"] = ncx
    files["OEBPS/book.opf"] = package(list(pages), metadata, items, guide=guide)
    return packed(files)
