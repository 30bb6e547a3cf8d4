"""What codes still hold of labels, told by simple classifiers on books that they never saw.

Where a probe reads labels from the codes that clusters don't follow, the clusterer missed them;
where it reads them from the raw weights alone, the codes lost them. After Alain and Bengio,
"Understanding intermediate layers using linear classifier probes" (2016).

Shapes: N texts, F features, T training texts, L labels.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix, issparse
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import normalize

from models.clusterers import unsettled_is_no_warning
from models.threads import one_thread

Inputs = npt.NDArray[np.floating] | csr_matrix
Ints = npt.NDArray[np.int64]
ProbeName = Literal["nearest neighbours", "network"]
HeldOut = Literal["books", "texts"]

_MOST_FOLDS = 5
_NUM_NEIGHBOURS = 10
_MOST_TRAINING_TEXTS = 4_000  # of more, so many are drawn in each fold
_TEXTS_AT_ONCE = 1_000  # whose neighbours are looked up
_HIDDEN_WIDTH = 64
_BATCH_SIZE = 32
_NUM_STEPS = 1_000  # of the network, about; as many whether texts are few or many
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 1e-3


@dataclass(frozen=True)
class ProbeScore:
    """How well one probe reads the labels from one input; accuracies in [0, 1].

    probe: which.
    input_name: of what it read.
    accuracy: share of texts whose label it tells, each while its fold was held out.
    balanced_accuracy: mean of the labels' own shares, so that rare labels count as much.
    majority_accuracy: the share that always guessing the commonest label reaches.
    num_folds: so many times a part was held out.
    held_out: "books", whole; or "texts", where a label's books are too few to hold any out, so
        that a probe may have learned books for labels.
    """

    probe: ProbeName
    input_name: str
    accuracy: float
    balanced_accuracy: float
    majority_accuracy: float
    num_folds: int
    held_out: HeldOut


def probe(
    inputs: Mapping[str, Inputs], labels: Sequence[str], books: Sequence[str], seed: int
) -> list[ProbeScore]:
    """Hold two probes against the labels, on each of the inputs, with the same folds for all.

    The probes are a vote of the 10 nearest texts by cosine, or fewer where texts are few, and a
    network of one hidden layer. Both see texts of unit length; the network's are scaled so that
    a feature's mean square is 1.

    Args:
        inputs: features_NF of the texts under each name, dense or sparse.
        labels: each text's.
        books: the book that each text is from.
        seed: of folds, drawn texts and first weights; the same seed gives the same bits.

    Returns:
        Scores by input, then by probe. None where there are fewer than two labels or no label
        has a second text.

    Raises:
        ValueError: inputs, labels and books differ in number.
    """
    for name, features_NF in inputs.items():
        if not features_NF.shape[0] == len(labels) == len(books):
            raise ValueError(
                f"{features_NF.shape[0]} texts of {name!r}, {len(labels)} labels and "
                f"{len(books)} books don't fit each other; give one of each a text"
            )
    names, label_N = np.unique(np.array(labels, dtype=str), return_inverse=True)
    if len(names) < 2:
        return []
    folds, held_out = _folds(label_N, np.unique(np.array(books), return_inverse=True)[1], seed)
    if not folds:
        return []
    random = np.random.default_rng(seed)
    drawn = [(_drawn(train_T, random), test_T) for train_T, test_T in folds]
    majority = float(np.bincount(label_N).max() / len(label_N))
    scores = []
    for name, features_NF in inputs.items():
        unit_NF = normalize(features_NF, copy=True)
        for probe_name in ("nearest neighbours", "network"):
            guess_N = np.full(len(label_N), -1)
            with one_thread():  # or sums come out in other bits from run to run
                for train_T, test_T in drawn:
                    tell = _neighbours if probe_name == "nearest neighbours" else _network
                    guess_N[test_T] = tell(unit_NF, label_N, train_T, test_T, seed)
            scores.append(
                ProbeScore(
                    probe_name,
                    name,
                    float(accuracy_score(label_N, guess_N)),
                    float(recall_score(label_N, guess_N, average="macro", zero_division=0)),
                    majority,
                    len(folds),
                    held_out,
                )
            )
    return scores


def _folds(label_N: Ints, book_N: Ints, seed: int) -> tuple[list[tuple[Ints, Ints]], HeldOut]:
    """Training and test texts of each fold; of books, if each label is left in every training."""
    with warnings.catch_warnings():
        # The rarest label may have fewer texts than there are folds: some folds test none.
        warnings.filterwarnings("ignore", "The least populated class", UserWarning)
        each_label = np.unique(np.stack([label_N, book_N]), axis=1)[0]
        if np.bincount(each_label).min() > 1:
            for num_folds in range(min(_MOST_FOLDS, int(book_N.max()) + 1), 1, -1):
                if num_folds > np.bincount(label_N).max():
                    continue
                splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
                folds = list(splitter.split(label_N[:, None], label_N, book_N))
                num_labels = label_N.max() + 1
                if all(
                    len(test_T) and len(np.unique(label_N[train_T])) == num_labels
                    for train_T, test_T in folds
                ):
                    return folds, "books"
        # As many folds as leave two labels or more in every training.
        num_folds = min(_MOST_FOLDS, int(np.sort(np.bincount(label_N))[-2]))
        if num_folds < 2:
            return [], "texts"
        plain = StratifiedKFold(num_folds, shuffle=True, random_state=seed)
        return list(plain.split(label_N[:, None], label_N)), "texts"


def _drawn(train_T: Ints, random: np.random.Generator) -> Ints:
    if len(train_T) <= _MOST_TRAINING_TEXTS:
        return train_T
    return np.sort(random.choice(train_T, _MOST_TRAINING_TEXTS, replace=False))


def _neighbours(unit_NF: Inputs, label_N: Ints, train_T: Ints, test_T: Ints, seed: int) -> Ints:
    """Votes of the nearest; between labels of as many votes the first one has it."""
    count = max(1, min(_NUM_NEIGHBOURS, round(len(train_T) ** 0.5)))
    model = KNeighborsClassifier(count, algorithm="brute", metric="cosine")
    model.fit(unit_NF[train_T], label_N[train_T])
    return _in_parts(lambda part_T: model.predict(unit_NF[part_T]), test_T)


def _network(unit_NF: Inputs, label_N: Ints, train_T: Ints, test_T: Ints, seed: int) -> Ints:
    train_TF = _dense(unit_NF[train_T])
    mean_F = train_TF.mean(axis=0)
    train_TF -= mean_F
    scale = 1 / max(float(np.sqrt(np.square(train_TF).mean())), 1e-12)
    batch_size = min(_BATCH_SIZE, len(train_T))
    model = MLPClassifier(
        (_HIDDEN_WIDTH,),
        alpha=_WEIGHT_DECAY,
        batch_size=batch_size,
        learning_rate_init=_LEARNING_RATE,
        max_iter=max(1, round(_NUM_STEPS * batch_size / len(train_T))),
        random_state=seed % 2**32,
    )
    with unsettled_is_no_warning():  # it stops after so many steps on purpose, converged or not
        model.fit(train_TF * scale, label_N[train_T])
    return _in_parts(
        lambda part_T: model.predict((_dense(unit_NF[part_T]) - mean_F) * scale), test_T
    )


def _in_parts(tell: Callable[[Ints], Ints], test_T: Ints) -> Ints:
    return np.concatenate(
        [
            tell(test_T[start : start + _TEXTS_AT_ONCE])
            for start in range(0, len(test_T), _TEXTS_AT_ONCE)
        ]
    )


def _dense(features_NF: Inputs) -> npt.NDArray[np.float32]:
    dense = features_NF.toarray() if issparse(features_NF) else features_NF
    return np.array(dense, dtype=np.float32)
