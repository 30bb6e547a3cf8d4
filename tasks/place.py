"""Place: a user's texts -> where they stand on a map that is there already.

in    sources as `read` takes them; the newest run that made a map, or a named one
does  cuts and weighs the texts as those of the map were, places them by its autoencoders
out   for people what `bookloom place` prints: each text's cluster and nearest texts; with a name to
      write to, the map with the new texts on it, as a page and a picture
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix

from data.books import Book, Refusal
from data.errors import UserMistake
from data.languages import LanguageDetector, language_sample
from data.reading import Reading
from data.sources import Finding
from data.stop_words import stop_words_of
from data.store import Store
from data.text_schemas import MAP_MODEL_FILE
from models.bundle import Bundle
from models.text_map import Placement, TextMap
from models.text_space import Points, TextSpace
from models.text_weights import TERM_KINDS, weights_of_known_terms
from tasks.seams.drawing_map import draw_map_png
from tasks.seams.drawing_map_page import draw_map_html
from tasks.seams.map_points import MapPoints
from tasks.seams.map_tables import read_map_points
from tasks.seams.newest_run import name_of_path, newest_run, table_names
from tasks.seams.report import say
from tasks.seams.text_vectors import book_tokens, mean_vectors
from tasks.seams.texts import Sentence, cut_texts
from tasks.seams.tokeniser import PunktModel, SentenceSplitter, as_written, cut
from tasks.seams.user_books import read_sources
from tasks.seams.user_files import beside

NUM_NEAREST = 5
QUOTATION_TOKENS = 20
LEARNED_NOTHING = PunktModel((), (), (), ())


@dataclass(frozen=True)
class NewText:
    """A text that is not on the map yet.

    spans: of all sentences of its book, those between its texts too.
    """

    book: Book
    spans: Sequence[tuple[int, int]]
    heading: str
    language: str | None
    sentences: Sequence[Sentence]

    @property
    def title(self) -> str:
        """Of its book."""
        return self.book.title

    @property
    def edges(self) -> tuple[int, int]:
        """Its first character's place in the book, and the place after its last."""
        return self.sentences[0].char_start, self.sentences[-1].char_end

    def tokens(self) -> list[str]:
        """All its words."""
        return [word for sentence in self.sentences for word in sentence.words]


def place(
    store_root: str, sources: Sequence[str], downloads: str, run_id: str | None, out: str | None
) -> dict[str, Any]:
    """`texts`, each with where it stands; `refusals`; `files` that were written.

    Raises:
        UserMistake: there is no map, or no text that can be placed.
    """
    store = Store(store_root)
    record = _record(store, run_id)
    content = _file(store, record, MAP_MODEL_FILE)
    text_map = TextMap.from_bytes(content)
    texts, refusals = _read(sources, downloads, text_map)
    if not texts:
        reasons = "; ".join(f"{one.source}: {one.reason}" for one in refusals)
        raise UserMistake(
            f"There is no text to place in {', '.join(sources)}. {reasons}".strip(),
            "Name a file with text in it.",
        )
    points_MD = _points(store, record, text_map, texts)
    _warn(texts, points_MD, text_map.settings["weigh"]["minimum_tokens"])
    placement = text_map.place(points_MD, NUM_NEAREST)
    files = {}
    if out is not None:
        names = table_names(store, record)
        points = read_map_points(
            lambda table, columns=None: store.read_table(names[table.name], columns)
        )
        files = _drawn(_with(points, texts, placement), out)
    return {
        "map": {"mlflow_run_id": record["mlflow_run_id"], "num_texts": len(text_map.texts.titles)},
        "texts": [_told(text, text_map, placement, number) for number, text in enumerate(texts)],
        "refusals": [
            {"source": one.source, "reason": one.reason, "remedy": one.remedy} for one in refusals
        ],
        "files": files,
    }


def _warn(texts: Sequence[NewText], points_MD: Points, minimum_tokens: int) -> None:
    """Tell of texts whose place says little."""
    for text, point in zip(texts, points_MD, strict=True):
        num_tokens = len(text.tokens())
        if not point.any():
            say(f"{text.title}: it has nothing that the map knows; its place says nothing")
        elif num_tokens < minimum_tokens:
            say(
                f"{text.title}: {num_tokens} words are few, the map's texts have {minimum_tokens} "
                "or more; its place says little"
            )


def _record(store: Store, run_id: str | None) -> dict[str, Any]:
    record = newest_run(store, made=MAP_MODEL_FILE, mlflow_run_id=run_id)
    if record is None:
        which = f" of run {run_id}" if run_id else ""
        raise UserMistake(
            f"There is no map{which} in {store.path('')} yet.",
            "Make one first: bookloom cluster, or bookloom run.",
        )
    return record


def _file(store: Store, record: Mapping[str, Any], file: str) -> bytes:
    name = name_of_path(store, record["files"][file])
    try:
        return store.read_bytes(name)
    except FileNotFoundError as error:
        raise UserMistake(
            f"The map of run {record['mlflow_run_id']} is not there any more: {store.path(name)}.",
            "Make it again: bookloom cluster, or bookloom run, with the settings of then.",
        ) from error


