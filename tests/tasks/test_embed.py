"""The step that gives every token its first vector, and its core on vectors made by hand."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data.errors import UserMistake
from data.store import Store
from models.vocabulary import Vocabulary
from tasks import embed as embed_module
from tasks.count import CountSettings, count
from tasks.embed import (
    RESCALED_LENGTH,
    Coverage,
    EmbedSettings,
    TrainingSentences,
    coverage,
    embed,
    input_vectors,
    sentences_of,
)
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.run_context import RunContext
from tasks.seams.step_cache import StepOutcome, StepRun
from tasks.tokenise import TokeniseSettings, tokenise

PROJECT = Path(__file__).parents[2]
TEST_DATA = Path(os.environ.get("BOOKLOOM_TEST_DATA", PROJECT.parent / "shared" / "data"))
WORDS = Vocabulary(
    ("_nothing_", "_start_", "_end_", "_unknown_", "the", "sea", "moon"),
    (0, 2, 9, 10, 50, 30, 10),
    True,
)
KNOWN = {
    "the": np.array([3.0, 0.0], np.float32),
    "moon": np.array([1.0, 2.0], np.float32),
    "</s>": np.array([2.0, 1.0], np.float32),
}


def context(folder: Path, seed: int = 1) -> RunContext:
    return RunContext(
        store=str(folder),
        seed=seed,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={"git_commit": "x", "lock_digest": "y"},
    )


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def before(store: Path, miniature_shelf: Path) -> list[StepOutcome]:
    """What the steps before make of the miniature books."""
    run = context(store)
    outcomes: list[StepOutcome] = [read.fn(run, ReadSettings(books=(str(miniature_shelf),)))]
    outcomes.append(tokenise.fn(run, TokeniseSettings(), *outcomes))
    outcomes.append(count.fn(run, CountSettings(), *outcomes))
    outcomes.append(encode.fn(run, EncodeSettings(), *outcomes))
    return outcomes


def rows(store: Path, outcomes: list[StepOutcome], table: str) -> list[dict[str, Any]]:
    [name] = [o.tables[table].name for o in outcomes if table in o.tables]
    return Store(str(store)).read_table(name).to_pylist()


def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(embed_module, "say", lines.append)
    return lines


def test_known_tokens_keep_their_vectors_and_others_are_drawn() -> None:
    inputs = input_vectors(WORDS, KNOWN, "found", 1, rescale=False)
    assert inputs.origins == ("drawn", "drawn", "found", "drawn", "found", "drawn", "found")
    assert inputs.vectors_VE.dtype == np.float32
    np.testing.assert_array_equal(inputs.vectors_VE[[2, 4, 6]], [[2, 1], [3, 0], [1, 2]])
    again = input_vectors(WORDS, KNOWN, "found", 1, rescale=False)
    np.testing.assert_array_equal(inputs.vectors_VE, again.vectors_VE)
    other = input_vectors(WORDS, KNOWN, "found", 2, rescale=False)
    assert (inputs.vectors_VE[[0, 1, 3, 5]] != other.vectors_VE[[0, 1, 3, 5]]).all()


def test_drawn_vectors_have_the_known_ones_mean_and_spread() -> None:
    many = Vocabulary(tuple(f"w{i}" for i in range(40_000)), (1,) * 40_000, True)
    known = {
        "w0": np.array([1.0, -4.0, 7.0], np.float32),
        "w1": np.array([3.0, -4.5, 7.0], np.float32),
    }
    drawn_NE = input_vectors(many, known, "found", 1, rescale=False).vectors_VE[2:]
    np.testing.assert_allclose(drawn_NE.mean(axis=0), [2.0, -4.25, 7.0], atol=0.02)
    np.testing.assert_allclose(drawn_NE.std(axis=0), [1.0, 0.25, 0.0], atol=0.01)


def test_rescaling_multiplies_all_by_one_number() -> None:
    plain = input_vectors(WORDS, KNOWN, "trained", 1, rescale=False)
    scaled = input_vectors(WORDS, KNOWN, "trained", 1, rescale=True)
    length = np.sqrt((4 + 1 + 9 + 0 + 1 + 4) / 3)
    np.testing.assert_allclose(
        scaled.vectors_VE, plain.vectors_VE * RESCALED_LENGTH / length, rtol=1e-5
    )
    assert scaled.origins == plain.origins
    found_NE = scaled.vectors_VE[[2, 4, 6]]
    assert np.sqrt(np.square(found_NE).sum(axis=1).mean()) == pytest.approx(RESCALED_LENGTH)


def test_vectors_that_say_nothing_are_a_mistake() -> None:
    zeros = {"the": np.zeros(3, np.float32)}
    with pytest.raises(UserMistake, match="All vectors are zero"):
        input_vectors(WORDS, zeros, "found", 1, rescale=False)
    with pytest.raises(UserMistake, match="No word has a vector"):
        input_vectors(WORDS, {}, "found", 1, rescale=True)


def test_words_are_counted_and_special_tokens_are_not() -> None:
    inputs = input_vectors(WORDS, KNOWN, "found", 1, rescale=False)
    counted = coverage(WORDS, inputs.origins)
    assert counted == Coverage(num_known=2, num_without=1, token_share=60 / 100)
    assert counted.sentence("found in f.txt") == (
        "vectors of 2 words found in f.txt, 1 words have none; "
        "those that have one make 60.0% of the training text"
    )


def test_sentences_by_hand() -> None:
    assert list(sentences_of([1, 4, 5, 2, 3, 2, 2], WORDS)) == [
        ["the", "sea", "_end_"],
        ["_unknown_", "_end_"],
        ["_end_"],
    ]


def test_word2vec_sees_training_sentences_alone(store: Path, before: list[StepOutcome]) -> None:
    vocabulary_rows = rows(store, before, "vocabulary")
    names = [row["token"] for row in vocabulary_rows]
    vocabulary = Vocabulary(tuple(names), tuple(r["count"] for r in vocabulary_rows), True)
    tables = {name: table for outcome in before for name, table in outcome.tables.items()}
    sentences = TrainingSentences(StepRun(context(store), "x", tables, {}, {}), vocabulary)
    seen = list(sentences)
    assert seen == list(sentences)
    training = {row["book_id"] for row in rows(store, before, "books") if row["split"] == "train"}
    expected = [
        [t if t in names else "_unknown_" for t in map(str.lower, row["tokens"])] + ["_end_"]
        for row in rows(store, before, "sentences")
        if row["book_id"] in training
    ]
    assert seen == expected


def test_word2vec_gives_every_word_of_the_text_a_vector(
    store: Path, before: list[StepOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(monkeypatch)
    settings = EmbedSettings(inputs="word2vec", width=6, num_epochs=1)
    outcome = embed.fn(context(store), settings, *before)
    made = rows(store, [outcome], "input_vectors")
    words = rows(store, before, "vocabulary")
    assert [row["token_id"] for row in made] == list(range(len(words)))
    assert {len(row["vector"]) for row in made} == {6}
    stands = {row["token_id"]: row["count"] > 0 and row["token_id"] != 1 for row in words}
    assert {r["token_id"]: r["origin"] == "trained" for r in made} == stands
    assert any(f"{len(words) - 4} words trained by word2vec, 0 words have none" in x for x in lines)
    own = np.array([row["vector"] for row in made if row["origin"] == "trained"])
    assert np.sqrt(np.square(own).sum(axis=1).mean()) == pytest.approx(RESCALED_LENGTH)
    assert embed.fn(context(store), settings, *before).reused
    again = embed.fn(context(store / "again"), settings, *_copied(store, before))
    assert again.tables["input_vectors"].digest == outcome.tables["input_vectors"].digest
    other = embed.fn(context(store, seed=2), settings, *before)
    assert other.tables["input_vectors"].digest != outcome.tables["input_vectors"].digest


def _copied(store: Path, outcomes: list[StepOutcome]) -> list[StepOutcome]:
    """The outcomes with their tables in another store."""
    for outcome in outcomes:
        for table in outcome.tables.values():
            for part in Store(str(store)).parts(table.name):
                Store(str(store / "again")).write_bytes(part, Store(str(store)).read_bytes(part))
    return outcomes


@pytest.mark.parametrize("inputs", ["learned"])
def test_other_inputs_have_no_rows(store: Path, before: list[StepOutcome], inputs: str) -> None:
    outcome = embed.fn(context(store), EmbedSettings.model_validate({"inputs": inputs}), *before)
    assert outcome.tables["input_vectors"].num_rows == 0
    assert rows(store, [outcome], "input_vectors") == []


def test_a_files_vectors_are_taken_until_the_file_changes(
    store: Path, before: list[StepOutcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = said(monkeypatch)
    path = tmp_path / "vectors.txt"
    path.write_text("sea 1 2 3\nabsent 5 5 5\nmoon 3 2 1\n</s> 2 2 2\n<unk> 0 0 1\n")
    settings = EmbedSettings(inputs="file", path=str(path), rescale=False)
    outcome = embed.fn(context(store), settings, *before)
    made = rows(store, [outcome], "input_vectors")
    names = [row["token"] for row in rows(store, before, "vocabulary")]
    found = {names[r["token_id"]]: r["vector"] for r in made if r["origin"] == "found"}
    assert found == {
        "sea": [1.0, 2.0, 3.0],
        "moon": [3.0, 2.0, 1.0],
        "_end_": [2.0, 2.0, 2.0],
        "_unknown_": [0.0, 0.0, 1.0],
    }
    assert {row["origin"] for row in made} == {"found", "drawn"}
    assert any(
        line.startswith(f"vectors of 2 words found in {path}, {len(names) - 6} words have none")
        for line in lines
    )

    os.utime(path, (1, 1))
    assert embed.fn(context(store), settings, *before).reused
    path.write_text("sea 1 2 4\n")
    again = embed.fn(context(store), settings, *before)
    assert again.reasons == ["source vectors changed"]
    assert embed.fn(
        context(store), EmbedSettings(inputs="file", path=str(path), width=3), *before
    ).reasons == ["setting rescale: false -> true", "setting width: null -> 3"]


def test_mistakes_are_named(store: Path, before: list[StepOutcome], tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="there is no path"):
        embed.fn(context(store), EmbedSettings(inputs="file"), *before)
    absent = str(tmp_path / "absent.txt")
    with pytest.raises(UserMistake, match="There is no file"):
        embed.fn(context(store), EmbedSettings(inputs="file", path=absent), *before)
    (tmp_path / "narrow.txt").write_text("sea 1 2\n")
    narrow = EmbedSettings(inputs="file", path=str(tmp_path / "narrow.txt"), width=3)
    with pytest.raises(UserMistake, match="vectors have 2 numbers, but the width is set to 3"):
        embed.fn(context(store), narrow, *before)


def test_glove_covers_the_miniature_books(
    store: Path, before: list[StepOutcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = TEST_DATA / "glove.6B.50d.8453words.txt"
    if not path.exists():
        pytest.skip(f"{path} is absent; BOOKLOOM_TEST_DATA says where the extra test data is")
    lines = said(monkeypatch)
    outcome = embed.fn(context(store), EmbedSettings(inputs="file", path=str(path)), *before)
    made = rows(store, [outcome], "input_vectors")
    known = {line.split(" ")[0] for line in path.read_text(encoding="utf-8").splitlines()}
    words = rows(store, before, "vocabulary")[4:]
    expected = sum(row["token"] in known for row in words)
    assert 0 < expected == sum(row["origin"] == "found" for row in made)
    assert any(f"vectors of {expected} words found" in line for line in lines)
    assert {len(row["vector"]) for row in made} == {50}
