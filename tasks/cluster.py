"""Cluster: text_features, text_terms, books, sections -> text_codes, cluster_terms, map.

in    the texts' TF-IDF weights; titles and headings for the map
does  trains autoencoders side by side, clusters their codes, draws the codes' map
out   codes, clusters and places; terms; scores against the labels, over several seeds, beside
      simple baselines
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
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
from models.cluster_methods import BASELINES, autoencoder_clusters
from models.cluster_scores import DEFAULT_METHOD, cluster_terms, scores_over_seeds
from models.text_clusters import ClusterRecipe, group_codes, learn_codes, num_epochs
from tasks.seams.drawing_map import MapPoints, draw_map_html, draw_map_png
from tasks.seams.report import progress
from tasks.seams.step_cache import StepRun, step

SCORES = ("accuracy", "nmi", "ari", "accuracy_sd", "nmi_sd", "ari_sd")


class ClusterSettings(Settings):
    """The autoencoders and the clusters."""

    num_clusters: int | None = None
    """By default as many as there are labels; without labels, about the root of half the texts."""
    recipe: ClusterRecipe = ClusterRecipe()
    num_seeds: int = 5
    """How many seeds the scores are averaged over, where there are labels."""
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
    with progress("autoencode", num_epochs(settings.recipe, num_texts), "epochs") as advance:
        try:
            learned = learn_codes(
                features_NV,
                settings.recipe,
                seed,
                lambda record: advance(1, f"squared error {record.code_loss:.3f}"),
            )
        except ValueError as error:
            raise UserMistake(
                f"The texts get no codes: {error}.", "Change cluster.recipe."
            ) from error
    encoding = learned.encoding
    cluster_N, membership_N = group_codes(encoding.codes_NC, settings.recipe, num_clusters, seed)
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
            "reconstruction_error": learned.errors(),
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
    rows = list(_score_rows(settings, features_NV, labels, num_clusters, seed, cluster_N))
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


def _score_rows(
    settings: ClusterSettings,
    features_NV: csr_matrix,
    labels: list[str | None],
    num_clusters: int,
    seed: int,
    cluster_N: npt.NDArray[np.int32],
) -> Iterator[dict[str, Any]]:
    """Rows of `cluster_scores`; without two labels there is nothing to hold clusters against.

    `cluster_N` are the clusters that the default method found with the seed.
    """
    methods = {DEFAULT_METHOD: autoencoder_clusters(settings.recipe), **BASELINES}
    labelled = [index for index, label in enumerate(labels) if label]
    known = [label for label in labels if label]
    seeds = range(seed, seed + settings.num_seeds) if len(set(known)) > 1 else range(0)
    with progress("hold against labels", len(methods) * len(seeds), "runs") as advance:
        for name, method in methods.items():
            found = []
            for one in seeds:
                is_known = name == DEFAULT_METHOD and one == seed
                clusters = cluster_N if is_known else method(features_NV, num_clusters, one)
                found.append(clusters[labelled])
                advance(1, name)
            row = dict.fromkeys(SCORES)
            if found:
                for score, (mean, deviation) in scores_over_seeds(found, known).items():
                    row |= {score: mean, f"{score}_sd": deviation}
            yield {
                "method": name,
                "num_texts": len(known),
                "num_clusters": num_clusters,
                "num_seeds": len(found),
                **row,
            }


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
