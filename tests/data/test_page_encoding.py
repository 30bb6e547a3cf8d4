import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.page_encoding import declared_encoding


@pytest.mark.parametrize(
    ("raw", "encoding"),
    [
        (b"<meta charset=koi8-r>", "koi8-r"),
        (b'<META CHARSET = " windows-1251 " />', "windows-1251"),
        (b"<meta http-equiv='Content-Type' content='text/html; charset=latin-1'>", "latin-1"),
        (b'<meta content="text/html;charset=big5" http-equiv=content-type>', "big5"),
        (b"<meta content='text/html; charset=big5'>", None),
        (b"<meta name=keywords content='charset'><meta charset=big5>", "big5"),
        (b"<!-- <meta charset=big5> --><meta charset=koi8-r>", "koi8-r"),
        (b"<!--><meta charset=koi8-r>", "koi8-r"),
        (b"<!-- never closed <meta charset=koi8-r>", None),
        (b"<p title='<meta charset=big5>'><meta charset=koi8-r>", "koi8-r"),
        (b"<metadata charset=koi8-r>", None),
        (b"<meta charset=utf-16>", "utf-8"),
        (b"<?xml version='1.0' encoding='ISO-8859-2'?><meta charset=big5>", "ISO-8859-2"),
        (b"<?xml version='1.0'?><meta charset=big5>", "big5"),
        (b" " * 1_010 + b"<meta charset=koi8-r>", None),
        ("<?xml version='1.0'?>".encode("utf-16-le"), "utf-16-le"),
        ("<?xml version='1.0'?>".encode("utf-16-be"), "utf-16-be"),
        (codecs.BOM_UTF8 + b"<meta charset=big5>", "utf-8"),
        (b"plain", None),
        (b"", None),
    ],
)
def test_what_a_page_declares(raw: bytes, encoding: str | None) -> None:
    assert declared_encoding(raw) == encoding


def test_what_is_sent_goes_before_the_page_but_not_before_its_mark() -> None:
    assert declared_encoding(b"<meta charset=big5>", "koi8-r ") == "koi8-r"
    assert declared_encoding(b"<meta charset=big5>", " ") == "big5"
    assert declared_encoding(codecs.BOM_UTF16_LE, "koi8-r") == "utf-16-le"


pieces = st.sampled_from([b"<", b"<meta ", b"charset", b"=", b"'", b'"', b"<!--", b">", b"/", b"a"])


@given(st.binary() | st.lists(pieces).map(b"".join))
def test_any_bytes_declare_something_or_nothing(raw: bytes) -> None:
    encoding = declared_encoding(raw)
    assert encoding is None or encoding.strip()
