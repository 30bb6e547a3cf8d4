"""Every table of bookloom: its name, columns, types, units, meaning, and what writes it.

Those of the map of the texts stand in `data/text_schemas.py`; no other place describes one.
`data/README.md`, the data dictionary, is generated from both (`make dictionary`), the store refuses
anything that differs from them, and a step's cache key counts just the tables that the step names.
"""

import pyarrow as pa

from data.table import BOOK_ID, SECTION_INDEX
from data.table import Column as Column
from data.table import Table as Table
from data.text_schemas import (
    CLUSTER_CONFOUNDS,
    CLUSTER_COUNTS,
    CLUSTER_LABELS,
    CLUSTER_NOTES,
    CLUSTER_PROBES,
    CLUSTER_SCORES,
    CLUSTER_TERMS,
    CLUSTER_TEXTS,
    TERM_ERRORS,
    TEXT_CODES,
    TEXT_FEATURES,
    TEXT_TERMS,
    TEXT_VECTORS,
)

TOKEN_LIST = pa.list_(pa.string())
STATE_VECTORS = pa.list_(pa.list_(pa.float32()))
SPLITS = "train, validation or test"
UNITS = "word or character: what a token is"


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

BOOK_DRAFTS = Table(
    "book_drafts",
    "a book of a part of the shelf, read by itself; gone when all are",
    "read",
    (
        *(column for column in BOOKS.columns if column.name != "split"),
        Column("words_sha256", pa.string(), "SHA-256 of its words, however they are written"),
        Column("language_sample", pa.string(), "excerpts, where it does not tell its language"),
        Column("num_sections", pa.int64(), "its sections", "sections"),
    ),
)

SECTION_DRAFTS = Table(
    "section_drafts",
    "a section of such a book",
    "read",
    tuple(column for column in SECTIONS.columns if column.name != "split"),
)

