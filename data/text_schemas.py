"""The tables of the map of the texts: where texts stand, and how far to believe it."""

import pyarrow as pa

from data.table import BOOK_ID, SECTION_INDEX, Column, Table

TEXT_ID = Column("text_id", pa.int32(), "row of text_features")
CLUSTER = Column("cluster", pa.int32(), "the cluster, 0 being the largest")

TEXT_FEATURES = Table(
    "text_features",
    "a text to be clustered",
    "weigh",
    (
        Column("text_id", pa.int32(), "the text's row, from 0"),
        BOOK_ID,
        Column("section_index", pa.int32(), "the section that it begins in, from 0"),
        Column("char_start", pa.int64(), "where it begins in its book", "characters"),
        Column("char_end", pa.int64(), "where it ends in its book", "characters"),
        Column("num_tokens", pa.int64(), "its length", "words"),
        Column("place", pa.float64(), "its middle's place in its book, 0 to 1"),
        Column("label", pa.string(), "its book's genre or author, where known", nullable=True),
        Column("quotation", pa.string(), "its first words"),
        Column("term_ids", pa.list_(pa.int32()), "terms that stand in it, ascending"),
        Column("weights", pa.list_(pa.float32()), "their weights; the row has length 1"),
    ),
)

TEXT_TERMS = Table(
    "text_terms",
    "a term that texts are weighed by",
    "weigh",
    (
        Column("term_id", pa.int32(), "the term's column, from 0"),
        Column("term", pa.string(), "the term"),
        Column("kind", pa.string(), "what terms are: words, characters or function_words"),
        Column(
            "inverse_document_frequency",
            pa.float64(),
            "ln((1+texts)/(1+texts with it)) + 1; 1 of function words",
        ),
    ),
)

TEXT_VECTORS = Table(
    "text_vectors",
    "a text as a language model sees it",
    "average",
    (
        TEXT_ID,
        Column("vector", pa.list_(pa.float32()), "the mean of its tokens' vectors, or of states"),
    ),
)

TEXT_CODES = Table(
    "text_codes",
    "a text's place",
    "cluster",
    (
        TEXT_ID,
        BOOK_ID,
        SECTION_INDEX,
        Column("code", pa.list_(pa.float32()), "the autoencoders' codes, together of length 1"),
        Column("map_x", pa.float32(), "the codes' 2-d bottleneck, across"),
        Column("map_y", pa.float32(), "the codes' 2-d bottleneck, up"),
        CLUSTER,
        Column("membership", pa.float32(), "share of its cluster in the text, Student-t kernel"),
        Column("reconstruction_error", pa.float32(), "squared distance from where its code says"),
        Column("strange_terms", pa.list_(pa.string()), "what its code explains least, worst first"),
    ),
)

TERM_ERRORS = Table(
    "term_errors",
    "a term that texts are weighed by; none where vectors are",
    "cluster",
    (
        Column("term_id", pa.int32(), "row of text_terms"),
        Column("term", pa.string(), "the term"),
        Column("error", pa.float32(), "mean squared difference of its use from what codes say"),
    ),
)

CLUSTER_COUNTS = Table(
    "cluster_counts",
    "a number of clusters that was tried; none where the number was given",
    "cluster",
    (
        Column("num_clusters", pa.int32(), "how many", "clusters"),
        Column("silhouette", pa.float64(), "how far apart the clusters lie, -1 to 1"),
        Column("stability", pa.float64(), "agreement of clusters of samples, adjusted Rand index"),
        Column("chosen", pa.bool_(), "whether it is the number of this map"),
    ),
)

CLUSTER_NOTES = Table(
    "cluster_notes",
    "something to know of the clusters",
    "cluster",
    (Column("note", pa.string(), "a sentence"),),
)

CLUSTER_TERMS = Table(
    "cluster_terms",
    "a term that marks a cluster",
    "cluster",
    (
        CLUSTER,
        Column("rank", pa.int32(), "1 marks it most"),
        Column("term", pa.string(), "the term"),
        Column("weight", pa.float64(), "class-based TF-IDF; of function words, divergence in nats"),
    ),
)

CLUSTER_TEXTS = Table(
    "cluster_texts",
    "a text that shows what a cluster is",
    "judge",
    (
        CLUSTER,
        Column("kind", pa.string(), "typical: near its centre; edge: near another's as well"),
        Column("rank", pa.int32(), "1 is the most typical, or the nearest to the edge"),
        TEXT_ID,
    ),
)

CLUSTER_LABELS = Table(
    "cluster_labels",
    "a label within a cluster; none where books have no labels",
    "judge",
    (
        CLUSTER,
        Column("label", pa.string(), "the label"),
        Column("num_texts", pa.int64(), "texts of this label in this cluster", "texts"),
        Column("share", pa.float64(), "of the cluster's labelled texts"),
    ),
)

CLUSTER_SCORES = Table(
    "cluster_scores",
    "a way of clustering, held against the labels and against itself",
    "judge",
    (
        Column("method", pa.string(), "what made the clusters"),
        Column("num_texts", pa.int64(), "texts with a label", "texts"),
        Column("num_clusters", pa.int32(), "clusters asked for", "clusters"),
        Column("num_seeds", pa.int32(), "seeds that it was tried with"),
        Column("accuracy", pa.float64(), "mean share right under the best matching", nullable=True),
        Column("nmi", pa.float64(), "mean normalised mutual information", nullable=True),
        Column("ari", pa.float64(), "mean adjusted Rand index", nullable=True),
        Column("accuracy_sd", pa.float64(), "its standard deviation over seeds", nullable=True),
        Column("nmi_sd", pa.float64(), "its standard deviation over seeds", nullable=True),
        Column("ari_sd", pa.float64(), "its standard deviation over seeds", nullable=True),
        Column(
            "silhouette",
            pa.float64(),
            "how far apart the clusters lie by the cosine of terms, -1 to 1, mean over seeds",
            nullable=True,
        ),
        Column(
            "stability",
            pa.float64(),
            "mean adjusted Rand index of two seeds' clusters",
            nullable=True,
        ),
    ),
)

CLUSTER_PROBES = Table(
    "cluster_probes",
    "a classifier that was taught labels: what the codes still know of them",
    "judge",
    (
        Column("probe", pa.string(), "nearest neighbours, or a network of one hidden layer"),
        Column("input", pa.string(), "what it read: codes, or the terms' weights"),
        Column("held_out", pa.string(), "whole books, or texts where books can't be parted"),
        Column("num_folds", pa.int32(), "times that another part was held out"),
        Column("accuracy", pa.float64(), "share of held-out texts given their label"),
        Column("balanced_accuracy", pa.float64(), "the same, each label counting alike"),
        Column("majority_accuracy", pa.float64(), "what guessing the commonest label reaches"),
    ),
)

CLUSTER_CONFOUNDS = Table(
    "cluster_confounds",
    "something that clusters may follow",
    "judge",
    (
        Column("factor", pa.string(), "label, book, length, or place in the book"),
        Column("num_values", pa.int32(), "values of it; lengths and places in fifths"),
        Column("agreement", pa.float64(), "adjusted mutual information with the clusters"),
        Column(
            "within_label",
            pa.float64(),
            "the same among texts of one label, mean by their number",
            nullable=True,
        ),
    ),
)

# Files that stand beside the tables.
MAP_MODEL_FILE = "map_model.safetensors"
MAP_PICTURE_FILE = "map.png"
MAP_PAGE_FILE = "map.html"
CONFUSION_PICTURE_FILE = "confusion.png"
BOOK_LINES_PICTURE_FILE = "book_lines.png"
