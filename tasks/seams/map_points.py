"""What the map and the pictures beside it show of N texts in K clusters, and what they count."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_hex, to_rgb
from scipy.optimize import linear_sum_assignment

# Okabe and Ito's "Color universal design" (2008) without its faint yellow and its black, then
# Paul Tol's muted colours. Readers who tell few colours apart have the numbers on the map.
PALETTE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#332288",
    "#999933",
    "#882255",
    "#777777",
)
_SHOWN_TERMS = 4
_MOST_LABELS = 30
_NAME_GAP, _NAME_ROOM = 0.045, 0.3  # of the map's height and width
_UNSHOWABLE = re.compile(  # nor what turns the line around
    "[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029\\u202a-\\u202e\\u2066-\\u2069\\ud800-\\udfff]+"
)


@dataclass(frozen=True)
class MapPoints:
    """N texts on a plane, K clusters numbered from 0. All sequences but the last are N long.

    labels: what is known of each text, its genre for example; None where nothing is.
    titles, headings, quotations: the book, the section in it, and the text's first words.
    book_ids: texts with the same one are of one book.
    places: where in its book the text's middle stands, 0 at the start, 1 at the end.
    memberships: the share of its cluster in each text.
    errors: how badly each text fits its code.
    strange_terms: the words of each text that its code explains least, strangest first.
    placed: texts that were put on the map after it had been made; None where none were.
    cluster_terms: for each cluster, the terms that mark it, best first.
    typical, edge: for each cluster, the texts at its heart and at its edge, best first.
    verdict: sentences about the clustering as a whole, as many as there are.
    """

    x: npt.NDArray[np.float32]
    y: npt.NDArray[np.float32]
    clusters: npt.NDArray[np.int32]
    labels: Sequence[str] | None
    titles: Sequence[str]
    headings: Sequence[str]
    quotations: Sequence[str]
    book_ids: Sequence[str]
    places: npt.NDArray[np.float32]
    memberships: npt.NDArray[np.float32]
    errors: npt.NDArray[np.float32]
    strange_terms: Sequence[Sequence[str]]
    cluster_terms: Sequence[Sequence[str]]
    typical: Sequence[Sequence[int]]
    edge: Sequence[Sequence[int]]
    verdict: Sequence[str]
    placed: npt.NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        names = (self.titles, self.headings, self.quotations, self.book_ids, self.strange_terms)
        columns = (self.x, self.y, self.clusters, self.places, self.memberships, self.errors)
        lengths = {len(column) for column in (*columns, *names)}
        lengths |= {len(column) for column in (self.labels, self.placed) if column is not None}
        if len(lengths) > 1 or lengths == {0}:
            raise ValueError(f"a map needs columns of one length above 0, not {sorted(lengths)}")
        if not 0 <= self.clusters.min() <= self.clusters.max() < len(self.cluster_terms):
            raise ValueError(f"there are terms for {len(self.cluster_terms)} clusters only")
        if not all(np.isfinite(column).all() for column in columns):
            raise ValueError("a map needs finite numbers")
        if not 0 <= self.places.min() <= self.places.max() <= 1:
            raise ValueError(f"places run from {self.places.min()} to {self.places.max()}")
        for name, chosen in (("typical", self.typical), ("edge", self.edge)):
            if len(chosen) != len(self.cluster_terms):
                raise ValueError(f"there are {name} texts for {len(chosen)} clusters only")
            if strays := [text for texts in chosen for text in texts if not 0 <= text < len(self)]:
                raise ValueError(f"{strays[0]}, named as {name}, is none of {len(self)} texts")

    def __len__(self) -> int:
        return len(self.x)

    @property
    def num_clusters(self) -> int:
        """K."""
        return len(self.cluster_terms)

    @property
    def was_placed(self) -> npt.NDArray[np.bool_]:
        """Which texts were put on the map after it had been made."""
        return np.zeros(len(self), dtype=bool) if self.placed is None else self.placed

    @property
    def cluster_sizes(self) -> npt.NDArray[np.intp]:
        """How many texts each cluster has."""
        return np.bincount(self.clusters, minlength=self.num_clusters)


@dataclass(frozen=True)
class Confusion:
    """How many texts of each of L labels are in each of K clusters."""

    labels: Sequence[str]
    counts_LK: npt.NDArray[np.intp]

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        """The clusters' shares in each label; a row is 1 in all."""
        sizes: npt.NDArray[np.intp] = self.counts_LK.sum(axis=1, keepdims=True)
        return np.asarray(self.counts_LK / sizes, dtype=np.float64)


@dataclass(frozen=True)
class BookLine:
    """A book's texts in their order; text i fills the book from borders[i] to borders[i + 1]."""

    title: str
    texts: Sequence[int]
    borders: Sequence[float]
    is_placed: bool


@dataclass(frozen=True)
class StarName:
    """Where the name of a book that was placed later goes, tied to the star of one of its texts."""

    text: int
    x: float
    y: float
    is_left: bool


