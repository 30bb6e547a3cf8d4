import codecs
import os
import random
from contextlib import suppress
from encodings.aliases import aliases
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.documents import Unreadable
from data.encodings import decode

TEST_DATA = Path(
    os.environ.get("BOOKLOOM_TEST_DATA", Path(__file__).parents[2].parent / "shared" / "data")
)
needs_test_data = pytest.mark.skipif(
    not TEST_DATA.is_dir(), reason=f"{TEST_DATA} is not here; set BOOKLOOM_TEST_DATA"
)
RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая по-своему. "
POLISH = "Był wieczór, chłodny i wilgotny; źle się działo, choć mówili, iż będzie lepiej. "
CZECH = "Byl pozdní večer, první máj, byl lásky čas. Kde borový zaváněl háj, žel. "
GREEK = "Όταν κατά την αρχήν του φθινοπώρου επέστρεψα εις την πατρίδα μου. "
FRENCH = "Longtemps, je me suis couché de bonne heure; où étais-je, à peine éveillé? "
GERMAN = "Als Gregor Samsa erwachte, fand er sich größer, müde und schön häßlich. "
DANISH = "Der var engang en bonde, som havde tre sønner på gården; den ældste så på. "
ITALIAN = "Così, perché più là già c'è il lago, può andar giù fra monti e città. "
ENGLISH = "“It is a far, far better thing,” he said—“it’s a far better rest.” "
SPANISH = "En un lugar de la Mancha, rocín flaco y año. ¿Qué más? ¡Así comía los sábados! "
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。"


@pytest.mark.parametrize(
    ("text", "written_in", "encoding"),
    [
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8-r", "koi8-r"),
        (RUSSIAN, "cp866", "cp866"),
        (RUSSIAN, "iso8859-5", "iso8859-5"),
        (GREEK, "cp1253", "cp1253"),
        (POLISH, "cp1250", "cp1250"),
        (POLISH, "iso8859-2", "iso8859-2"),
        (CZECH, "iso8859-2", "iso8859-2"),
        (FRENCH, "latin-1", "latin-1"),
        (GERMAN, "latin-1", "latin-1"),
        (DANISH, "latin-1", "latin-1"),
        (ITALIAN, "latin-1", "latin-1"),
        (DANISH, "cp850", "cp850"),
        (SPANISH, "cp850", "cp850"),
        (FRENCH, "mac-roman", "mac-roman"),
        (ENGLISH, "windows-1252", "windows-1252"),
        (JAPANESE, "shift_jis", "shift_jis"),
        (JAPANESE, "euc_jp", "euc_jp"),
    ],
)
def test_legacy_encodings_are_told_apart_by_their_languages(
    text: str, written_in: str, encoding: str
) -> None:
    decoded = decode((text * 12).encode(written_in))
    assert decoded.text == text * 12
    assert decoded.encoding == encoding
    assert decoded.reason.startswith("detected, ")
    assert "% sure; " in decoded.reason


@pytest.mark.parametrize(
    ("raw", "declared", "encoding", "reason"),
    [
        (codecs.BOM_UTF8 + b"a", "latin-1", "utf-8", "byte-order mark"),
        (b"plain", None, "utf-8", "valid UTF-8"),
        ("für".encode(), None, "utf-8", "valid UTF-8"),
        ("für".encode("latin-1"), "ISO-8859-1", "latin-1", "declared as ISO-8859-1"),
        ("“für”".encode("cp1252"), "iso-8859-1", "windows-1252", "declared as iso-8859-1"),
        ("Все".encode("koi8-r"), " koi8-r ", "koi8-r", "declared as koi8-r"),
        ("für".encode("utf-16-le"), "utf-16-le", "utf-16-le", "declared as utf-16-le"),
        ("für".encode(), "utf-16", "utf-8", "valid UTF-8"),  # it could not say so in ASCII
        ("für".encode("latin-1"), "utf-8", "latin-1", "not UTF-8, and too little to tell more"),
        ("für".encode(), "klingon", "utf-8", "valid UTF-8"),
        (b"f\\u0041r", "unicode_escape", "utf-8", "valid UTF-8"),
        (b"6162", "hex", "utf-8", "valid UTF-8"),
        (b"abc", "x\0y", "utf-8", "valid UTF-8"),
    ],
)
def test_marks_come_before_declarations_and_they_before_guesses(
    raw: bytes, declared: str | None, encoding: str, reason: str
) -> None:
    decoded = decode(raw, declared=declared)
    assert (decoded.encoding, decoded.reason[: len(reason)]) == (encoding, reason)


