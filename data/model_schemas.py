"""The tables and files of a language model: how it was trained, what it is worth, what it does."""

import pyarrow as pa

from data.book_schemas import TOKEN_LIST
from data.table import BOOK_ID, SECTION_INDEX, Column, Table

STATE_VECTORS = pa.list_(pa.list_(pa.float32()))

WARM_START_SECTIONS = Table(
    "warm_start_sections",
    "a section that the model to go on from has learned from",
    "warm_start",
    (Column("sha256", pa.string(), "SHA-256 of the section's text"),),
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
        Column("champion_learned", pa.bool_(), "whether the champion has, or was tuned on it"),
    ),
    by_book=True,
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
