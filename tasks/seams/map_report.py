"""What a run's report says of the map of the texts. Text from books is escaped throughout."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from data.book_schemas import BOOKS, SECTIONS
from data.text_schemas import (
    BOOK_LINES_PICTURE_FILE,
    CLUSTER_CONFOUNDS,
    CLUSTER_COUNTS,
    CLUSTER_LABELS,
    CLUSTER_NOTES,
    CLUSTER_PROBES,
    CLUSTER_SCORES,
    CLUSTER_TERMS,
    CLUSTER_TEXTS,
    CONFUSION_PICTURE_FILE,
    MAP_PICTURE_FILE,
    TEXT_CODES,
    TEXT_FEATURES,
)
from tasks.seams.map_verdict import verdict
from tasks.seams.report import escaped, markdown_table, picture, show_image
from tasks.seams.run_records import Made
from tasks.seams.text_names import titles_and_headings

SHOWN_TERMS = 8
SHOWN_STRANGERS = 10


def map_report(made: Made) -> str:
    """The clusters, what shows them, their strangers, and how far to believe them."""
    texts = made.read(TEXT_FEATURES, ["book_id", "section_index", "char_end", "label", "quotation"])
    codes = made.read(TEXT_CODES, ["cluster", "reconstruction_error", "strange_terms"])
    titles, headings = titles_and_headings(
        made.read(BOOKS, ["book_id", "title"]),
        made.read(SECTIONS, ["book_id", "section_index", "heading", "char_end"]),
        texts,
    )
    quotations = texts["quotation"].to_pylist()
    rows = {
        table.name: made.read(table).to_pylist()
        for table in (CLUSTER_NOTES, CLUSTER_SCORES, CLUSTER_PROBES, CLUSTER_CONFOUNDS)
    }
    notes = [row["note"] for row in rows.pop(CLUSTER_NOTES.name)]
    said = verdict(notes, *rows.values(), num_texts=texts.num_rows)
    typical = [
        [
            row["cluster"],
            titles[row["text_id"]],
            headings[row["text_id"]],
            quotations[row["text_id"]],
        ]
        for row in made.read(CLUSTER_TEXTS).to_pylist()
        if row["kind"] == "typical" and row["rank"] == 1
    ]
    errors = codes["reconstruction_error"].to_pylist()
    worst = sorted(range(len(errors)), key=lambda text: -errors[text])[:SHOWN_STRANGERS]
    strange = codes["strange_terms"].to_pylist()
    strangers = [
        [titles[text], headings[text], errors[text], ", ".join(strange[text])] for text in worst
    ]
    parts = [
        "## Clusters",
        "\n".join(f"- {escaped(sentence)}" for sentence in said),
        picture(made.file(MAP_PICTURE_FILE), "The map of the texts"),
        _clusters(made, codes),
        "The most typical text of each:",
        markdown_table(["cluster", "book", "section", "begins"], typical),
        "Strangers: texts that their codes fit worst, and the terms that make them so.",
        markdown_table(["book", "section", "error", "terms"], strangers),
        "Ways of clustering, means and standard deviations over seeds. No method sees the labels.",
        markdown_table(
            ["method", "accuracy", "NMI", "ARI", "silhouette", "stability"],
            [_scores(row) for row in rows[CLUSTER_SCORES.name]],
            only_filled=True,
        ),
    ]
    if rows[CLUSTER_PROBES.name]:
        parts += [
            "What the codes, and the terms themselves, still know of the labels:",
            _table(rows[CLUSTER_PROBES.name], made.read(CLUSTER_PROBES).column_names),
        ]
    parts += [
        "What clusters follow:",
        _table(rows[CLUSTER_CONFOUNDS.name], ["factor", "num_values", "agreement", "within_label"]),
    ]
    counts = made.read(CLUSTER_COUNTS).to_pylist()
    if counts:
        parts += ["Numbers of clusters that were tried:", _table(counts, list(counts[0]))]
    return "\n\n".join(parts)


def show_map(made: Made) -> None:
    """The pictures as artifacts."""
    for key, name, about in (
        ("map", MAP_PICTURE_FILE, "The map of the texts"),
        ("confusion", CONFUSION_PICTURE_FILE, "Clusters and labels"),
        ("book-lines", BOOK_LINES_PICTURE_FILE, "A line for each book through the clusters"),
    ):
        if made.has_file(name):
            show_image(key, made.file(name), about)


def _clusters(made: Made, codes: pa.Table) -> str:
    sizes = Counter(codes["cluster"].to_pylist())
    terms: dict[int, list[str]] = defaultdict(list)
    for row in made.read(CLUSTER_TERMS).to_pylist():
        terms[row["cluster"]].append(row["term"])
    labels: dict[int, list[str]] = defaultdict(list)
    for row in made.read(CLUSTER_LABELS).to_pylist():
        labels[row["cluster"]].append(f"{row['share']:.0%} {row['label']}")
    rows = [
        [
            cluster,
            sizes[cluster],
            ", ".join(terms[cluster][:SHOWN_TERMS]),
            ", ".join(labels[cluster][:4]),
        ]
        for cluster in sorted(sizes)
    ]
    return markdown_table(["cluster", "texts", "terms", "labels"], rows, only_filled=True)


def _scores(row: Mapping[str, Any]) -> list[Any]:
    judged = [
        None if row[name] is None else f"{row[name]:.3f} ± {row[f'{name}_sd']:.3f}"
        for name in ("accuracy", "nmi", "ari")
    ]
    return [row["method"], *judged, row["silhouette"], row["stability"]]


def _table(rows: list[dict[str, Any]], names: list[str]) -> str:
    header = [name.replace("_", " ") for name in names]
    cells = [[row[name] for name in names] for row in rows]
    return markdown_table(header, cells, only_filled=True)