@pytest.mark.parametrize(
    ("raw", "offset", "words"),
    [
        (b"ab\x00c", 2, "binary"),
        (codecs.BOM_UTF16_LE + "é𝄞\x07".encode("utf-16-le"), 8, "binary"),
        (codecs.BOM_UTF8 + b"a\x01", 4, "binary"),
        (codecs.BOM_UTF8 + b"abc\xe9", 6, "damaged"),
        ("déjà vu ".encode() + b"\xe9.", 10, "damaged"),
        (b"\x81bc", 0, "encoding is unknown"),
    ],
)
def test_what_is_no_text_says_where(raw: bytes, offset: int, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        decode(raw)
    assert caught.value.offset == offset
    assert words in caught.value.reason
    assert caught.value.remedy


def test_line_ends_become_newlines() -> None:
    assert decode(b"a\r\nb\rc\fd\ne\x1a").text == "a\nb\nc\nd\ne"
    assert decode("a\r\nb".encode("utf-16")).text == "a\nb"


def test_a_large_text_is_judged_by_three_pieces_and_decoded_whole() -> None:
    lines = [RUSSIAN.strip()] * 40_000
    raw = "\n".join(lines).encode("koi8-r")
    assert len(raw) > 2_000_000
    assert decode(raw).text == "\n".join(lines)
    japanese = (JAPANESE * 20_000).encode("shift_jis")  # no line ends: pieces cut characters
    assert decode(japanese).text[:10] == JAPANESE[:10]


@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_utf_8_comes_back_as_it_was(text: str) -> None:
    decoded = decode(text.encode())
    assert decoded.text == text.removeprefix("\ufeff")
    assert decoded.encoding == "utf-8"


@given(st.binary(max_size=400), st.sampled_from([None, "latin-1", "utf-16", "cp1251", "big5"]))
@settings(deadline=None)
def test_any_bytes_are_text_or_unreadable(raw: bytes, declared: str | None) -> None:
    try:
        decoded = decode(raw, declared=declared)
    except Unreadable as error:
        assert error.offset is not None
        assert 0 <= error.offset < len(raw)
    else:
        decoded.text.encode("utf-8")  # or no table could hold it
        assert not set("\r\f\0") & set(decoded.text)


@pytest.mark.parametrize("declared", sorted({*aliases, *aliases.values()}))
def test_no_name_of_an_encoding_makes_what_no_table_can_hold(declared: str) -> None:
    for name in (declared, declared.replace("_", "-").upper()):
        for raw in (b"It is a+2AE-b, \\ud801.", b"It is a \xed\xa0\x81."):
            with suppress(Unreadable):
                text = decode(raw, declared=name).text
                assert not [char for char in text if "\ud800" <= char <= "\udfff"]


def test_noise_beyond_ascii_is_never_called_sure_of_another_alphabet() -> None:
    noise = random.Random(1)
    raw = bytes(noise.choice(range(0xA0, 0x100)) for _ in range(4_000))
    assert decode(raw).encoding == "latin-1"


@needs_test_data
def test_one_novel_in_two_encodings_has_the_same_words() -> None:
    in_utf8, in_latin1 = (
        decode((TEST_DATA / name).read_bytes())
        for name in ("books/dickens_expectations.txt", "books_awkward/expectations_latin1.txt")
    )
    assert (in_utf8.encoding, in_utf8.reason) == ("utf-8", "byte-order mark")
    assert in_latin1.encoding == "latin-1"
    assert len(in_utf8.text.split()) == len(in_latin1.text.split()) == 187_425
    plain = str.maketrans("“”‘’", "\"\"''")
    words, latin_words = in_utf8.text.translate(plain).split(), in_latin1.text.split()
    # The two releases differ in their headers and a few corrected misprints.
    num_same = sum(one == other for one, other in zip(words, latin_words, strict=True))
    assert num_same > 187_000
    assert {"Gargery,", "château", "Æneas"} & set(words) <= set(latin_words)


@needs_test_data
def test_labelled_sequences_are_valid_or_not() -> None:
    lines = (TEST_DATA / "books_awkward" / "utf8tests.bin").read_bytes().split(b"\n")
    labelled = [line.split(b":", 2) for line in lines if line.count(b":") >= 2]
    judged = [(kind, sequence) for _, kind, sequence in labelled if kind in (b"valid", b"invalid")]
    assert len(judged) > 20
    for kind, sequence in judged:
        try:
            is_utf8 = decode(codecs.BOM_UTF8 + sequence).encoding == "utf-8"
        except Unreadable as error:
            is_utf8 = "binary" in error.reason
        assert is_utf8 == (kind == b"valid"), sequence
