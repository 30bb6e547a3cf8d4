"""The map alone, by the true flow and command, on two made-up authors; and what people do wrong."""

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.errors import UserMistake
from flows.environment import tracking_uri
from flows.running import run_texts_map
from flows.summary import map_lines
from models.text_map import TextMap
from tasks.place import place
from tests.conftest import miniature_book

SEA = {"king": "captain", "crown": "anchor", "moon": "harbour", "house": "vessel"}
STEPS = {"read", "tokenise", "weigh", "cluster", "judge", "chart", "measure"}


def at_sea(text: str) -> str:
    """The same sentences with other nouns."""
    for word, other in SEA.items():
        text = text.replace(word, other)
    return text


@pytest.fixture(scope="module")
def authors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authors with three books each."""
    shelf = tmp_path_factory.mktemp("authors")
    for seed in range(6):
        author = "land" if seed % 2 else "sea"
        (shelf / author).mkdir(exist_ok=True)
        text = miniature_book(seed)
        text = text if author == "land" else at_sea(text)
        (shelf / author / f"tale {seed}.txt").write_text(text, encoding="utf-8")
    return shelf


def settings_of(shelf: Path, store: Path, **more: Any) -> dict[str, Any]:
    return {
        "name": "two authors",
        "store": str(store),
        "seed": 3,
        "num_threads": 1,
        "workers": {"num_workers": 1},
        "read": {"books": [str(shelf)], "finding": {"folder_label": "author"}},
        "judge": {"num_seeds": 2},
        "cluster": {"recipe": {"epochs": 20, "hidden_widths": [16], "code_width": 4}},
        **more,
    }


@pytest.fixture(scope="module")
def made(prefect_url: str, authors: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    store = tmp_path_factory.mktemp("store")
    settings = settings_of(authors, store)
    return settings, run_texts_map(settings)


def rows(summary: dict[str, Any], table: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pq.read_table(summary["tables"][table]["path"]).to_pylist()
    return found


def test_two_authors_are_told_apart(made: Any) -> None:
    _, summary = made
    assert set(summary["recomputed"]) == STEPS
    assert summary["metrics"]["cluster_nmi"] == pytest.approx(1.0)
    assert summary["metrics"]["num_clusters"] == 2
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    texts = rows(summary, "text_features")
    assert {row["label"] for row in texts} == {"land", "sea"}
    assert all(0 < row["place"] < 1 for row in texts)
    probes = rows(summary, "cluster_probes")
    assert {(row["probe"], row["input"]) for row in probes} == {
        (probe, name) for probe in ("nearest neighbours", "network") for name in ("codes", "terms")
    }
    assert {row["held_out"] for row in probes} == {"books"}
    assert {row["accuracy"] for row in probes} == {1.0}
    follows = {row["factor"]: row for row in rows(summary, "cluster_confounds")}
    assert follows["label"]["agreement"] == pytest.approx(1.0)
    assert abs(follows["place"]["agreement"]) < 0.2
    labels = rows(summary, "cluster_labels")
    assert [row["share"] for row in labels] == [1.0, 1.0]
    text = "\n".join(map_lines(summary))
    assert "with other seeds      adjusted Rand index 1," in text
    assert "2 clusters: as many as labels." in text and summary["files"]["map.html"] in text


def test_terms_and_typical_texts_say_what_clusters_are(made: Any) -> None:
    _, summary = made
    sea_like = [
        row["cluster"]
        for row in rows(summary, "cluster_terms")
        if row["term"] in SEA.values() and row["rank"] <= 4
    ]
    assert len(set(sea_like)) == 1
    kinds = {(row["cluster"], row["kind"]) for row in rows(summary, "cluster_texts")}
    assert kinds == {(cluster, kind) for cluster in (0, 1) for kind in ("typical", "edge")}


def test_again_recomputes_nothing_and_afresh_gives_the_same(made: Any, tmp_path: Path) -> None:
    settings, summary = made
    again = run_texts_map(settings)
    assert again["recomputed"] == []
    fresh = run_texts_map({**settings, "store": str(tmp_path)})
    for one in (again, fresh):
        assert {k: t["digest"] for k, t in one["tables"].items()} == {
            k: t["digest"] for k, t in summary["tables"].items()
        }
    for name in ("map_model.safetensors", "map.html", "map.png", "book_lines.png", "confusion.png"):
        contents = {Path(one["files"][name]).read_bytes() for one in (summary, fresh)}
        assert len(contents) == 1, name


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weigh": {"level": "passage", "passage_words": 120}}, "passage"),
        ({"weigh": {"level": "book"}}, "the whole book"),
        ({"weigh": {"purpose": "style"}}, ""),
        ({"weigh": {"features": "characters"}}, ""),
    ],
)
def test_other_texts_and_features(
    made: Any, tmp_path: Path, change: dict[str, Any], text: str
) -> None:
    settings, summary = made
    other = run_texts_map({**settings, **change})
    assert set(other["recomputed"]) <= {"weigh", "cluster", "judge", "chart", "measure"}
    content = Path(other["files"]["map_model.safetensors"]).read_bytes()
    headings = TextMap.from_bytes(content).texts.headings
    assert all(text in heading for heading in headings)
    if change["weigh"] == {"level": "book"}:
        assert len(headings) == 6
    if "passage_words" in change["weigh"]:
        assert len(headings) > summary["tables"]["text_features"]["num_rows"]


def test_new_texts_are_placed_among_their_like(made: Any, tmp_path: Path) -> None:
    settings, summary = made
    new = tmp_path / "new.txt"
    new.write_text(at_sea(miniature_book(90)), encoding="utf-8")
    found = place(
        settings["store"],
        [str(new)],
        str(tmp_path / "downloads"),
        summary["mlflow_run_id"],
        str(tmp_path / "placed"),
    )
    label_of = {row["cluster"]: row["label"] for row in rows(summary, "cluster_labels")}
    assert len(found["texts"]) == 4
    assert {label_of[text["cluster"]] for text in found["texts"]} == {"sea"}
    nearest = {one["title"] for text in found["texts"] for one in text["nearest"]}
    assert nearest <= {"tale 0", "tale 2", "tale 4"}
    assert "tale 0" in Path(found["files"]["html"]).read_text(encoding="utf-8")
    assert Path(found["files"]["png"]).read_bytes().startswith(b"\x89PNG")
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_maps_own_texts_are_placed_where_they_are(
    made: Any, authors: Path, tmp_path: Path
) -> None:
    settings, summary = made
    [book] = [path for path in authors.glob("sea/*.txt") if path.stem == "tale 0"]
    run_id = summary["mlflow_run_id"]
    found = place(settings["store"], [str(book)], str(tmp_path), run_id, None)
    codes = {(row["book_id"], row["section_index"]): row for row in rows(summary, "text_codes")}
    own = [row for (book_id, _), row in codes.items() if book_id.startswith("tale-0")]
    assert len(own) == len(found["texts"]) == 4
    for text, row in zip(found["texts"], own, strict=True):
        assert (text["map_x"], text["map_y"]) == pytest.approx(
            (row["map_x"], row["map_y"]), abs=1e-4
        )
        assert text["cluster"] == row["cluster"]


def write_shelf(folder: Path, texts: list[str]) -> Path:
    folder.mkdir()
    for number, text in enumerate(texts):
        (folder / f"book {number}.txt").write_text(text, encoding="utf-8")
    return folder


RUSSIAN = "Все счастливые семьи похожи друг на друга, каждая несчастливая несчастлива. " * 20


@pytest.mark.parametrize(
    ("texts", "more"),
    [
        ([miniature_book(1, 1)], {}),
        ([miniature_book(1, 1)] * 2, {}),
        ([f"{miniature_book(1, 1)} End {number}." for number in range(5)], {}),
        ([*(miniature_book(seed, 1) for seed in range(4)), RUSSIAN], {}),
        ([miniature_book(seed, 2) for seed in range(4)], {"cluster": {"num_clusters": "auto"}}),
        ([miniature_book(seed, 2) for seed in range(4)], {"cluster": {"num_clusters": 8}}),
    ],
    ids=["one text", "the same twice", "nearly the same", "another script", "auto", "one each"],
)
def test_odd_shelves_have_a_map(
    prefect_url: str, tmp_path: Path, texts: list[str], more: dict[str, Any]
) -> None:
    shelf = write_shelf(tmp_path / "shelf", texts)
    summary = run_texts_map(settings_of(shelf, tmp_path / "store", **more))
    assert rows(summary, "text_codes")
    assert Path(summary["files"]["map.html"]).exists()
    if texts == [miniature_book(1, 1)]:
        assert summary["metrics"]["cluster_stability"] is None
        assert "with other seeds" not in "\n".join(map_lines(summary))


@pytest.mark.parametrize(
    ("texts", "more", "message", "remedy"),
    [
        (["", " "], {}, "no book", ""),
        (["A word."], {}, "cannot be weighed", "lower weigh.minimum_tokens"),
        (
            [miniature_book(1, 2)],
            {"cluster": {"num_clusters": 9}},
            "2 texts are too few for 9 clusters",
            "--clusters",
        ),
        ([miniature_book(1, 2)], {"cluster": {"num_clusters": 0}}, "0 is no number", "auto"),
        (
            [miniature_book(1)],
            {"average": {"of": "states"}, "model": "models:/none/1"},
            "model",
            "",
        ),
    ],
    ids=["empty", "too short", "more clusters than texts", "no clusters", "no model"],
)
def test_mistakes_are_told(
    prefect_url: str,
    tmp_path: Path,
    texts: list[str],
    more: dict[str, Any],
    message: str,
    remedy: str,
) -> None:
    shelf = write_shelf(tmp_path / "shelf", texts)
    with pytest.raises(UserMistake) as caught:
        run_texts_map(settings_of(shelf, tmp_path / "store", **more))
    assert message in caught.value.message.lower() and remedy in caught.value.remedy


def test_a_map_that_is_gone_is_told(made: Any, tmp_path: Path) -> None:
    settings, summary = made
    shutil.copytree(settings["store"], tmp_path / "moved")
    new = tmp_path / "new.txt"
    new.write_text(at_sea(miniature_book(90)), encoding="utf-8")
    arguments = (str(tmp_path / "moved"), [str(new)], str(tmp_path), summary["mlflow_run_id"])
    own = place(*arguments, None)["texts"]
    shutil.rmtree(tmp_path / "moved" / "steps" / "cluster")
    with pytest.raises(UserMistake, match=r"is not there any more: .*/moved/steps/cluster"):
        place(*arguments, None)
    assert len(own) == 4


def test_there_is_nothing_to_place_on(tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="There is no map"):
        place(str(tmp_path), ["x.txt"], str(tmp_path), None, None)


@pytest.mark.parametrize(("unit", "of"), [("word", "embeddings"), ("character", "states")])
def test_a_language_models_view_of_texts(
    unit: str,
    of: str,
    miniature_run: Any,
    character_run: dict[str, Any],
    authors: Path,
    tmp_path: Path,
) -> None:
    """By vectors or by states of a model that has read such sentences; a text of the map that is
    placed again lies where it lay.
    """
    model = (miniature_run.summary if unit == "word" else character_run)["model"]["uri"]
    settings = settings_of(
        authors, tmp_path / "store", tokenise={"unit": unit}, average={"of": of}, model=model
    )
    summary = run_texts_map(settings)
    vectors = [row["vector"] for row in rows(summary, "text_vectors")]
    assert len(vectors) == 24 and len({len(vector) for vector in vectors}) == 1
    old = sorted(authors.rglob("*.txt"))[-1]
    found = place(settings["store"], [str(old)], str(tmp_path), None, None)["texts"]
    titles = {row["book_id"]: row["title"] for row in rows(summary, "books")}
    own = [row for row in rows(summary, "text_codes") if titles[row["book_id"]] == old.stem]
    assert len(found) == len(own) == 4
    for name in ("map_x", "map_y", "reconstruction_error"):
        assert [text[name] for text in found] == pytest.approx([row[name] for row in own], abs=1e-4)
    assert [text["cluster"] for text in found] == [row["cluster"] for row in own]
    assert tracking_uri() == miniature_run.tracking_uri
