"""Turn bytes into text: which encoding, how that is known, and what is no text at all."""

import codecs
import re
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import NamedTuple

import charset_normalizer
from charset_normalizer import CharsetMatch

from data.documents import Unreadable


class Decoded(NamedTuple):
    """A text with newlines as its only line ends, its encoding, and why it was read in that."""

    text: str
    encoding: str
    reason: str


# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# C1 controls (U+0080 to U+009F) pass: they are quotation marks that someone converted wrongly in
# an otherwise good text, not a sign of a program or a picture.
_CONTROL_BYTES = bytes([*range(0x09), 0x0B, *range(0x0E, 0x20), 0x7F])
_CONTROL_CHARACTER = re.compile(f"[{re.escape(_CONTROL_BYTES.decode())}]")
_END_OF_FILE = "\x1a"  # MS-DOS closed its texts with it

# Packages may register codecs of their own, for any name.
_CHARACTER_SETS = {*aliases, *aliases.values(), "koi8_u"}
_WITH_HALVES_OF_CHARACTERS = "utf-7"
# The labels of Western pages mean Windows-1252 wherever a C1 control would stand
# (https://encoding.spec.whatwg.org/#names-and-labels).
_WESTERN = {"ascii", "iso8859-1", "cp1252"}

_NAMES = {"latin_1": "latin-1", "iso8859-1": "latin-1", "cp1252": "windows-1252"}

# What is looked for, and the languages each is for: in Latin letters the shape of a language shows
# a wrong encoding poorly, so one that was made for other languages is not believed.
_LATIN_FAMILY = {"latin_1", "cp1252"}
_WESTERN_LANGUAGES = {"English", "French", "German", "Dutch", "Spanish", "Portuguese", "Italian"}
_WESTERN_LANGUAGES |= {"Danish", "Norwegian", "Swedish", "Finnish", "Icelandic", "Indonesian"}
_CENTRAL_LANGUAGES = {"Polish", "Czech", "Slovak", "Slovene", "Hungarian", "Croatian", "Romanian"}
_LANGUAGES = {
    "cp1250": _CENTRAL_LANGUAGES,
    "iso8859_2": _CENTRAL_LANGUAGES,
    "cp1254": {"Turkish"},
    "cp1257": {"Lithuanian", "Latvian", "Estonian"},
    "cp850": _WESTERN_LANGUAGES,
    "mac_roman": _WESTERN_LANGUAGES,
}
_OTHER_ALPHABETS = {"cp1251", "koi8_r", "iso8859_5", "cp866", "cp1253", "cp1255", "cp1256"}
_MANY_BYTES = {"shift_jis", "euc_jp", "big5", "gb18030", "euc_kr"}

FEWEST_BYTES_TO_DETECT = 20  # beyond ASCII; below that the shape of a language does not show
_SAMPLE_BYTES = 65_536  # of each of the beginning, the middle and the end
_LEAST_COHERENCE = 0.2  # of letters with a language's frequencies; noise scores near 0

# Of Windows-1252, without the apostrophe, dashes and dots that do stand between letters.
_MARK = re.compile(rb"[\x80-\x84\x86-\x89\x8b\x91\x93-\x95\x98\x99\x9b]")
_MARK_IN_WORD = re.compile(rb"(?<=[A-Za-z])" + _MARK.pattern + rb"(?=[A-Za-z])")

_SAVE_AS_UTF8 = "Save it as UTF-8 from a program that shows it correctly."


def decode(raw: bytes, *, declared: str | None = None) -> Decoded:
    r"""Decode a file: by its byte-order mark, what it declares, as UTF-8, or by detection.

    Detection compares legacy encodings by how well a sample of the text fits a language. Where it
    is unsure, the bytes are read as latin-1, or as Windows-1252 if they use its extra characters:
    nearly all old texts in English, French and German are one of the two. Line ends `\r\n`, `\r`
    and form feeds become `\n`, and an end-of-file mark goes; all else stays as it is.

    Args:
        raw: the file's bytes.
        declared: the encoding that the file or its sender names; passed over if the bytes are not
            valid in it or it is unknown.

    Raises:
        Unreadable: the bytes are binary (a control character), damaged, or in no encoding known;
            the offset is in bytes.
    """
    return _by_mark(raw) or (_as_declared(raw, declared) if declared else None) or _by_content(raw)


def with_newlines(text: str) -> str:
    """A text with newlines as its only line ends, without the marks of its beginning and end."""
    text = text.removeprefix("\ufeff").rstrip(_END_OF_FILE)
    return text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n")


def _by_mark(raw: bytes) -> Decoded | None:
    for mark, encoding in _MARKS.items():
        if raw.startswith(mark):
            try:
                text = raw[len(mark) :].decode(encoding)
            except UnicodeDecodeError as error:
                raise _damaged(encoding, len(mark) + error.start) from None
            if (at := _first_control_character(text)) is not None:
                raise _binary(text[at], len(mark) + len(text[:at].encode(encoding)))
            return _decoded(text, encoding, "byte-order mark")
    return None


def _as_declared(raw: bytes, declared: str) -> Decoded | None:
    if normalize_encoding(declared.strip()).lower() not in _CHARACTER_SETS:
        return None
    try:
        name = codecs.lookup(declared.strip()).name
    except LookupError:
        return None
    if name == _WITH_HALVES_OF_CHARACTERS:
        return None
    # A file that can name UTF-16 in ASCII is not in UTF-16; one that is has NULs in its line ends.
    if name.startswith(("utf-16", "utf-32")) and b"\0" not in raw:
        return None
    if name in _WESTERN:
        name = "cp1252" if re.search(rb"[\x80-\x9f]", raw) else "iso8859-1"
    try:
        text = raw.decode(name)
    except (UnicodeError, LookupError):  # the latter where it is no encoding of text
        return None
    if _first_control_character(text) is not None:
        return None
    return _decoded(text, _NAMES.get(name, name), f"declared as {declared.strip()}")


