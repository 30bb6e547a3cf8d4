"""How far to believe a map, in plain sentences."""

from collections.abc import Mapping, Sequence
from typing import Any

from models.cluster_scores import is_own
from models.confounds import Confound
from models.confounds import verdict as what_clusters_follow

Row = Mapping[str, Any]
_ALIKE = 0.02  # a smaller difference of shares or scores is none


def verdict(
    notes: Sequence[str],
    scores: Sequence[Row],
    probes: Sequence[Row],
    follows: Sequence[Row],
    *,
    num_texts: int,
) -> list[str]:
    """Sentences from the rows of cluster_notes, cluster_scores, _probes and _confounds."""
    return [
        *notes,
        *_against_labels(scores, follows),
        *_against_itself(scores),
        *_probed(probes, scores, follows),
        what_clusters_follow([Confound(**row) for row in follows], num_texts),
    ]


def _against_labels(scores: Sequence[Row], follows: Sequence[Row]) -> list[str]:
    own, others = _own_and_others(scores)
    if own is None or own["nmi"] is None:
        return []
    right = f"{own['accuracy']:.0%} of texts in the right cluster, "
    text = (
        f"Against the labels, which no method sees: {'' if _is_finer(own, follows) else right}"
        f"NMI {own['nmi']:.2f} ± {own['nmi_sd']:.2f} over {own['num_seeds']} seeds"
    )
    if not others:
        return [f"{text}."]
    best = max(others, key=lambda row: float(row["nmi"]))
    held = (
        "more than"
        if own["nmi"] > best["nmi"] + _ALIKE
        else ("less than" if own["nmi"] < best["nmi"] - _ALIKE else "about as much as")
    )
    return [f"{text}; {held} the best simple method, {best['method']} ({best['nmi']:.2f})."]


def _against_itself(scores: Sequence[Row]) -> list[str]:
    own, _ = _own_and_others(scores)
    if own is None or own["stability"] is None:
        return []
    steady = own["stability"]
    word = (
        "the same"
        if steady > 0.9
        else "much the same"
        if steady > 0.7
        else ("partly different" if steady > 0.4 else "quite different")
    )
    return [
        f"With another seed the clusters come out {word} (adjusted Rand index {steady:.2f}); "
        f"their silhouette is {own['silhouette']:.2f}."
    ]


def _probed(probes: Sequence[Row], scores: Sequence[Row], follows: Sequence[Row]) -> list[str]:
    """Whether the code lost the labels, or the clusters missed them."""
    best = {
        name: max((row["accuracy"] for row in probes if row["input"] == name), default=None)
        for name in ("codes", "terms")
    }
    own, _ = _own_and_others(scores)
    if best["codes"] is None or best["terms"] is None or own is None or own["accuracy"] is None:
        return []
    whose = "books' texts" if probes[0]["held_out"] == "books" else "texts"
    text = (
        f"Taught the labels, a classifier gives {best['codes']:.0%} of held-out {whose} theirs "
        f"from the codes, {best['terms']:.0%} from the terms "
        f"({probes[0]['majority_accuracy']:.0%} by guessing the commonest)"
    )
    if best["codes"] < best["terms"] - 0.05:
        return [f"{text}: the codes lost some of what tells labels apart."]
    if best["codes"] > own["accuracy"] + 0.05 and not _is_finer(own, follows):
        return [f"{text}: the codes know labels that the clusters miss."]
    return [f"{text}."]


def _is_finer(own: Row, follows: Sequence[Row]) -> bool:
    """Whether clusters outnumber labels: then the surplus ones, pure or not, count as wrong."""
    num_labels = [row["num_values"] for row in follows if row["factor"] == "label"]
    return bool(num_labels) and own["num_clusters"] > num_labels[0]


def _own_and_others(scores: Sequence[Row]) -> tuple[Row | None, list[Row]]:
    own = [row for row in scores if is_own(row["method"])]
    others = [row for row in scores if not is_own(row["method"]) and row["nmi"] is not None]
    return (own[0] if own else None), others
