"""Cluster: text_features, text_terms, books, sections -> text_codes, cluster_terms, map.

in    the texts' TF-IDF weights; titles and headings for the map
does  trains the stacked autoencoder, clusters its wide codes by k-means, draws its 2-d ones
out   codes, clusters and places; terms; scores against the labels beside simple baselines
"""

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
from scipy.sparse import csr_matrix

from data.errors import UserMistake
from data.schemas import (
    BOOKS,
    CLUSTER_SCORES,
    CLUSTER_TERMS,
    MAP_PAGE_FILE,
    MAP_PICTURE_FILE,
    SECTIONS,
    TEXT_CODES,
    TEXT_FEATURES,
    TEXT_TERMS,
)
from data.settings import Settings
from models.autoencoder import StackedAutoencoder, encode, fit
from models.cluster_scores import (
    AUTOENCODER_METHOD,
    cluster_terms,
    kmeans,
    lsa_kmeans,
    score_clusters,
    tfidf_kmeans,
)
from tasks.seams.drawing_map import MapPoints, draw_map_html, draw_map_png
from tasks.seams.report import progress
from tasks.seams.step_cache import StepRun, step


class ClusterSettings(Settings):
    """The autoencoder and the clusters."""

    num_clusters: int | None = None
    """By default as many as there are labels; without labels, about the root of half the texts."""
    layer_widths: tuple[int, ...] = (256,)
    """Hidden layers between the terms and the code."""
    code_width: int = 10
    """Numbers in a text's code, which is what is clustered."""
    num_steps: int = 600
    """How much it learns from, in full batches of texts; at least ten passes."""
    batch_size: int = 64
    """Texts in each step."""
    learning_rate: float = 2e-3
    """Of AdamW, at its highest."""
    drop_probability: float = 0.5
    """Share of each text's terms that the autoencoder must do without while it learns."""
    num_terms_shown: int = 10
    """Terms kept for each cluster."""


@step(
    reads=(BOOKS, SECTIONS, TEXT_FEATURES, TEXT_TERMS),
    writes=(TEXT_CODES, CLUSTER_TERMS, CLUSTER_SCORES),
    libraries=("torch", "scikit-learn", "scipy", "numpy", "matplotlib", "plotly"),
    seeded=True,
)
def cluster(run: StepRun, settings: ClusterSettings) -> None:
    """Find the clusters, score them, and draw the map."""
    texts = run.read(TEXT_FEATURES)
    terms = run.read(TEXT_TERMS)["term"].to_pylist()
    features_NV = features_matrix(texts, len(terms))
    num_texts = features_NV.shape[0]
    labels = texts["label"].to_pylist()
    wanted = settings.num_clusters or default_num_clusters(labels)
    if num_texts < max(2, settings.num_clusters or 0):
        raise UserMistake(
            f"{num_texts} texts are too few for {max(2, wanted)} clusters.",
            "Lower cluster.num_clusters or weigh.minimum_tokens, or add text.",
        )
    num_clusters = min(wanted, num_texts)
    seed = run.context.seed
    model = StackedAutoencoder(
        len(terms), layer_widths=settings.layer_widths, code_width=settings.code_width, seed=seed
    )
    num_epochs = max(10, math.ceil(settings.num_steps * settings.batch_size / num_texts))
    with progress("autoencode", num_epochs, "epochs") as advance:
        for record in fit(
            model,
            features_NV,
            epochs=num_epochs,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            drop_probability=settings.drop_probability,
            seed=seed,
        ):
            advance(1, f"loss {record.code_loss_nats:.3f}")
    encoding = encode(model, features_NV)
    cluster_N, membership_N = kmeans(encoding.codes_NC, num_clusters, seed)
    found_terms = cluster_terms(features_NV, cluster_N, terms, settings.num_terms_shown)
    run.write(
        TEXT_CODES,
        {
            "text_id": texts["text_id"],
            "book_id": texts["book_id"],
            "section_index": texts["section_index"],
            "code": list(encoding.codes_NC),
            "map_x": encoding.map_N2[:, 0],
            "map_y": encoding.map_N2[:, 1],
            "cluster": cluster_N,
            "membership": membership_N,
            "reconstruction_error": encoding.reconstruction_error_N,
        },
    )
    run.write(
        CLUSTER_TERMS,
        {
            "cluster": [found.cluster for found in found_terms],
            "rank": [found.rank + 1 for found in found_terms],
            "term": [found.term for found in found_terms],
            "weight": [found.weight for found in found_terms],
        },
    )
    methods = {
        AUTOENCODER_METHOD: cluster_N,
        "TF-IDF + k-means": tfidf_kmeans(features_NV, num_clusters, seed),
        "LSA + k-means": lsa_kmeans(features_NV, num_clusters, seed),
    }
    rows = [score_row(name, found, labels, num_clusters) for name, found in methods.items()]
    run.write(CLUSTER_SCORES, {name: [row[name] for row in rows] for name in rows[0]})
    terms_of: dict[int, list[str]] = defaultdict(list)
    for found in found_terms:
        terms_of[found.cluster].append(found.term)
    points = MapPoints(
        x=encoding.map_N2[:, 0],
        y=encoding.map_N2[:, 1],
        clusters=cluster_N,
        labels=[label or "no label" for label in labels] if any(labels) else None,
        **_names(run, texts),
        cluster_terms=[terms_of[number] for number in range(num_clusters)],
    )
    run.write_picture(MAP_PICTURE_FILE, draw_map_png(points))
    run.write_picture(MAP_PAGE_FILE, draw_map_html(points).encode())


