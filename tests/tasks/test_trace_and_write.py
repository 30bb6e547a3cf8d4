"""The cores of `bookloom trace`, `bookloom write` and what finds their copies, on a tiny model."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.book_schemas import SECTIONS, TOKEN_IDS, VOCABULARY
from data.errors import UserMistake
from data.model_schemas import TRACE
from data.store import Store
from models.bundle import Bundle
from models.language_model import Architecture, LanguageModel
from models.special_tokens import END, SPECIAL_TOKENS, START
from models.vocabulary import Vocabulary
from tasks.score import score_text
from tasks.seams.tokeniser import as_written, learn_punkt
from tasks.seams.user_files import beside
from tasks.seams.user_text import cut_sentences, read_text
from tasks.trace import trace_columns
from tasks.write import NEVER_WRITTEN, WriteSettings, continuation, copied

WORDS = ("the", "king", "sees", "sea", "'s", "moon", ".", "?", ",")
TOKENS = (*SPECIAL_TOKENS, *WORDS)
TEXT = "The King sees the king's sea. Sees the dragon?"


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = LanguageModel(Architecture(len(TOKENS), 5, 7, 2, (8,)))
        with torch.no_grad():
            model.embedding.weight.normal_()
            model.softmax.head.weight.mul_(4.0)
    vocabulary = Vocabulary(TOKENS, tuple(range(len(TOKENS), 0, -1)), True)
    language = {"en": asdict(learn_punkt("The king sees. The sea sees. Who sees?"))}
    return Bundle(model.eval(), vocabulary, "_end_", language)


def ids(*tokens: str) -> list[int]:
    return [TOKENS.index(token) for token in tokens]


def test_a_text_is_cut_as_books_are(bundle: Bundle) -> None:
    assert cut_sentences(bundle, TEXT) == [
        ["The", "King", "sees", "the", "king", "'s", "sea", "."],
        ["Sees", "the", "dragon", "?"],
    ]
    assert read_text(bundle, TEXT) == ids(
        "the", "king", "sees", "the", "king", "'s", "sea", ".", "_end_",
        "sees", "the", "_unknown_", "?", "_end_",
    )  # fmt: skip
    with pytest.raises(UserMistake, match="holds no word"):
        read_text(bundle, " \n")


def test_bytes_that_are_no_text_are_a_mistake_and_cost_no_other_text(bundle: Bundle) -> None:
    typed = b"The king\xff sees".decode(errors="surrogateescape")  # as a command line gives it
    with pytest.raises(UserMistake, match=r"--before: 'The king\\udcff sees' holds '\\udcff'"):
        read_text(bundle, typed, "before")
    with pytest.raises(UserMistake, match="--text: "):
        score_text(bundle, typed)
    assert read_text(bundle, "sees the sea") == ids("sees", "the", "sea", "_end_")


def test_a_trace_says_what_score_says(bundle: Bundle) -> None:
    columns = trace_columns(bundle, TEXT)
    scored = score_text(bundle, TEXT)
    assert list(columns) == TRACE.schema.names
    assert columns["step"] == list(range(15))
    assert columns["token"] == ["_end_", *(token["token"] for token in scored["tokens"])]
    assert columns["log_probability_nats"][1:] == pytest.approx(
        [token["nats"] for token in scored["tokens"]], abs=1e-5
    )
    opening = {name: column[0] for name, column in columns.items()}
    assert [name for name, value in opening.items() if value is None] == [
        "log_probability_nats", "entropy_nats", "predicted_tokens", "predicted_probabilities",
    ]  # fmt: skip


def test_every_step_by_brute_force(bundle: Bundle) -> None:
    """States and predictions of each beginning of the text, read anew in one pass."""
    columns = trace_columns(bundle, TEXT)
    read = [END, *read_text(bundle, TEXT)]
    h_LH, c_LH = np.zeros((2, 7)), np.zeros((2, 7))
    for step in range(len(read)):
        with torch.inference_mode():
            hidden_1TH, (h_L1H, c_L1H) = bundle.model(
                torch.tensor([read[: step + 1]]), bundle.model.initial_state(1)
            )
            log_probs_V = bundle.model.softmax.log_probabilities(hidden_1TH[:, -1])[0].double()
        changes = (h_L1H[:, 0].numpy() - h_LH, c_L1H[:, 0].numpy() - c_LH)
        h_LH, c_LH = h_L1H[:, 0].numpy(), c_L1H[:, 0].numpy()
        assert np.array(columns["hidden"][step]) == pytest.approx(h_LH, abs=1e-5)
        assert np.array(columns["cell"][step]) == pytest.approx(c_LH, abs=1e-5)
        squares = sum((change**2).sum() for change in changes)
        assert columns["state_change"][step] == pytest.approx(math.sqrt(squares), abs=1e-5)
        if step + 1 < len(read):
            probabilities = log_probs_V.exp().numpy()
            by_hand = -sum(p * math.log(p) for p in probabilities if p > 0)
            assert columns["entropy_nats"][step + 1] == pytest.approx(by_hand, abs=1e-5)
            best = sorted(range(len(TOKENS)), key=lambda i: -probabilities[i])[:5]
            assert columns["predicted_tokens"][step + 1] == [TOKENS[i] for i in best]
            assert columns["predicted_probabilities"][step + 1] == pytest.approx(
                probabilities[best], abs=1e-5
            )


def test_the_table_takes_a_trace_back_and_forth(bundle: Bundle, tmp_path: Path) -> None:
    columns = trace_columns(bundle, TEXT)
    store = Store(str(tmp_path))
    with store.table_writer("t.parquet", TRACE, {"text": TEXT}) as writer:
        writer.write(columns)
    assert store.lineage("t.parquet")["text"] == TEXT
    rows = store.read_table("t.parquet").to_pydict()
    assert rows["token"] == columns["token"]
    assert np.array_equal(np.array(rows["cell"]), np.array(columns["cell"]))


def test_files_go_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for out in ("one.bin", "folder/two.bin", str(tmp_path / "three.bin")):
        with beside(out) as (store, name):
            store.write_bytes(name, b"content")
        assert (tmp_path / out).read_bytes() == b"content"
    with pytest.raises(UserMistake, match="names no file"), beside("folder/"):
        pass
    with (
        pytest.raises(UserMistake, match=r"one\.bin/x cannot be written"),
        beside("one.bin/x") as (store, name),
    ):
        store.write_bytes(name, b"")


def test_the_same_seed_writes_the_same(bundle: Bundle) -> None:
    settings = WriteSettings(num_tokens=40, seed=5)
    prompt = [["The", "king"]]
    written, nats = continuation(bundle, prompt, settings)
    assert len(written) == 40
    assert (written, nats) == continuation(bundle, prompt, settings)
    assert written != continuation(bundle, prompt, settings.model_copy(update={"seed": 6}))[0]
    assert not set(written) & set(NEVER_WRITTEN)


def test_written_nats_are_the_model_s_own(bundle: Bundle) -> None:
    """Whatever narrowed the choice, what is written costs what the model says."""
    prompt = [["The", "king", "."], ["sees", "dragons"]]
    written, nats = continuation(bundle, prompt, WriteSettings(num_tokens=12, nucleus=0.5))
    read = ids("_end_", "the", "king", ".", "_end_", "sees", "_unknown_") + written
    with torch.inference_mode():
        hidden_1TH, _ = bundle.model(torch.tensor([read]), bundle.model.initial_state(1))
        log_probs_TV = bundle.model.softmax.log_probabilities(hidden_1TH[0])
    places = range(len(read) - len(written), len(read))
    expected = sum(float(log_probs_TV[place - 1, read[place]]) for place in places)
    assert nats == pytest.approx(expected, abs=1e-4)


def test_top_k_of_one_takes_the_most_probable(bundle: Bundle) -> None:
    written, _ = continuation(bundle, [], WriteSettings(num_tokens=10, top_k=1, temperature=3.0))
    state, previous = bundle.model.initial_state(1), END
    every = torch.arange(len(TOKENS))[None]
    for token_id in written:
        log_probs_1V, state = bundle.model.step(torch.tensor([previous]), state, every)
        previous = max(
            set(range(len(TOKENS))) - set(NEVER_WRITTEN), key=lambda i: float(log_probs_1V[0, i])
        )
        assert token_id == previous


def store_with_books(folder: Path, books: dict[str, list[tuple[str, str]]]) -> Store:
    """A store whose newest run has these books: (split, text in the words of TOKENS) a section."""
    store = Store(str(folder))
    token_ids: dict[str, list[Any]] = {name: [] for name in TOKEN_IDS.schema.names}
    sections: dict[str, list[Any]] = {name: [] for name in SECTIONS.schema.names}
    for book_id, parts in books.items():
        for index, (split, text) in enumerate(parts):
            opened = [START] if index == 0 else []
            row = (book_id, index, split, [*opened, *ids(*text.split())], len(text))
            for column, value in zip(token_ids.values(), row, strict=True):
                column.append(value)
            place = (book_id, index, f"CHAPTER {index + 1}", 0, 1, split, "0" * 64)
            for column, value in zip(sections.values(), place, strict=True):
                column.append(value)
    vocabulary = {
        "token_id": range(len(TOKENS)),
        "token": TOKENS,
        "count": [1] * len(TOKENS),
        "num_books": [1] * len(TOKENS),
        "written": TOKENS,
        "lower_case": [True] * len(TOKENS),
        "unit": ["word"] * len(TOKENS),
    }
    tables = {}
    for table, columns in ((VOCABULARY, vocabulary), (TOKEN_IDS, token_ids), (SECTIONS, sections)):
        name = f"steps/any/key/{table.name}.parquet"
        with store.table_writer(name, table, {}) as writer:
            writer.write(columns)
        tables[table.name] = {"path": store.path(name)}
    ours, other = {"model": {"digest": "ours"}}, {"model": {"digest": "another"}}
    for started, made in (
        (1.0, {"tables": {}, **ours}),
        (2.0, {"tables": tables, **ours}),
        (3.0, {"tables": {}, **other}),
    ):
        record = {"mlflow_run_id": None, "unix_seconds": started, "files": {}, **made}
        store.write_json(f"runs/{started:.3f}-untracked.json", record)
    return store


BOOKS = {
    "held_out": [("test", "the moon sees the moon sees the moon")],
    "tale": [("train", "king , king ? _end_ sea the"), ("train", "moon . _end_ the king sees")],
    "poem": [("train", "the sea sees , the moon _unknown_ king _end_"), ("train", "moon moon")],
}


@pytest.mark.parametrize(
    ("written", "words", "place"),
    [
        # Over the end of a sentence and of a section; where it begins is said.
        ("? sea the moon . the king king", "? sea the moon . the king", ("tale", 0, "CHAPTER 1")),
        ("sees the king sees sees", "the king sees", ("tale", 1, "CHAPTER 2")),
        ("The SEA Sees , ,", "The SEA Sees ,", ("poem", 0, "CHAPTER 1")),
        ("king moon moon dragon moon", "king moon moon", ("poem", 0, "CHAPTER 1")),
        # Unknown words are not equal, held-out books are not looked at, books do not run on.
        ("moon dragon king", "moon", ("tale", 1, "CHAPTER 2")),
        ("the moon sees the moon", "the moon", ("tale", 0, "CHAPTER 1")),
        ("king sees the sea", "king sees", ("tale", 1, "CHAPTER 2")),
        ("dragon unicorn", "", (None, None, None)),
        ("", "", (None, None, None)),
    ],
)
def test_the_longest_copy_and_its_place(
    tmp_path: Path, written: str, words: str, place: tuple[Any, ...]
) -> None:
    assert copied(store_with_books(tmp_path, BOOKS), "ours", written.split()) == {
        "words": words.split(),
        "num_words": len(words.split()),
        "unit": "word",
        "text": as_written(words.split()),
        "book_id": place[0],
        "section_index": place[1],
        "heading": place[2],
    }


def test_a_store_without_tables_has_no_copies(tmp_path: Path) -> None:
    assert copied(Store(str(tmp_path / "empty")), "ours", ["the", "king"]) is None
    store = store_with_books(tmp_path, BOOKS)
    (tmp_path / "steps/any/key/token_ids.parquet").unlink()
    assert copied(store, "ours", ["the", "king"]) is None