def _read(
    sources: Sequence[str], downloads: str, text_map: TextMap
) -> tuple[list[NewText], list[Refusal]]:
    splitter, detector = SentenceSplitter(LEARNED_NOTHING), LanguageDetector()
    texts: list[NewText] = []
    refusals: list[Refusal] = []
    for item in read_sources(sorted(sources), Finding(downloads=downloads), Reading()):
        if isinstance(item, Refusal):
            refusals.append(item)
            continue
        language = item.book.language or detector.detect(language_sample(item.book.text))
        texts += _texts_of(item.book, language, splitter, text_map.settings["weigh"])
    return texts, refusals


def _texts_of(
    book: Book, language: str | None, splitter: SentenceSplitter, weigh: dict[str, Any]
) -> list[NewText]:
    """The book cut as the map's were; whole, where each of its texts would be too short."""
    sections, all_spans = [], []
    for index, section in enumerate(book.sections):
        spans = splitter.spans(book.text, [(section.char_start, section.char_end)])
        tokens = cut(book.text, spans, "word").tokens.to_pylist()
        own = [Sentence(*span, words) for span, words in zip(spans, tokens, strict=True)]
        if own:
            sections.append((index, own))
            all_spans += spans
    for level in (weigh["level"], "book"):
        texts = []
        for index, sentences in cut_texts(sections, level, weigh["passage_words"]):
            heading = "the whole book" if level == "book" else book.sections[index].heading
            texts.append(NewText(book, all_spans, heading, language, sentences))
        enough = [text for text in texts if len(text.tokens()) >= weigh["minimum_tokens"]]
        if enough:
            return enough
    return texts


def _points(
    store: Store, record: dict[str, Any], text_map: TextMap, texts: Sequence[NewText]
) -> Points:
    """Where the texts stand in the map's space."""
    if isinstance(text_map.space, TextSpace):
        kind = text_map.settings["kind"]
        assert kind in TERM_KINDS
        pairs = [(text.tokens(), stop_words_of(text.language)) for text in texts]
        features_MV: csr_matrix = weights_of_known_terms(
            pairs, kind, text_map.terms, text_map.inverse_document_frequency_V
        )
        return text_map.space.points(features_MV)
    file = text_map.settings["model_file"]
    # Maps of an older bookloom say where it stands.
    name = name_of_path(store, record["files"].get(file, file))
    if not store.exists(name):
        raise UserMistake(
            f"The language model that the map was made with is gone from {store.path(name)}.",
            "Make the map again: bookloom cluster.",
        )
    bundle = Bundle.from_bytes(store.read_bytes(name))
    books = []
    for _, own in groupby(texts, key=lambda text: id(text.book)):
        [first, *others] = own
        tokens = cut(first.book.text, first.spans, bundle.vocabulary.unit).tokens.to_pylist()
        starts = [start for start, _ in first.spans]
        edges = [text.edges for text in (first, *others)]
        books.append(book_tokens(bundle, list(zip(starts, tokens, strict=True)), edges))
    vectors_MX = mean_vectors(bundle, text_map.settings["average"]["of"], books)
    return text_map.space.points(vectors_MX)


def _told(text: NewText, text_map: TextMap, placement: Placement, number: int) -> dict[str, Any]:
    cluster = int(placement.cluster_M[number])
    known = text_map.texts
    return {
        "title": text.title,
        "heading": text.heading,
        "num_tokens": len(text.tokens()),
        "cluster": cluster,
        "cluster_terms": list(known.cluster_terms[cluster]),
        "membership": float(placement.membership_M[number]),
        "reconstruction_error": float(placement.error_M[number]),
        "map_x": float(placement.map_M2[number, 0]),
        "map_y": float(placement.map_M2[number, 1]),
        "nearest": [
            {"title": known.titles[other], "heading": known.headings[other]}
            for other in placement.nearest_MJ[number].tolist()
        ],
    }


def _with(points: MapPoints, texts: Sequence[NewText], placement: Placement) -> MapPoints:
    """The map with the new texts on it."""
    count = len(texts)
    return replace(
        points,
        x=np.append(points.x, placement.map_M2[:, 0]),
        y=np.append(points.y, placement.map_M2[:, 1]),
        clusters=np.append(points.clusters, placement.cluster_M),
        labels=None if points.labels is None else [*points.labels, *["placed"] * count],
        titles=[*points.titles, *(text.title for text in texts)],
        headings=[*points.headings, *(text.heading for text in texts)],
        quotations=[
            *points.quotations,
            *(as_written(text.tokens()[:QUOTATION_TOKENS]) for text in texts),
        ],
        # Two files may have one title, or one text.
        book_ids=[
            *points.book_ids,
            *(f"placed {text.book.source} {text.book.book_id}" for text in texts),
        ],
        places=np.append(points.places, [sum(t.edges) / 2 / len(t.book.text) for t in texts]),
        memberships=np.append(points.memberships, placement.membership_M),
        errors=np.append(points.errors, placement.error_M),
        strange_terms=[*points.strange_terms, *([] for _ in texts)],
        placed=np.append(np.zeros(len(points), dtype=bool), np.ones(count, dtype=bool)),
    )


def _drawn(points: MapPoints, out: str) -> dict[str, str]:
    files = {}
    for ending, content in (
        (".html", draw_map_html(points).encode()),
        (".png", draw_map_png(points)),
    ):
        with beside(f"{out}{ending}") as (store, name):
            store.write_bytes(name, content)
            files[ending[1:]] = store.path(name)
    return files
