"""Every table of bookloom, by its name.

Each is described once, with its columns, types, units, meaning and what writes it, in
`book_schemas.py`, `model_schemas.py`, `bag_schemas.py` or `text_schemas.py`. `data/README.md`, the
data dictionary, is generated from them (`make dictionary`), the store refuses anything that differs
from them, and a step's cache key counts just the tables that the step names.
"""

from data.bag_schemas import (
    BAG_REASONS,
    BAG_RECOVERY,
    BAG_REFUSALS,
    BAG_SENTENCES,
    DISCOUNTS,
    MIXTURES,
    OPENINGS,
    RECOVERY_EXAMPLES,
)
from data.book_schemas import (
    BOOKS,
    PUNKT,
    RECEIPTS,
    REFUSALS,
    SECTIONS,
    SENTENCES,
    TOKEN_IDS,
    VOCABULARY,
)
from data.model_schemas import (
    AFRESH_LOG,
    CACHES,
    EMBEDDINGS,
    EVALUATIONS,
    INPUT_VECTORS,
    METRICS,
    PERPLEXITIES,
    SECTION_SCORES,
    TRACE,
    TRAINING_LOG,
    WARM_START_SECTIONS,
)
from data.table import Table
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
