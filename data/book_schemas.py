"""The tables from the books to the token ids that a model learns from."""

import pyarrow as pa

from data.table import BOOK_ID, SECTION_INDEX, Column, Table

SPLITS = "train, validation or test"

UNITS = "word or character: what a token is"

TOKEN_LIST = pa.list_(pa.string())

BOOKS = Table(
    "books",
    "a book",
    "read",
    (
        BOOK_ID,
        Column("title", pa.string(), "title as the source gives it"),
        Column("author", pa.string(), "author, where known", nullable=True),
        Column("year", pa.int32(), "year of publication, where known", "year", nullable=True),
        Column("genre", pa.string(), "genre or other label, where known", nullable=True),
        Column("language", pa.string(), "ISO 639-1 code, told or detected", nullable=True),
        Column("source", pa.string(), "where the book came from, as the user named it"),
        Column("licence", pa.string(), "terms of use, where known", nullable=True),
        Column(
            "gutenberg_number",
            pa.int32(),
            "in Project Gutenberg's catalogue, if told",
            nullable=True,
        ),
        Column("encoding", pa.string(), "character encoding that the bytes were read in"),
        Column("encoding_reason", pa.string(), "why they were read in it"),
        Column("sha256", pa.string(), "SHA-256 of the source's bytes"),
        Column("split", pa.string(), f"{SPLITS}, or by_section where too few books make a shelf"),
        Column("num_characters", pa.int64(), "length of the text", "characters"),
        Column("text", pa.string(), "the text that is learned from"),
    ),
    by_book=True,
)

SECTIONS = Table(
    "sections",
    "a chapter, scene or letter",
    "read",
    (
        BOOK_ID,
        SECTION_INDEX,
        Column("heading", pa.string(), "the heading, as the book has it"),
        Column("char_start", pa.int64(), "first character in the book's text", "characters"),
        Column("char_end", pa.int64(), "one past the last character", "characters"),
        Column("split", pa.string(), f"{SPLITS}: the book's own, unless that is by_section"),
        Column("sha256", pa.string(), "SHA-256 of the section's text"),
    ),
    by_book=True,
)

ENTRIES = Table(
    "entries",
    "what a part of the shelf is to be read from; gone when all is read",
    "read",
    (
        Column("kind", pa.string(), "play, file, gutenberg, url, nltk or parquet"),
        Column("source", pa.string(), "the source, as it is told to people"),
        Column(
            "place", pa.string(), "its path or the source itself, as JSON: a path need be no text"
        ),
        Column("num_bytes", pa.int64(), "its length", "bytes"),
        Column("title", pa.string(), "the title, where a catalogue tells it", nullable=True),
        Column("author", pa.string(), "the author, where told beforehand", nullable=True),
        Column("year", pa.int64(), "the year, where told beforehand", "year", nullable=True),
        Column("genre", pa.string(), "the genre, where told beforehand", nullable=True),
        Column("language", pa.string(), "the language, where told beforehand", nullable=True),
        Column("first_group", pa.int64(), "of a Parquet table, the first row group to be read"),
        Column("end_group", pa.int64(), "and the one before which to end", nullable=True),
    ),
)

BOOK_DRAFTS = Table(
    "book_drafts",
    "a book of a part of the shelf, read by itself; gone when all are",
    "read",
    (
        *(column for column in BOOKS.columns if column.name != "split"),
        Column("words_sha256", pa.string(), "SHA-256 of its words, however they are written"),
        Column("num_sections", pa.int64(), "its sections", "sections"),
    ),
)

SECTION_DRAFTS = Table(
    "section_drafts",
    "a section of such a book",
    "read",
    tuple(column for column in SECTIONS.columns if column.name != "split"),
)

DECISIONS = Table(
    "decisions",
    "what is decided of such a book; gone when all is written",
    "read",
    (
        Column("split", pa.string(), "its split; null where it is not taken", nullable=True),
        Column("section_splits", TOKEN_LIST, "of its sections, if by_section", nullable=True),
    ),
)