def confusion(points: MapPoints, most_labels: int = _MOST_LABELS) -> Confusion:
    """Count labels in clusters, each label in the row of the cluster that it goes with best.

    Labels and clusters are paired so that the most texts agree; a label without a partner comes
    after its largest cluster's. Beyond `most_labels`, the rarer ones are one last row, "others".

    Raises:
        ValueError: the texts have no labels.
    """
    if points.labels is None:
        raise ValueError("texts without labels have no confusion")
    labels, label_N = np.unique(np.array(points.labels), return_inverse=True)
    counts_LK = np.zeros((len(labels), points.num_clusters), dtype=np.intp)
    np.add.at(counts_LK, (label_N, points.clusters), 1)
    names = [str(label) for label in labels]
    partner = {int(row): float(np.argmax(counts_LK[row])) + 0.5 for row in range(len(names))}
    for row, column in zip(*linear_sum_assignment(-counts_LK), strict=True):
        if counts_LK[row, column]:
            partner[int(row)] = float(column)
    commonest = np.argsort(-counts_LK.sum(axis=1), kind="stable")
    kept = commonest if len(names) <= most_labels else commonest[: most_labels - 1]
    order = sorted(kept.tolist(), key=lambda row: (partner[row], names[row]))
    shown, rows = [names[row] for row in order], counts_LK[order]
    if len(kept) < len(names):
        rest = commonest[len(kept) :]
        shown.append(f"{len(rest)} others")
        rows = np.vstack([rows, counts_LK[rest].sum(axis=0)])
    return Confusion(shown, rows)


def book_lines(points: MapPoints) -> list[BookLine]:
    """Return each book's course, in the order in which the books first come.

    A text reaches halfway to its neighbours; where two stand at one place, all are equally long.
    """
    texts_of: dict[str, list[int]] = {}
    for text, book_id in enumerate(points.book_ids):
        texts_of.setdefault(book_id, []).append(text)
    lines = []
    for texts in texts_of.values():
        order = sorted(texts, key=lambda text: (float(points.places[text]), text))
        places = points.places[order].astype(float)
        if len(order) > 1 and np.diff(places).min() <= 0:
            borders = np.linspace(0, 1, len(order) + 1)
        else:
            borders = np.concatenate([[0.0], (places[1:] + places[:-1]) / 2, [1.0]])
        is_placed = bool(points.was_placed[order].any())
        lines.append(BookLine(points.titles[order[0]], order, borders.tolist(), is_placed))
    return lines


def star_names(points: MapPoints, most: int) -> list[StarName]:
    """Find room for the names of the first `most` books placed later, each at a text amid its own.

    Names go outwards where there is room, one below the other so that all can be read.
    """
    stars: list[int] = []
    for line in book_lines(points):
        chosen = [text for text in line.texts if points.was_placed[text]]
        if chosen and len(stars) < most:
            apart_x = points.x[chosen] - np.median(points.x[chosen])
            apart_y = points.y[chosen] - np.median(points.y[chosen])
            stars.append(chosen[int(np.argmin(np.hypot(apart_x, apart_y)))])
    left, width, height = float(points.x.min()), float(np.ptp(points.x)), float(np.ptp(points.y))
    names: list[StarName] = []
    below = np.inf
    for text in sorted(stars, key=lambda text: -float(points.y[text])):
        x = float(points.x[text])
        below = min(float(points.y[text]), below - _NAME_GAP * height)
        share = (x - left) / width if width else 0.5
        is_left = _NAME_ROOM < share < 0.5 or share > 1 - _NAME_ROOM
        names.append(StarName(text, x + (-1 if is_left else 1) * 0.05 * width, below, is_left))
    return names


def map_heading(points: MapPoints) -> str:
    """What there is to see, in a line."""
    return f"{counted(len(points), 'text')} in {counted(points.num_clusters, 'cluster')}"


def cluster_name(points: MapPoints, cluster: int) -> str:
    """The cluster's number and its first terms."""
    terms = ", ".join(points.cluster_terms[cluster][:_SHOWN_TERMS])
    return f"{cluster}: {shown_text(terms)}"


def counted(number: int, noun: str) -> str:
    """The number with its noun: 1 text, 2,000 texts."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def shown_text(text: str, most_characters: int | None = None) -> str:
    """Text from a book in one line, without what no font can show; shortened if asked for."""
    line = " ".join(_UNSHOWABLE.sub(" ", text).split())
    if most_characters is None or len(line) <= most_characters:
        return line
    at_words = textwrap.shorten(line, most_characters, placeholder=" …")
    return at_words if len(at_words) > most_characters // 2 else line[: most_characters - 1] + "…"


def colour(index: int) -> str:
    """The palette's colours, then the same lighter, then darker, then all again."""
    turn, place = divmod(index % (3 * len(PALETTE)), len(PALETTE))
    towards, share = ((0.0, 0.0), (1.0, 0.5), (0.0, 0.4))[turn]
    mixed = [share * towards + (1 - share) * part for part in to_rgb(PALETTE[place])]
    return to_hex(tuple(mixed)).upper()  # type: ignore[arg-type]


def is_light(hex_colour: str) -> bool:
    """Whether letters on it are to be dark (the luminance of ITU-R BT.709)."""
    red, green, blue = to_rgb(hex_colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.55