def _by_content(raw: bytes) -> Decoded:
    one_per_byte = raw.decode("latin-1")
    # To delete bytes takes a tenth of the time of a search for one of them.
    may_be_binary = len(raw.translate(None, _CONTROL_BYTES)) < len(raw)
    if may_be_binary and (at := _first_control_character(one_per_byte)) is not None:
        raise _binary(one_per_byte[at], at)
    try:
        return _decoded(raw.decode("utf-8"), "utf-8", "valid UTF-8")
    except UnicodeDecodeError as error:
        if _is_mostly_utf8(raw):
            raise _damaged("utf-8", error.start) from None
    match = _detected(raw)
    sure = f"detected, {100 * (1 - match.chaos):.0f}% sure; " if match else ""
    if match and not _LATIN_FAMILY & {*match.could_be_from_charset}:
        try:
            text = raw.decode(match.encoding)
        except UnicodeDecodeError:  # outside the sample
            sure = ""
        else:
            return _decoded(text, codecs.lookup(match.encoding).name, f"{sure}{match.language}")
    sure = sure or "not UTF-8, and too little to tell more from; "
    if not re.search(rb"[\x80-\x9f]", raw):
        return _decoded(one_per_byte, "latin-1", f"{sure}Western European")
    try:
        text = raw.decode("windows-1252")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"Its encoding is unknown: byte {error.start} fits neither UTF-8 nor Windows-1252.",
            _SAVE_AS_UTF8,
            error.start,
        ) from None
    extra = "with characters that only Windows-1252 has"
    return _decoded(text, "windows-1252", f"{sure}Western European, {extra}")


def _detected(raw: bytes) -> CharsetMatch | None:
    """Return the best fit; latin-1 or Windows-1252 unless another is clearly better."""
    sample = _sample(raw)
    if len(re.findall(rb"[\x80-\xff]", sample)) < FEWEST_BYTES_TO_DETECT:
        return None
    matches = charset_normalizer.from_bytes(
        sample,
        cp_isolation=[*_LATIN_FAMILY, *_LANGUAGES, *_OTHER_ALPHABETS, *_MANY_BYTES],
        preemptive_behaviour=False,  # what the text says of its encoding is no evidence
        enable_fallback=False,
    )
    latin = next((one for one in matches if _LATIN_FAMILY & {*one.could_be_from_charset}), None)
    is_western = (
        latin is not None
        and latin.language in _WESTERN_LANGUAGES
        and not _has_marks_in_words(sample)
    )
    # cp1250 has letters of its languages where ISO 8859-2 has C1 controls.
    is_iso = not re.search(rb"[\x80-\x9f]", sample)
    ranked = sorted(matches, key=lambda one: (one.chaos, is_iso == (one.encoding == "cp1250")))
    for match in ranked:
        if match is latin or not _is_believable(match):
            continue
        if latin is None or not is_western or match.chaos < latin.chaos:
            return match
    return latin


def _has_marks_in_words(sample: bytes) -> bool:
    """Whether Windows-1252 would put quotation marks where DOS and the Mac have an é or ø."""
    num_marks = len(_MARK.findall(sample))
    return len(_MARK_IN_WORD.findall(sample)) > max(3, 0.2 * num_marks)


def _is_believable(match: CharsetMatch) -> bool:
    if match.encoding in _MANY_BYTES:
        return True  # few texts in another encoding are valid in it
    languages = _LANGUAGES.get(match.encoding)
    is_for_it = languages is None or match.language in languages
    return is_for_it and match.coherence >= _LEAST_COHERENCE


def _sample(raw: bytes) -> bytes:
    """Whole lines from the beginning, the middle and the end.

    No encoding of several bytes a character has the newline among its later bytes.
    """
    if len(raw) <= 3 * _SAMPLE_BYTES:
        return raw
    middle = len(raw) // 2
    pieces = []
    for start in (0, middle, len(raw) - _SAMPLE_BYTES):
        end = start + _SAMPLE_BYTES
        first = 0 if start == 0 else raw.find(b"\n", start, end) + 1 or start
        last = len(raw) if end == len(raw) else raw.rfind(b"\n", first, end) + 1 or end
        pieces.append(raw[first:last])
    return b"".join(pieces)


def _is_mostly_utf8(raw: bytes) -> bool:
    """Whether more characters beyond ASCII are valid UTF-8 than bytes are not."""
    text = raw.decode("utf-8", "surrogateescape")  # a bad byte becomes one of U+DC80 to U+DCFF
    num_bad_bytes = len(re.findall("[\udc80-\udcff]", text))
    return len(re.findall("[^\x00-\x7f\udc80-\udcff]", text)) > num_bad_bytes


def _first_control_character(text: str) -> int | None:
    found = _CONTROL_CHARACTER.search(text.rstrip(_END_OF_FILE))
    return found.start() if found else None


def _decoded(text: str, encoding: str, reason: str) -> Decoded:
    return Decoded(with_newlines(text), encoding, reason)


def _binary(character: str, offset: int) -> Unreadable:
    return Unreadable(
        f"It is binary, not plain text: control character U+{ord(character):04X} at byte {offset}.",
        "Save it as UTF-8 plain text from the program that made it.",
        offset,
    )


def _damaged(encoding: str, offset: int) -> Unreadable:
    return Unreadable(
        f"It is damaged: byte {offset} begins no valid {encoding} character.",
        f"Fetch a whole copy of it. {_SAVE_AS_UTF8}",
        offset,
    )
