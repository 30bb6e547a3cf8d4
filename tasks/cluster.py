"""Cluster: text_features or text_vectors -> text_codes, cluster_counts, cluster_terms, the map.

in    the texts' weights, or their vectors
does  trains autoencoders side by side, settles how many clusters their codes hold, groups them
out   codes, clusters, places, what texts have that their codes don't explain; all that it takes to
      place another text
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from pydantic import Field
from scipy.sparse import csr_matrix

from data.book_schemas import BOOKS, SECTIONS
from data.errors import UserMistake
from data.settings import Settings
from data.text_schemas import (
    CLUSTER_COUNTS,
    CLUSTER_NOTES,
    CLUSTER_TERMS,
    MAP_MODEL_FILE,
    TERM_ERRORS,
    TEXT_CODES,
    TEXT_FEATURES,
    TEXT_TERMS,
    TEXT_VECTORS,
)
from models.cluster_count import CountEvidence, best_count, candidate_counts, count_evidence
from models.cluster_scores import ClusterTerm, cluster_terms
from models.strangers import strange_terms, term_errors
from models.text_clusters import (
    Clustered,
    ClusterRecipe,
    cluster_texts,
    group_codes,
    num_epochs,
)
from models.text_map import MappedTexts, TextMap
from models.text_space import Points, TextSpace
from tasks.seams.report import progress, say
from tasks.seams.step_cache import StepRun, step
from tasks.seams.text_names import titles_and_headings
from tasks.seams.text_points import TextPoints, features_matrix, text_points

STRANGE_TERMS = 6


class ClusterSettings(Settings):
    """The autoencoders and the clusters."""

    num_clusters: int | Literal["auto"] | None = None
    """How many, or `auto`: the number that the codes speak for. None: as many as there are labels,
    `auto` without labels."""
    recipe: ClusterRecipe = ClusterRecipe()
    num_terms_shown: int = Field(10, ge=1)
    """Terms kept for each cluster."""


@step(
    reads=(BOOKS, SECTIONS, TEXT_FEATURES, TEXT_TERMS),
    may_read=(TEXT_VECTORS,),
    asks_settings_of=((TEXT_FEATURES, None), (TEXT_VECTORS, None)),
    writes=(TEXT_CODES, TERM_ERRORS, CLUSTER_COUNTS, CLUSTER_NOTES, CLUSTER_TERMS),
    libraries=("torch", "scikit-learn", "scipy", "numpy"),
    seeded=True,
)
def cluster(run: StepRun, settings: ClusterSettings) -> None:
    """Find the clusters and write where every text stands."""
    texts = run.read(TEXT_FEATURES)
    terms = run.read(TEXT_TERMS)
    names = terms["term"].to_pylist()
    features_NV = features_matrix(texts, len(names))
    labels = {label for label in texts["label"].to_pylist() if label}
    count = _Count(settings, len(texts), len(labels), run.context.seed)
    notes: list[str] = []
    try:
        placed = text_points(run, features_NV, settings.recipe)
        with progress("autoencode", num_epochs(settings.recipe, len(texts)), "epochs") as advance:
            found = cluster_texts(
                placed.points,
                settings.recipe,
                count,
                run.context.seed,
                lambda record: advance(1, f"squared error {record.code_loss:.3f}"),
                lambda sentence: notes.append(f"{sentence[0].upper()}{sentence[1:]}."),
            )
    except ValueError as error:
        raise UserMistake(
            f"The texts get no clusters: {error}.",
            "Change cluster.recipe or cluster.num_clusters, or add text.",
        ) from error
    cluster_N = found.grouping.cluster_N
    notes = [*count.notes(int(cluster_N.max()) + 1), *notes]
    for note in notes:
        say(note)
    marks = cluster_terms(
        features_NV,
        cluster_N,
        names,
        settings.num_terms_shown,
        are_common=terms["kind"][0].as_py() == "function_words",
    )
    _write_codes(run, texts, names, features_NV, placed, found)
    run.write(CLUSTER_COUNTS, _count_columns(count.evidence, count.chosen))
    run.write(CLUSTER_NOTES, {"note": notes})
    run.write(
        CLUSTER_TERMS,
        {
            "cluster": [mark.cluster for mark in marks],
            "rank": [mark.rank + 1 for mark in marks],
            "term": [mark.term for mark in marks],
            "weight": [mark.weight for mark in marks],
        },
    )
    text_map = _text_map(run, settings, texts, terms, placed, found, marks)
    run.write_file(MAP_MODEL_FILE, text_map.to_bytes(), text_map.digest())


class _Count:
    """How many clusters: given, or settled once the codes are there."""

    def __init__(
        self, settings: ClusterSettings, num_texts: int, num_labels: int, seed: int
    ) -> None:
        given = settings.num_clusters
        if isinstance(given, int) and not 1 <= given <= num_texts:
            raise UserMistake(
                f"{num_texts} {'text is' if num_texts == 1 else 'texts are'} too few for {given} "
                f"clusters."
                if given > 0
                else f"{given} is no number of clusters.",
                "Set cluster.num_clusters (--clusters) to a number from 1 to the number of texts, "
                "or to auto; or add text, or lower weigh.minimum_tokens.",
            )
        self.chosen = 0
        self.evidence: list[CountEvidence] = []
        self._given = given
        self._num_labels = num_labels
        self._num_texts = num_texts
        self._recipe = settings.recipe
        self._seed = seed

    def __call__(self, codes_NC: Points) -> int:
        """The number for these codes."""
        if isinstance(self._given, int):
            self.chosen = self._given
        elif self._given is None and self._num_labels > 1:
            self.chosen = min(self._num_labels, self._num_texts)
        else:
            self.chosen = self._by_evidence(codes_NC)
        return self.chosen

    def notes(self, num_found: int) -> list[str]:
        """Why there are as many clusters as there are."""
        if isinstance(self._given, int):
            why = "as asked"
        elif not self.evidence:
            why = (
                "as many as labels"
                if self._given is None and self._num_labels > 1
                else "too few texts to try other numbers"
            )
        elif self.chosen == 1:
            why = f"none of {len(self.evidence)} numbers tried parts the texts well and steadily"
        else:
            best = next(one for one in self.evidence if one.num_clusters == self.chosen)
            why = (
                f"the best of {len(self.evidence)} numbers tried (silhouette "
                f"{best.silhouette:.2f}, stability {best.stability:.2f})"
            )
        some = "1 cluster" if num_found == 1 else f"{num_found} clusters"
        if num_found != self.chosen:
            told_apart = (
                "HDBSCAN finds its own number"
                if self._recipe.clusterer == "hdbscan"
                else "no more can be told apart"
            )
            why = f"{self.chosen} wanted, {why}; {told_apart}"
        return [f"{some}: {why}."]

    def _by_evidence(self, codes_NC: Points) -> int:
        candidates = candidate_counts(self._num_texts)
        if not candidates:
            return 1
        recipe = ClusterRecipe(**{**asdict(self._recipe), "clusterer": "kmeans"})

        def group(codes: Points, number: int, seed: int) -> Any:
            return group_codes(codes, recipe, number, seed).cluster_N

        with progress("count clusters", len(candidates), "numbers") as advance:
            self.evidence = count_evidence(
                codes_NC, group, candidates, self._seed, lambda: advance(1)
            )
        return best_count(self.evidence)


def _count_columns(evidence: Sequence[CountEvidence], chosen: int) -> dict[str, Any]:
    return {
        "num_clusters": [one.num_clusters for one in evidence],
        "silhouette": [one.silhouette for one in evidence],
        "stability": [one.stability for one in evidence],
        "chosen": [one.num_clusters == chosen for one in evidence],
    }


def _write_codes(
    run: StepRun,
    texts: Any,
    names: Sequence[str],
    features_NV: csr_matrix,
    placed: TextPoints,
    found: Clustered,
) -> None:
    encoding = found.learned.encoding
    strange: list[list[str]] = [[] for _ in range(len(texts))]
    errors_V = np.zeros(0, dtype=np.float32)
    if isinstance(placed.space, TextSpace):  # vectors don't tell which term is strange
        told = features_NV, placed.space, placed.points, encoding.errors_ND
        strange = [[names[term] for term in own] for own in strange_terms(*told, STRANGE_TERMS)]
        errors_V = term_errors(*told)
    run.write(
        TEXT_CODES,
        {
            "text_id": texts["text_id"],
            "book_id": texts["book_id"],
            "section_index": texts["section_index"],
            "code": list(encoding.codes_NC),
            "map_x": encoding.map_N2[:, 0],
            "map_y": encoding.map_N2[:, 1],
            "cluster": found.grouping.cluster_N,
            "membership": found.grouping.membership_N,
            "reconstruction_error": found.learned.errors(),
            "strange_terms": strange,
        },
    )
    run.write(
        TERM_ERRORS,
        {
            "term_id": range(len(errors_V)),
            "term": names[: len(errors_V)],
            "error": errors_V,
        },
    )


def _text_map(
    run: StepRun,
    settings: ClusterSettings,
    texts: Any,
    terms: Any,
    placed: TextPoints,
    found: Clustered,
    marks: Sequence[ClusterTerm],
) -> TextMap:
    titles, headings = titles_and_headings(
        run.read(BOOKS, ["book_id", "title"]),
        run.read(SECTIONS, ["book_id", "section_index", "heading", "char_end"]),
        texts,
    )
    terms_of: dict[int, list[str]] = defaultdict(list)
    for mark in marks:
        terms_of[mark.cluster].append(mark.term)
    cluster_N = found.grouping.cluster_N
    encoding = found.learned.encoding
    return TextMap(
        placed.space,
        settings.recipe,
        found.learned.model,
        MappedTexts(
            encoding.codes_NC,
            encoding.map_N2,
            cluster_N,
            found.grouping.membership_N,
            titles,
            headings,
            [terms_of[number] for number in range(int(cluster_N.max()) + 1)],
        ),
        terms["term"].to_pylist(),
        terms["inverse_document_frequency"].to_numpy().astype(np.float32),
        {
            "kind": terms["kind"][0].as_py(),
            "weigh": run.settings_of(TEXT_FEATURES),
            **_dense_settings(run),
        },
    )


def _dense_settings(run: StepRun) -> dict[str, Any]:
    """What vectors are averages of, and the language model's file among those of the run."""
    if not run.has(TEXT_VECTORS):
        return {}
    [name] = run.lineage_of(TEXT_VECTORS)["input_files"]
    return {"average": run.settings_of(TEXT_VECTORS), "model_file": name.rsplit("/", 1)[-1]}
