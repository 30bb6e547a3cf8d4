"""Judge: text_features, text_codes, books -> what clusters are, and how far to believe them.

in    the texts, their codes and clusters; labels, where books have them
does  finds typical and edge texts; clusters again with other seeds and by simpler methods; teaches
      classifiers the labels on books that others are held out of; looks what else clusters follow
out   a table for each of these
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import Field
from scipy.sparse import csr_matrix

from data.settings import Settings
from data.text_schemas import (
    CLUSTER_CONFOUNDS,
    CLUSTER_LABELS,
    CLUSTER_PROBES,
    CLUSTER_SCORES,
    CLUSTER_TEXTS,
    TEXT_CODES,
    TEXT_FEATURES,
    TEXT_TERMS,
    TEXT_VECTORS,
)
from models.cluster_count import silhouette
from models.cluster_methods import BASELINES
from models.cluster_scores import method_name, scores_over_seeds, stability
from models.cluster_texts import shown_texts
from models.confounds import confounds
from models.probes import probe
from models.text_clusters import ClusterRecipe, cluster_texts
from tasks.seams.report import progress
from tasks.seams.step_cache import StepRun, step
from tasks.seams.text_points import code_matrix, features_matrix, text_points

Clusters = npt.NDArray[np.int32]
SCORES = ("accuracy", "nmi", "ari", "accuracy_sd", "nmi_sd", "ari_sd", "silhouette", "stability")


class JudgeSettings(Settings):
    """How clusters are judged."""

    num_seeds: int = Field(5, ge=1)
    """How many seeds the scores are averaged over."""
    most_texts: int = Field(5_000, ge=2)
    """Of more texts, so many drawn ones stand for all where other seeds and simpler methods are
    tried: each takes as long as the map itself."""
    num_texts_shown: int = Field(5, ge=1)
    """Typical and edge texts of each cluster."""


@step(
    reads=(TEXT_FEATURES, TEXT_TERMS, TEXT_CODES),
    may_read=(TEXT_VECTORS,),
    asks_settings_of=((TEXT_CODES, "recipe"),),
    writes=(CLUSTER_TEXTS, CLUSTER_LABELS, CLUSTER_SCORES, CLUSTER_PROBES, CLUSTER_CONFOUNDS),
    libraries=("torch", "scikit-learn", "scipy", "numpy"),
    seeded=True,
)
def judge(run: StepRun, settings: JudgeSettings) -> None:
    """Write what clusters are and how far to believe them."""
    texts = run.read(TEXT_FEATURES)
    features_NV = features_matrix(texts, run.read(TEXT_TERMS, ["term_id"]).num_rows)
    found = run.read(TEXT_CODES, ["code", "cluster"])
    codes_NC = code_matrix(found["code"])
    cluster_N = found["cluster"].to_numpy().astype(np.int32)
    labels = texts["label"].to_pylist()
    shown = [asdict(one) for one in shown_texts(codes_NC, cluster_N, settings.num_texts_shown)]
    _write_rows(
        run, CLUSTER_TEXTS, [{**r, "text_id": r["text"], "rank": r["rank"] + 1} for r in shown]
    )
    _write_rows(run, CLUSTER_LABELS, label_shares(cluster_N, labels))
    recipe = ClusterRecipe.from_json(run.settings_of(TEXT_CODES)["recipe"])
    rows = _score_rows(run, settings, recipe, features_NV, labels, cluster_N)
    _write_rows(run, CLUSTER_SCORES, list(rows))
    labelled = [index for index, label in enumerate(labels) if label]
    known = [label for label in labels if label]
    books = texts["book_id"].to_pylist()
    probed = probe(
        {"codes": codes_NC[labelled], "terms": csr_matrix(features_NV[labelled])},
        known,
        [books[index] for index in labelled],
        run.context.seed,
    )
    _write_rows(run, CLUSTER_PROBES, [{**asdict(r), "input": r.input_name} for r in probed])
    follows = confounds(
        cluster_N,
        labels if known else None,
        books,
        texts["num_tokens"].to_numpy(),
        texts["place"].to_numpy(),
    )
    _write_rows(run, CLUSTER_CONFOUNDS, [asdict(one) for one in follows])


def label_shares(cluster_N: Clusters, labels: Sequence[str | None]) -> list[dict[str, Any]]:
    """Each label's texts in each cluster, the most frequent first."""
    pairs = zip(cluster_N.tolist(), labels, strict=True)
    counts = Counter((cluster, label) for cluster, label in pairs if label)
    sizes = Counter[int]()
    for (cluster, _), number in counts.items():
        sizes[cluster] += number
    order = sorted(counts, key=lambda pair: (pair[0], -counts[pair], str(pair[1])))
    return [
        {
            "cluster": cluster,
            "label": label,
            "num_texts": counts[cluster, label],
            "share": counts[cluster, label] / sizes[cluster],
        }
        for cluster, label in order
    ]


def _score_rows(
    run: StepRun,
    settings: JudgeSettings,
    recipe: ClusterRecipe,
    features_NV: csr_matrix,
    labels: Sequence[str | None],
    cluster_N: Clusters,
) -> Iterator[dict[str, Any]]:
    """Rows of `cluster_scores`; `cluster_N` are what the recipe found with the seed."""
    seed = run.context.seed
    num_texts = features_NV.shape[0]
    drawn = np.arange(num_texts)
    if num_texts > settings.most_texts:
        random = np.random.default_rng(seed)
        drawn = np.sort(random.choice(num_texts, settings.most_texts, replace=False))
    points_MD = text_points(run, features_NV, recipe).points[drawn]
    features_MV, cluster_M = csr_matrix(features_NV[drawn]), cluster_N[drawn]
    num_clusters = min(int(cluster_N.max()) + 1, len(drawn))

    def as_mapped(one: int) -> Clusters:
        if one == seed:
            return cluster_M
        return cluster_texts(points_MD, recipe, num_clusters, one).grouping.cluster_N

    methods: dict[str, Callable[[int], Clusters]] = {method_name(recipe.clusterer): as_mapped}
    for name, baseline in BASELINES.items():
        methods[name] = partial(baseline, features_MV, num_clusters)
    labels = [labels[index] for index in drawn.tolist()]
    labelled = [index for index, label in enumerate(labels) if label]
    known = [label for label in labels if label]
    seeds = range(seed, seed + settings.num_seeds)
    with progress("judge clusters", len(methods) * len(seeds), "runs") as advance:
        for name, method in methods.items():
            found = []
            for one in seeds:
                found.append(method(one))
                advance(1, name)
            row = dict.fromkeys(SCORES)
            if len(set(known)) > 1:
                scores = scores_over_seeds([one[labelled] for one in found], known)
                for score, (mean, deviation) in scores.items():
                    row |= {score: mean, f"{score}_sd": deviation}
            yield {
                "method": name,
                "num_texts": len(known),
                "num_clusters": num_clusters,
                "num_seeds": len(found),
                **row,
                "silhouette": float(np.mean([silhouette(points_MD, one) for one in found])),
                "stability": stability(found),
            }


def _write_rows(run: StepRun, table: Any, rows: Sequence[dict[str, Any]]) -> None:
    names = table.schema.names
    run.write(table, {name: [row[name] for row in rows] for name in names})