RECEIPTS = Table(
    "receipts",
    "what was taken from a book that Project Gutenberg or a printed page had added to it",
    "read",
    (
        BOOK_ID,
        Column("source", pa.string(), "where the book came from"),
        Column("head_characters", pa.int64(), "taken before its first word", "characters"),
        Column("tail_characters", pa.int64(), "taken after its last word", "characters"),
        Column("inside_characters", pa.int64(), "taken between them", "characters"),
        Column("page_characters", pa.int64(), "taken as the printed page's", "characters"),
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

WARM_START_SECTIONS = Table(
    "warm_start_sections",
    "a section that the model to go on from has learned from",
    "warm_start",
    (Column("sha256", pa.string(), "SHA-256 of the section's text"),),
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

INPUT_VECTORS = Table(
    "input_vectors",
    "a token's vector before training; there are none where they are learned from nothing",
    "embed",
    (
        Column("token_id", pa.int32(), "row of the vocabulary"),
        Column("vector", pa.list_(pa.float32()), "what the token is for the language model"),
        Column(
            "origin",
            pa.string(),
            "found (in the file), trained (word2vec, on the training text) or drawn (it has "
            "neither: drawn like the others)",
        ),
    ),
)

TRAINING_LOG_COLUMNS = (
    Column("step", pa.int64(), "optimiser steps made", "steps"),
    Column("tokens_seen", pa.int64(), "target tokens trained on so far", "tokens"),
    Column("elapsed_seconds", pa.float64(), "since training began", "seconds", volatile=True),
    Column("split", pa.string(), "train (mean since the last row) or validation (all of it)"),
    Column("loss_nats_per_token", pa.float64(), "cross-entropy", "nats/token"),
    Column("bits_per_character", pa.float64(), "the same, by the text's length", "bits"),
    Column("learning_rate", pa.float64(), "at this step"),
    Column(
        "gradient_norm",
        pa.float64(),
        "before clipping, mean since the last row; none for validation",
        nullable=True,
    ),
    Column(
        "tokens_per_second",
        pa.float64(),
        "speed since the last row",
        "tokens/s",
        nullable=True,
        volatile=True,
    ),
    Column(
        "share_of_peak",
        pa.float64(),
        "of this machine's own matrix-product speed, reached in the products of training",
        nullable=True,
        volatile=True,
    ),
)

TRAINING_LOG = Table("training_log", "a logged step", "train", TRAINING_LOG_COLUMNS)

AFRESH_LOG = Table(
    "afresh_log",
    "a logged step of the training that a warm start is held against",
    "train_afresh",
    TRAINING_LOG_COLUMNS,
)

PERPLEXITIES = Table(
    "perplexities",
    "a held-out book, or its held-out part",
    "evaluate",
    (
        BOOK_ID,
        Column("split", pa.string(), "validation or test"),
        Column("nats", pa.float64(), "cross-entropy, one lane from a fresh state", "nats"),
        Column("num_tokens", pa.int64(), "words and _end_s that it was summed over", "tokens"),
        Column("num_unknown", pa.int64(), "those of them that are _unknown_", "tokens"),
        Column("num_characters", pa.int64(), "what they stand for, each _end_ for 1", "characters"),
    ),
    by_book=True,
)

EVALUATIONS = Table(
    "evaluations",
    "a way of predicting the held-out books of a split",
    "evaluate",
    (
        Column(
            "method",
            pa.string(),
            "lstm: the static model; n-gram: interpolated modified Kneser-Ney on the same tokens; "
            "lstm + n-gram and lstm + cache: their mixtures; dynamic: the model learns as it "
            "reads; lstm after N tokens (or all): the state has read just so many tokens before",
        ),
        Column("split", pa.string(), "validation or test"),
        Column("nats", pa.float64(), "cross-entropy, one lane a book", "nats"),
        Column("num_tokens", pa.int64(), "targets that it was summed over", "tokens"),
        Column("tuned", pa.string(), "what was tuned on validation books, as JSON"),
    ),
)

SECTION_SCORES = Table(
    "section_scores",
    "a section of the test split, read by a new model and by the champion",
    "compare",
    (
        BOOK_ID,
        SECTION_INDEX,
        Column("num_tokens", pa.int64(), "words and _end_s that were predicted", "tokens"),
        Column("num_characters", pa.int64(), "what they stand for, each _end_ for 1", "characters"),
        Column("nats", pa.float64(), "what they cost the new model", "nats"),
        Column("champion_nats", pa.float64(), "what they cost the champion", "nats"),
        Column("num_unknown", pa.int64(), "words that the new model does not know", "tokens"),
        Column("champion_num_unknown", pa.int64(), "those the champion does not know", "tokens"),
        Column("learned", pa.bool_(), "whether the new model has learned from the section"),
        Column("champion_learned", pa.bool_(), "whether the champion has, as far as is known"),
    ),
    by_book=True,
)

RECOVERED = (
    Column("num_sentences", pa.int64(), "sentences tried", "sentences"),
    Column("num_sentences_right", pa.int64(), "recovered whole", "sentences"),
    Column("num_words", pa.int64(), "words tried", "words"),
    Column("num_words_right", pa.int64(), "recovered", "words"),
)

OPENINGS = Table(
    "openings",
    "a token that may be fed before a sentence's first word, tried on validation sentences",
    "tune",
    (
        Column("opening", pa.string(), "_start_ or _end_"),
        Column("chosen", pa.bool_(), "whether the model is used with it: it recovers more words"),
        *RECOVERED,
    ),
)

DISCOUNTS = Table(
    "discounts",
    "a discount of common words, tried on validation sentences",
    "tune",
    (
        Column("frequency_discount", pa.float64(), "the lambda of a sentence's score"),
        Column("chosen", pa.bool_(), "whether it is kept with the model: it recovers most words"),
        *RECOVERED,
    ),
)

MIXTURES = Table(
    "mixtures",
    "a weight of the language model beside an n-gram model, tried on validation sentences",
    "tune",
    (
        Column(
            "lstm_weight",
            pa.float64(),
            "of the LSTM's probabilities; the n-gram model has the rest",
        ),
        Column("chosen", pa.bool_(), "whether it is kept with the model: it recovers most words"),
        *RECOVERED,
    ),
)

CACHES = Table(
    "caches",
    "a continuous cache of the text before, tried on the validation books; none are by default",
    "tune",
    (
        Column("flatness", pa.float64(), "how much likeness counts; none: no cache", nullable=True),
        Column("lstm_weight", pa.float64(), "of the LSTM's probabilities; the cache has the rest"),
        Column("chosen", pa.bool_(), "whether it is kept with the model: it costs least"),
        Column("loss_nats_per_token", pa.float64(), "mean on validation text", "nats/token"),
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "a token's vector",
    "train",
    (
        Column("token_id", pa.int32(), "row of the vocabulary"),
        # The width is a setting, so that the declared type is a plain list; every row is as wide.
        Column("vector", pa.list_(pa.float32()), "learned by the language model"),
    ),
)

BAG_SENTENCES = Table(
    "bag_sentences",
    "a generated sentence",
    "pick",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("rank", pa.int32(), "1 is the best, or was drawn most often"),
        Column("tokens", TOKEN_LIST, "one choice from each bag, and gap words, as they follow"),
        Column("sentence", pa.string(), "the tokens as a person would write them"),
        Column("log_probability_nats", pa.float64(), "of the tokens and _end_", "nats"),
        Column("score", pa.float64(), "log p(sentence) - discount x sum of log q(word)", "nats"),
        Column("strategy", pa.string(), "greedy, beam, diverse, sample or exact"),
        Column("frequency_discount", pa.float64(), "the discount of common words"),
        Column("proven_best", pa.bool_(), "whether no other sentence of the bags scores higher"),
        Column(
            "score_bound",
            pa.float64(),
            "no sentence of the bags scores higher; none for draws",
            "nats",
            nullable=True,
        ),
        Column("num_drawn", pa.int64(), "how often it was drawn", "draws", nullable=True),
        Column(
            "effective_sample_size",
            pa.float64(),
            "independent draws that would say as much as those of the set",
            "draws",
            nullable=True,
        ),
    ),
)

BAG_REFUSALS = Table(
    "bag_refusals",
    "a bag set that could not be answered",
    "pick",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("reason", pa.string(), "what is wrong with it, and where"),
        Column("remedy", pa.string(), "what its owner can do"),
    ),
)

BAG_REASONS = Table(
    "bag_reasons",
    "a choice of a bag, held against the one that the best sentence takes",
    "bookloom generate",
    (
        Column("bag_set_id", pa.string(), "the bag set, by its id or its line in the file"),
        Column("slot", pa.int32(), "the place in the sentence, from 1, gap words apart"),
        Column("bag", pa.int32(), "the bag, from 1"),
        Column("choice", pa.string(), "its words; empty where the bag gives none"),
        Column("chosen", pa.bool_(), "whether the sentence takes it"),
        Column("most_frequent", pa.bool_(), "whether it is the bag's most frequent choice"),
        Column("score", pa.float64(), "of the sentence with it in this place", "nats"),
        Column("probability", pa.float64(), "exp(score), of all choices of the bag in this place"),
        Column(
            "margin",
            pa.float64(),
            "from the sentence to the best one found that does not take this choice from this "
            "bag; none for choices that were not taken, and where there is no such sentence",
            "nats",
            nullable=True,
        ),
        Column("without", pa.string(), "that sentence", nullable=True),
    ),
)

BAG_RECOVERY = Table(
    "bag_recovery",
    "a way of picking, tried on bags that each hide the true word of a held-out sentence",
    "recover",
    (
        Column("strategy", pa.string(), "greedy or beam"),
        Column("beam_width", pa.int32(), "hypotheses kept"),
        Column("frequency_discount", pa.float64(), "the discount of common words"),
        Column("bag_size", pa.int32(), "words in each bag"),
        *RECOVERED,
        Column("sets_per_second", pa.float64(), "speed", "bag sets/s", volatile=True),
    ),
)

RECOVERY_EXAMPLES = Table(
    "recovery_examples",
    "a held-out sentence, its bags and what was picked from them",
    "recover",
    (
        Column("bag_set_id", pa.string(), "the sentence's number among those drawn"),
        Column("true_tokens", TOKEN_LIST, "what the author wrote"),
        Column("picked_tokens", TOKEN_LIST, "what the beam picked"),
        Column("bags", pa.list_(TOKEN_LIST), "the bags"),
    ),
)

METRICS = Table(
    "metrics",
    "a figure of the run",
    "measure",
    (
        Column("metric", pa.string(), "its name"),
        Column("value", pa.float64(), "its value; none where it has no meaning", nullable=True),
        Column(
            "clocked",
            pa.float64(),
            "the value of a figure that a clock took",
            nullable=True,
            volatile=True,
        ),
    ),
)

TRACE = Table(
    "trace",
    "a step of a language model along a text; the first reads the opening",
    "bookloom trace",
    (
        Column("step", pa.int32(), "the token's place, from 0"),
        Column("token", pa.string(), "the token read, as the vocabulary has it"),
        Column(
            "log_probability_nats",
            pa.float64(),
            "of the token, before it was read; none for the opening, as in all that was predicted",
            "nats",
            nullable=True,
        ),
        Column(
            "entropy_nats",
            pa.float64(),
            "of the prediction that the token met: the surprise expected",
            "nats",
            nullable=True,
        ),
        Column(
            "predicted_tokens", TOKEN_LIST, "the most probable tokens, best first", nullable=True
        ),
        Column(
            "predicted_probabilities", pa.list_(pa.float64()), "their probabilities", nullable=True
        ),
        Column("hidden", STATE_VECTORS, "state after the token: each layer's output"),
        Column("cell", STATE_VECTORS, "state after the token: each layer's memory cells"),
        Column(
            "state_change",
            pa.float64(),
            "Euclidean distance from the state before the token, hidden and cell of all layers",
        ),
    ),
)

# Files that stand beside the tables.
TRAINED_WEIGHTS_FILE = "trained_weights.safetensors"
LANGUAGE_MODEL_FILE = "language_model.safetensors"
WARM_START_MODEL_FILE = "warm_start_model.safetensors"
AFRESH_MODEL_FILE = "afresh_model.safetensors"
TRAINING_CURVE_FILE = "training_curve.png"

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        BOOKS,
        SECTIONS,
        RECEIPTS,
        REFUSALS,
        PUNKT,
        SENTENCES,
        VOCABULARY,
        TOKEN_IDS,
        INPUT_VECTORS,
        TRAINING_LOG,
        EMBEDDINGS,
        OPENINGS,
        DISCOUNTS,
        MIXTURES,
        CACHES,
        PERPLEXITIES,
        EVALUATIONS,
        BAG_SENTENCES,
        BAG_REFUSALS,
        BAG_RECOVERY,
        RECOVERY_EXAMPLES,
        TEXT_FEATURES,
        TEXT_TERMS,
        TEXT_CODES,
        TERM_ERRORS,
        CLUSTER_COUNTS,
        CLUSTER_NOTES,
        CLUSTER_TERMS,
        CLUSTER_TEXTS,
        CLUSTER_LABELS,
        CLUSTER_SCORES,
        CLUSTER_PROBES,
        CLUSTER_CONFOUNDS,
        METRICS,
    )
}

# Written only by runs that go on from a model, cluster texts by what a model makes of them, or hold
# their model against a champion.
OPTIONAL_TABLES: dict[str, Table] = {
    table.name: table for table in (WARM_START_SECTIONS, AFRESH_LOG, TEXT_VECTORS, SECTION_SCORES)
}

# Written by a command where its user says, not by a step of a run.
COMMAND_TABLES: dict[str, Table] = {table.name: table for table in (TRACE, BAG_REASONS)}
