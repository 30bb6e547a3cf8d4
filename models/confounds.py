"""Whether clusters follow the label, or rather the book, the length or the place in the book.

Shapes: N texts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import adjusted_mutual_info_score

Factor = Literal["label", "book", "length", "place"]

_NUM_BINS = 5  # of lengths and of places, each of a fifth of the texts
_CHANCE = 0.05  # agreement below it is not worth a word
_ALIKE = 0.02  # a smaller difference is none
_NAMES: dict[Factor, str] = {
    "label": "label",
    "book": "book",
    "length": "length",
    "place": "place in the book",
}


@dataclass(frozen=True)
class Confound:
    """How far clusters follow one thing that is known of the texts.

    factor: what.
    num_values: how many labels or books there are, or fifths of the lengths or places.
    agreement: adjusted mutual information with the clusters, 0 by chance and 1 where one tells
        the other, however many values there are; 0 of a factor with one value.
    within_label: the same among the texts of each label by themselves, averaged by their number:
        what clusters tell of the factor beyond the label. Labels among whose texts the factor has
        one value are left out; None where all are, or there are no labels, and of the label.
    """

    factor: Factor
    num_values: int
    agreement: float
    within_label: float | None


def confounds(
    cluster_N: npt.NDArray[np.int32],
    labels: Sequence[str | None] | None,
    books: Sequence[str],
    lengths_N: npt.NDArray[np.number],
    places_N: npt.NDArray[np.number],
) -> list[Confound]:
    """Hold clusters against all that is known of the texts.

    Adjusted mutual information as in Vinh, Epps and Bailey, "Information theoretic measures for
    clusterings comparison" (2010). Lengths and places count by fifths: equal ones are of the same
    fifth, so that there may be fewer than five.

    Args:
        cluster_N: each text's cluster.
        labels: each text's, or None of a text without; only texts with a label are held against
            labels. None where no text has one: then there is no factor "label".
        books: the book that each text is from.
        lengths_N: in any unit.
        places_N: where in its book each text stands, in any unit.

    Returns:
        Label, book, length and place, in this order.

    Raises:
        ValueError: the arguments differ in number, or a length or place is not finite.
    """
    num_texts = len(cluster_N)
    for name, given in (
        ("labels", labels),
        ("books", books),
        ("lengths", lengths_N),
        ("places", places_N),
    ):
        if given is not None and len(given) != num_texts:
            raise ValueError(f"{num_texts} clustered texts don't fit {len(given)} {name}")
    values: dict[Factor, npt.NDArray[np.intp]] = {
        "book": _numbered(books),
        "length": _fifths(lengths_N, "length"),
        "place": _fifths(places_N, "place"),
    }
    is_known = np.array([label is not None for label in labels or ()], dtype=bool)
    found = []
    label_N = None
    if is_known.any():
        known = [label for label in labels or () if label is not None]
        label_N = np.full(num_texts, -1)
        label_N[is_known] = _numbered(known)
        agreement = _agreement(cluster_N[is_known], label_N[is_known])
        found.append(Confound("label", len({*known}), agreement, None))
    for factor, value_N in values.items():
        found.append(
            Confound(
                factor,
                len(np.unique(value_N)),
                _agreement(cluster_N, value_N),
                None if label_N is None else _within(cluster_N, value_N, label_N),
            )
        )
    return found


def verdict(found: Sequence[Confound], num_texts: int | None = None) -> str:
    """What the figures of `confounds` say, in up to three sentences.

    What has one value, or a value for each of `num_texts` texts, can't be followed: of that just
    this is said.
    """
    alone = [one for one in found if one.num_values == 1]
    own = [one for one in found if one.num_values == num_texts and one not in alone]
    varying = [one for one in found if one not in (*alone, *own)]
    said = [_followed(varying, found)] if varying else []
    if alone:
        said.append(f"There is only one {_joined([_NAMES[one.factor] for one in alone], 'and')}.")
    if own:
        names = _joined([_NAMES[one.factor] for one in own], "and")
        said.append(f"Every text has a {names} of its own.")
    return " ".join(said)


def _followed(varying: Sequence[Confound], found: Sequence[Confound]) -> str:
    ranked = sorted(varying, key=lambda one: -one.agreement)
    telling = [one for one in ranked if one.agreement >= _CHANCE]
    if not telling and len(varying) == 1:
        return f"Clusters do not follow {_listed(varying, 'nor')}, where 0 is chance."
    if not telling:
        return f"Clusters follow neither {_listed(varying, 'nor')}, where 0 is chance."
    first, rest = telling[0], ranked[1:]
    alike = [one for one in rest if first.agreement - one.agreement < _ALIKE]
    less = [one for one in rest if one not in alike]
    together = [first, *alike]
    said = f"Clusters follow {_listed(together, 'and')}"
    if less:
        said += f" more than {_listed(less, 'or')}"
    elif alike:
        said += " about as much as each other"
    said += ", where 0 is chance and 1 complete agreement"
    if all(one.factor != "label" for one in found):
        return f"{said}; no label is known to hold them against."
    if all(one.factor != "label" for one in varying):
        return f"{said}."
    beyond = [
        one for one in varying if one.within_label is not None and one.within_label >= _CHANCE
    ]
    if beyond:
        figures = _joined(
            [f"the {_NAMES[one.factor]} ({one.within_label:.2f})" for one in beyond], "and"
        )
        return f"{said}; among texts of one label they still follow {figures}."
    if any(one.within_label is not None for one in varying):
        return f"{said}; among texts of one label they follow nothing else that was looked at."
    return f"{said}."


def _agreement(cluster_N: npt.NDArray[np.int32], value_N: npt.NDArray[np.intp]) -> float:
    # Of two that part nothing the score is 1 by convention.
    if len(np.unique(cluster_N)) < 2 or len(np.unique(value_N)) < 2:
        return 0.0
    return float(adjusted_mutual_info_score(value_N, cluster_N))


def _within(
    cluster_N: npt.NDArray[np.int32],
    value_N: npt.NDArray[np.intp],
    label_N: npt.NDArray[np.intp],
) -> float | None:
    agreements, sizes = [], []
    for label in range(label_N.max() + 1):
        is_own = label_N == label
        if len(np.unique(value_N[is_own])) > 1:
            agreements.append(_agreement(cluster_N[is_own], value_N[is_own]))
            sizes.append(int(is_own.sum()))
    return float(np.average(agreements, weights=sizes)) if sizes else None


def _numbered(names: Sequence[str]) -> npt.NDArray[np.intp]:
    return np.unique(np.array(names, dtype=str), return_inverse=True)[1]


def _fifths(figures_N: npt.NDArray[np.number], name: str) -> npt.NDArray[np.intp]:
    """Each text's fifth by its figure, from 0; a figure on a border belongs to the lower one."""
    if not np.isfinite(figures_N).all():
        first = int(np.flatnonzero(~np.isfinite(figures_N))[0])
        raise ValueError(f"text {first} has a {name} of {figures_N[first]}; give a finite one")
    if not len(figures_N):
        return np.zeros(0, dtype=np.intp)
    borders = np.quantile(figures_N, np.arange(1, _NUM_BINS) / _NUM_BINS)
    return np.searchsorted(borders, figures_N, side="left")


def _listed(factors: Sequence[Confound], word: str) -> str:
    return _joined([f"the {_NAMES[one.factor]} ({one.agreement:z.2f})" for one in factors], word)


def _joined(parts: Sequence[str], word: str) -> str:
    if len(parts) < 3 or word == "nor":
        return f" {word} ".join(parts)
    return f"{', '.join(parts[:-1])} {word} {parts[-1]}"
