"""The encoding that an HTML or XHTML page declares, before it is decoded.

https://html.spec.whatwg.org/multipage/parsing.html#prescan-a-byte-stream-to-determine-its-encoding
"""

import re

_PRESCANNED_BYTES = 1_024
_MARKS = {b"\xef\xbb\xbf": "utf-8", b"\xff\xfe": "utf-16-le", b"\xfe\xff": "utf-16-be"}
_XML_IN_UTF16 = {b"<\0?\0x\0": "utf-16-le", b"\0<\0?\0x": "utf-16-be"}
_XML_DECLARATION = re.compile(rb"""<\?xml\b[^>]*?\bencoding\s*=\s*["']\s*([^"'\s>]+)""")
_NEXT = re.compile(rb"<(?:(?P<comment>!--)|(?P<tag>/?[a-zA-Z][^\s/>]*)|[!/?])")
_ATTRIBUTE = re.compile(
    rb"""[\s/]*([^\s/>=][^\s/>=]*)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"'][^\s>]*)))?"""
)
_CHARSET = re.compile(rb"""charset\s*=\s*(?:"([^"]+)"|'([^']+)'|([^\s;"']+))""", re.IGNORECASE)


def declared_encoding(raw: bytes, sent: str | None = None) -> str | None:
    """What a page says its encoding is, as it says it; None where it does not.

    First a byte-order mark, then what was sent with the page, then an XML declaration, then the
    first `<meta>` with an encoding in the first 1,024 bytes. A `<meta>` that says UTF-16 could not
    be read if it were so, and means UTF-8.

    Args:
        raw: the page's bytes.
        sent: the encoding in HTTP's Content-Type, or whoever else sent the page.
    """
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            return encoding
    if sent and sent.strip():
        return sent.strip()
    for beginning, encoding in _XML_IN_UTF16.items():
        if raw.startswith(beginning):
            return encoding
    start = raw[:_PRESCANNED_BYTES]
    declaration = _XML_DECLARATION.match(start.lstrip())
    encoding_in_ascii = declaration[1] if declaration else _from_meta(start)
    if encoding_in_ascii is None:
        return None
    named = encoding_in_ascii.strip().decode("ascii", "replace")
    return "utf-8" if named.lower().startswith("utf-16") else named


def _from_meta(start: bytes) -> bytes | None:
    """The first encoding in a `<meta>`; comments and other tags' values are no tags."""
    position = 0
    while found := _NEXT.search(start, position):
        position = found.end()
        if found["comment"]:
            # '<!-->' is a whole comment.
            closing = start.find(b"-->", found.start() + 2)
            if closing == -1:
                return None
            position = closing + len(b"-->")
        elif found["tag"]:
            attributes: dict[bytes, bytes] = {}
            while attribute := _ATTRIBUTE.match(start, position):
                value = attribute[2] or attribute[3] or attribute[4] or b""
                attributes.setdefault(attribute[1].lower(), value)
                position = attribute.end()
            if found["tag"].lower() == b"meta" and (encoding := _encoding_in(attributes)):
                return encoding
        else:
            closing = start.find(b">", position)
            position = len(start) if closing == -1 else closing
    return None


def _encoding_in(attributes: dict[bytes, bytes]) -> bytes | None:
    if encoding := attributes.get(b"charset", b"").strip():
        return encoding
    if attributes.get(b"http-equiv", b"").strip().lower() == b"content-type":
        found = _CHARSET.search(attributes.get(b"content", b""))
        return found[1] or found[2] or found[3] if found else None
    return None