RECEIPTS = Table(
    "receipts",
    "what was left out of a book: what Project Gutenberg or a printed page had added, its notes",
    "read",
    (
        BOOK_ID,
        Column("source", pa.string(), "where the book came from"),
        Column("head_characters", pa.int64(), "taken before its first word", "characters"),
        Column("tail_characters", pa.int64(), "taken after its last word", "characters"),
        Column("inside_characters", pa.int64(), "taken between them", "characters"),
        Column("page_characters", pa.int64(), "taken as the printed page's", "characters"),
        Column("notes_characters", pa.int64(), "notes and pages apart, left out", "characters"),
        Column("start_marker", pa.string(), "the line that a header ends with", nullable=True),
        Column("end_marker", pa.string(), "the line that a footer begins with", nullable=True),
        Column("share_removed", pa.float64(), "of the text, from 0 to 1"),
        Column("kept_whole", pa.bool_(), "whether too much would have gone, so that all stayed"),
        Column("reason", pa.string(), "why so much was taken, or nothing"),
    ),
    by_book=True,
)

RECEIPT_DRAFTS = Table(
    "receipt_drafts", "a receipt of a book that was read by itself", "read", RECEIPTS.columns
)

REFUSALS = Table(
    "refusals",
    "an input that was refused",
    "read",
    (
        Column("source", pa.string(), "the input, as the user named it"),
        Column("step", pa.string(), "the step that refused it"),
        Column("reason", pa.string(), "what is wrong with it"),
        Column("remedy", pa.string(), "what its owner can do"),
        Column("offset", pa.int64(), "where in the input, if anywhere", "bytes", nullable=True),
    ),
)

PUNKT = Table(
    "punkt",
    "one thing that the sentence splitter learned from the training books",
    "tokenise",
    (
        Column("language", pa.string(), "ISO 639-1 code, or und where unknown"),
        Column(
            "kind",
            pa.string(),
            "abbreviation, collocation, sentence_starter, orthographic_context, or sample "
            "(what it was learned from: its SHA-256 and length)",
        ),
        Column("token", pa.string(), "the word type, or the sample's SHA-256"),
        Column("second_token", pa.string(), "a collocation's second word", nullable=True),
        Column(
            "flags",
            pa.int64(),
            "Punkt's flags of an orthographic context; characters of a sample",
            nullable=True,
        ),
    ),
)

SENTENCES = Table(
    "sentences",
    "a sentence",
    "tokenise",
    (
        BOOK_ID,
        SECTION_INDEX,
        Column("sentence_index", pa.int32(), "the sentence's place in its book, from 0"),
        Column("char_start", pa.int64(), "first character in the book's text", "characters"),
        Column("char_end", pa.int64(), "one past the last character", "characters"),
        Column("num_characters", pa.int64(), "white space between words is one", "characters"),
        Column("unit", pa.string(), UNITS),
        Column(
            "tokens", TOKEN_LIST, "the book's own characters; white space among them is a space"
        ),
        Column(
            "token_starts",
            pa.list_(pa.int64()),
            "first character of each token in the book's text",
            "characters",
        ),
    ),
    by_book=True,
)

VOCABULARY = Table(
    "vocabulary",
    "a token type",
    "count",
    (
        Column("token_id", pa.int32(), "0 _nothing_, 1 _start_, 2 _end_, 3 _unknown_, then words"),
        Column("token", pa.string(), "the token, folded to lower case if the setting says so"),
        Column("written", pa.string(), "how the training text mostly writes it inside a sentence"),
        Column("count", pa.int64(), "how often it stands in the training text", "tokens"),
        Column("num_books", pa.int32(), "training books that hold it", "books"),
        Column("lower_case", pa.bool_(), "whether text is folded before it is looked up"),
        Column("unit", pa.string(), UNITS),
    ),
)

TOKEN_COUNTS = Table(
    "token_counts",
    "a token type of a part of the training text; gone when the vocabulary is whole",
    "count",
    (
        Column("token", pa.string(), "the folded token; none: the sentences' ends", nullable=True),
        Column("count", pa.int64(), "how often it stands there", "tokens"),
        Column("num_books", pa.int64(), "books that hold it", "books"),
    ),
)

SPELLING_COUNTS = Table(
    "spelling_counts",
    "a spelling in a part of the training text; gone when the vocabulary is whole",
    "count",
    (
        Column("token", pa.string(), "a token as it is written"),
        Column("count", pa.int64(), "how often it stands inside a sentence", "tokens"),
    ),
)

TOKEN_IDS = Table(
    "token_ids",
    "a section",
    "encode",
    (
        BOOK_ID,
        SECTION_INDEX,
        Column("split", pa.string(), SPLITS),
        Column(
            "token_ids",
            pa.list_(pa.int32()),
            "its sentences, each closed by _end_; _start_ opens a book's part of a split",
        ),
        Column("num_characters", pa.int64(), "its sentences', and 1 for each _end_", "characters"),
    ),
    by_book=True,
)