def features_matrix(texts: pa.Table, num_terms: int) -> csr_matrix:
    """The rows of `text_features` as a sparse matrix."""
    term_ids = texts["term_ids"].combine_chunks()
    weights = texts["weights"].combine_chunks().flatten()
    parts = (np.asarray(weights), np.asarray(term_ids.flatten()), np.asarray(term_ids.offsets))
    return csr_matrix(parts, shape=(len(texts), num_terms))


def default_num_clusters(labels: list[str | None]) -> int:
    """As many clusters as labels, or the rule of thumb of Mardia et al., Multivariate Analysis
    (1979), for texts without any.
    """
    return len({label for label in labels if label}) or max(2, round(math.sqrt(len(labels) / 2)))


def score_row(
    method: str, cluster_N: Any, labels: list[str | None], num_clusters: int
) -> dict[str, Any]:
    """A row of `cluster_scores`; without two labels there is nothing to hold clusters against."""
    labelled = [index for index, label in enumerate(labels) if label]
    known = [label for label in labels if label]
    row: dict[str, Any] = dict.fromkeys(("accuracy", "nmi", "ari"))
    if len(set(known)) > 1:
        scores = score_clusters(cluster_N[labelled], known)
        row = {"accuracy": scores.accuracy, "nmi": scores.nmi, "ari": scores.ari}
    return {"method": method, "num_texts": len(known), "num_clusters": num_clusters, **row}


def _names(run: StepRun, texts: pa.Table) -> dict[str, list[str]]:
    """Titles, headings and quotations for the map, text by text."""
    books = run.read(BOOKS, ["book_id", "title"]).to_pylist()
    title_of = {row["book_id"]: row["title"] for row in books}
    sections = run.read(SECTIONS, ["book_id", "section_index", "heading"]).to_pylist()
    heading_of = {(row["book_id"], row["section_index"]): row["heading"] for row in sections}
    keys = zip(texts["book_id"].to_pylist(), texts["section_index"].to_pylist(), strict=True)
    places = list(keys)
    return {
        "titles": [title_of[book_id] for book_id, _ in places],
        "headings": [heading_of[place] for place in places],
        "quotations": texts["quotation"].to_pylist(),
    }
