"""The command line in a process of its own: what it prints, where, and its exit codes."""

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
import pyarrow.parquet as pq
import pytest
import yaml

from data.errors import UserMistake
from flows.answers import written_text
from flows.map_commands import _number
from models.bundle import Bundle
from tasks.score import score_text
from tasks.seams.registry import read_bundle
from tasks.write import WriteSettings, write
from tests.forks import Ended, Fork
from tests.miniature import tiny_settings

BOOKLOOM = str(Path(sys.executable).with_name("bookloom"))


def bookloom(*arguments: str, **environment: str) -> Ended:
    # MLflow notes in the environment what tests in this process have set.
    inherited = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    with tempfile.TemporaryDirectory() as folder:
        fork = Fork("flows.command_line", [*arguments], {**inherited, **environment}, Path(folder))
        return fork.ended()


def mistake(finished: Ended) -> dict[str, str]:
    """The error of a command that was given --json, and that it is told as promised."""
    assert finished.exit_code == 2, finished.errors
    assert "Traceback" not in finished.errors
    error: dict[str, str] = json.loads(finished.output)["error"]
    assert set(error) == {"message", "remedy"}
    return error


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "books",
        "generate",
        "play",
        "serve-model",
        "score",
        "trace",
        "write",
        "export",
        "lineage",
        "cluster",
        "place",
        "why",
        "verify",
        "prune",
        "reproduce",
    ],
)
def test_help_has_examples(command: str) -> None:
    finished = bookloom(command, "--help")
    assert finished.exit_code == 0
    assert f"bookloom {command}" in finished.output
    assert "Examples" in finished.output


def test_unknown_command_option_and_deployment() -> None:
    assert bookloom("rum").exit_code == 2
    assert (
        "--frobnicate"
        in mistake(bookloom("score", "--text", "x", "--frobnicate", "--json"))["message"]
    )
    assert "syllable" in mistake(bookloom("run", "--unit", "syllable", "--json"))["message"]
    error = mistake(bookloom("run", "--deployment", "quik", "--json"))
    assert "'quik'" in error["message"]
    assert "quick" in error["remedy"]


def test_a_reader_that_has_read_enough_is_no_mistake(tmp_path: Path) -> None:
    words = "To be, or not to be. " * 20
    for number in range(150):
        (tmp_path / f"{number}.txt").write_text(f"{words} {number}", encoding="utf-8")
    read_enough = f"{BOOKLOOM} books {tmp_path} --json | head -c 1"
    done = subprocess.run(read_enough, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "{"
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr


def test_store_without_a_run(tmp_path: Path) -> None:
    error = mistake(bookloom("lineage", "books", "--json", BOOKLOOM_HOME=str(tmp_path)))
    assert "No run" in error["message"]
    for command in (("place", "x.txt"), ("place",)):
        error = mistake(bookloom(*command, "--json", BOOKLOOM_HOME=str(tmp_path)))
        assert error["message"].startswith("There is n")
    error = mistake(bookloom("cluster", "--clusters", "many", "--json"))
    assert "--clusters many" in error["message"] and "auto" in error["remedy"]
    error = mistake(bookloom("score", "--text", "hello", "--json", BOOKLOOM_HOME=str(tmp_path)))
    assert "bookloom run" in error["remedy"]


@pytest.mark.parametrize("clusters", ["many", "1.5", "0", "-3"])
def test_what_is_no_number_of_clusters_is_told_before_all_work(clusters: str) -> None:
    with pytest.raises(UserMistake, match=f"--clusters {clusters} is no number") as caught:
        _number(clusters)
    assert "auto" in caught.value.remedy
    assert (_number("7"), _number("auto"), _number(None)) == (7, "auto", None)


def test_generate_and_score_agree(miniature_run: Any, tmp_path: Path) -> None:
    path = tmp_path / "bags.txt"
    path.write_text("the my | king lady | sees loves | the | sea moon | .\n")
    model = ("--model", miniature_run.summary["model"]["uri"], "--json")
    finished = bookloom("generate", "--bags", str(path), "--num-sentences", "2", *model)
    assert finished.exit_code == 0, finished.errors
    [bag_set] = json.loads(finished.output)["bag_sets"]
    assert bag_set["bag_set_id"] == "1"
    first, second = bag_set["sentences"]
    assert (first["rank"], second["rank"]) == (1, 2)
    assert first["score"] >= second["score"]
    scored = bookloom("score", "--text", " ".join(first["tokens"]), *model)
    assert json.loads(scored.output)["total_nats"] == pytest.approx(
        first["log_probability_nats"], abs=1e-4
    )


def test_trace_writes_a_table_and_a_picture_and_agrees_with_score(
    miniature_run: Any, tmp_path: Path
) -> None:
    model = ("--model", miniature_run.summary["model"]["uri"], "--json")
    text = "The king sees the moon at night. A sailor forgets the unicorn!"
    finished = bookloom("trace", "--text", text, "--out", str(tmp_path / "deep" / "it"), *model)
    assert finished.exit_code == 0, finished.errors
    traced = json.loads(finished.output)
    _, content = read_bundle(miniature_run.tracking_uri, model[1])
    # It shows what the language model carries along, whatever else sentences are scored by.
    alone = replace(Bundle.from_bytes(content), ngram=None, lstm_weight=1.0, cache=None)
    scored = score_text(alone, text)
    assert set(json.loads(bookloom("score", "--text", text, *model).output)) == {
        "model",
        "tokens",
        "total_nats",
    }
    assert traced["total_nats"] == pytest.approx(scored["total_nats"], abs=1e-4)
    assert [step["token"] for step in traced["steps"][1:]] == [
        token["token"] for token in scored["tokens"]
    ]
    assert traced["files"] == {
        "table": str(tmp_path / "deep" / "it.parquet"),
        "picture": str(tmp_path / "deep" / "it.png"),
    }
    rows = pq.read_table(traced["files"]["table"])
    assert rows.num_rows == len(traced["steps"])
    assert [len(layer) for layer in rows["cell"][0].as_py()] == [24]
    assert Path(traced["files"]["picture"]).read_bytes().startswith(b"\x89PNG")
    assert "holds no word" in mistake(bookloom("trace", "--text", " ", *model))["message"]


def test_write_goes_on_from_a_prompt_and_finds_what_it_copied(
    miniature_run: Any, tmp_path: Path
) -> None:
    """A model of a small grammar soon writes what stands in its books."""
    uri = miniature_run.summary["model"]["uri"]
    settings = WriteSettings(prompt="The captain", num_tokens=30, top_k=2, seed=4)
    written = write(miniature_run.tracking_uri, str(miniature_run.store), uri, settings)
    assert len(written["tokens"]) == 30
    assert written["text"].startswith("The captain ")
    assert not {"_nothing_", "_start_", "_unknown_"} & set(written["tokens"])
    copy = written["longest_copy"]
    assert copy["num_words"] == len(copy["words"]) >= 3
    assert copy["heading"].startswith("CHAPTER")
    words = " ".join(token for token in written["tokens"] if token != "_end_")
    assert f" {' '.join(copy['words'])} " in f" {words} "
    # The command writes the same; its store has no tables here, and it says so.
    environment = {
        "BOOKLOOM_HOME": str(tmp_path), "MLFLOW_TRACKING_URI": miniature_run.tracking_uri,
    }  # fmt: skip
    finished = bookloom(
        "write", "--prompt", "The captain", "--num-tokens", "30", "--top-k", "2", "--seed", "4",
        "--model", uri, "--json", **environment,
    )  # fmt: skip
    assert finished.exit_code == 0, finished.errors
    assert json.loads(finished.output) == {**written, "longest_copy": None}
    assert "longest verbatim copy: unknown" in written_text(json.loads(finished.output))
    assert f"{copy['num_words']} words of {copy['book_id']}, CHAPTER" in written_text(written)
    error = mistake(bookloom("write", "--temperature", "0", "--json"))
    assert "temperature is 0.0" in error["message"]


def test_export_writes_a_graph(miniature_run: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = ("--model", miniature_run.summary["model"]["uri"], "--json")
    finished = bookloom("export", "--out", str(path), *model)
    assert finished.exit_code == 0, finished.errors
    exported = json.loads(finished.output)
    assert exported["file"] == str(path)
    assert exported["num_bytes"] == path.stat().st_size
    session = onnxruntime.InferenceSession(str(path))
    assert [value.name for value in session.get_inputs()] == exported["inputs"]
    assert [value.name for value in session.get_outputs()] == exported["outputs"]
    assert exported["num_types"] == miniature_run.summary["vocabulary_size"]
    error = mistake(bookloom("export", "--out", str(path / "inside.onnx"), *model))
    assert "cannot be written" in error["message"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the | captian\n", "line 1, bag 2.*'captian'.*'captain'"),
        ("my | | lady\n", "line 1, bag 2 is empty"),
        ('{"bags": [["the"], 5]}\n', "line 1"),
        ("", "no bag set"),
    ],
)
def test_malformed_bags_name_line_and_word(
    miniature_run: Any, tmp_path: Path, content: str, message: str
) -> None:
    path = tmp_path / "bags.txt"
    path.write_text(content)
    model = miniature_run.summary["model"]["uri"]
    error = mistake(bookloom("generate", "--bags", str(path), "--model", model, "--json"))
    assert re.search(message, error["message"]), error


def test_a_malformed_set_costs_itself_only(miniature_run: Any, tmp_path: Path) -> None:
    path = tmp_path / "bags.txt"
    path.write_text("the | king\n\nmy | | lady\nmy | lady\n")
    model = ("--model", miniature_run.summary["model"]["uri"])
    finished = bookloom("generate", "--bags", str(path), *model, "--json")
    assert finished.exit_code == 2
    result = json.loads(finished.output)
    assert [bag_set["bag_set_id"] for bag_set in result["bag_sets"]] == ["1", "4"]
    [refusal] = result["refusals"]
    assert "line 3, bag 2 is empty" in refusal["reason"]
    told = bookloom("generate", "--bags", str(path), *model).output
    assert "The king" in told and "refused" in told


def test_missing_bags_and_model(miniature_run: Any, tmp_path: Path) -> None:
    error = mistake(bookloom("generate", "--bags", str(tmp_path / "none.txt"), "--json"))
    assert "none.txt" in error["message"]
    error = mistake(
        bookloom("score", "--text", "the king", "--model", "models:/bookloom/999", "--json")
    )
    assert "models:/bookloom/999" in error["message"]


@pytest.mark.parametrize("command", ["run", "cluster"])
def test_books_none_of_which_is_there_are_told_before_a_server_starts(
    tmp_path: Path, command: str
) -> None:
    missing, pattern = str(tmp_path / "gone.txt"), str(tmp_path / "*.epub")
    home = tmp_path / "home"
    books = ("--books", missing, pattern, "--json")
    error = mistake(bookloom(command, *books, PREFECT_API_URL="", BOOKLOOM_HOME=str(home)))
    assert error["message"] == (
        f"{missing}: There is no such file. {pattern}: No file matches the pattern."
    )
    books = ("--books", "https://me:secret@books.example/a.txt", missing, "--json")
    error = mistake(bookloom(command, *books, PREFECT_API_URL="", BOOKLOOM_HOME=str(home)))
    assert error["message"] == (
        "https://books.example/a.txt was given with a user's name or password."
    )
    assert not list(home.rglob("*.db"))


def test_run_refuses_bad_files_and_goes_on(prefect_url: str, tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"book\x00\x01\x02" * 50)
    missing, binary = str(tmp_path / "missing.txt"), str(tmp_path / "binary.txt")
    error = mistake(
        bookloom(
            "run", "--books", missing, binary, "--json",
            PREFECT_API_URL=prefect_url, BOOKLOOM_HOME=str(tmp_path / "home"),
        )
    )  # fmt: skip
    assert "No book is left" in error["message"]
    assert "missing.txt" in error["message"]
    assert "binary.txt was refused at byte 4" in error["message"]


def test_run_prints_one_json_object(
    prefect_url: str, miniature_shelf: Path, tmp_path: Path
) -> None:
    """Settings of a user's own, on a miniature shelf, one file of it refused."""
    (tmp_path / "empty.txt").write_text("")
    mine = {"definitions": {"settings": {"mine": tiny_settings(miniature_shelf, "")}}}
    mine["definitions"]["settings"]["mine"] |= {"name": "mine", "store": None}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(mine))
    finished = bookloom(
        "run", "--deployment", "mine",
        "--books", str(miniature_shelf), str(tmp_path / "empty.txt"), "--json",
        PREFECT_API_URL=prefect_url, BOOKLOOM_HOME=str(tmp_path / "home"),
        BOOKLOOM_DEPLOYMENTS=str(tmp_path / "mine.yaml"),
    )  # fmt: skip
    assert finished.exit_code == 0, finished.errors
    summary = json.loads(finished.output)
    assert summary["num_refusals"] == 1
    assert summary["tables"]["books"]["num_rows"] == 5
    assert Path(summary["files"]["map.png"]).read_bytes().startswith(b"\x89PNG")
    assert "empty.txt" in finished.errors
    assert str(tmp_path / "home") in summary["tables"]["books"]["path"]
    tree = bookloom("lineage", "text_codes", BOOKLOOM_HOME=str(tmp_path / "home"))
    assert tree.exit_code == 0
    assert "made by read" in tree.output


def test_books_says_what_would_be_read_removed_and_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "one.txt").write_text("CHAPTER I\n\nOne day. " * 40)
    (tmp_path / "same.txt").write_text("CHAPTER I\r\n\r\nOne day. " * 40)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "zoo" / "one.txt").write_text("CHAPTER I\n\nOne day. " * 40)  # of the same id
    answer = json.loads(
        bookloom("books", str(tmp_path), "--json", BOOKLOOM_HOME=str(tmp_path / "home")).output
    )
    assert [Path(book["source"]).name for book in answer["books"]] == [
        "one.txt",
        "same.txt",
        "one.txt",
    ]
    first = answer["books"][0]["book_id"]
    assert [book["repeats"] for book in answer["books"]] == [None, first, first]
    assert answer["books"][0]["receipt"]["share_removed"] == 0.0
    [refusal] = answer["refusals"]
    assert "empty" in refusal["reason"]
    shown = bookloom("books", str(tmp_path), BOOKLOOM_HOME=str(tmp_path / "home")).output
    assert "1 book, 2 repeated, 1 refused" in shown
    read = {"books": [str(tmp_path / "zoo")], "finding": {"folder_label": "genre"}}
    settings = {"mine": {"read": read | {"reading": {"mast": {}}}}, "yours": {"read": read}}
    own = tmp_path / "mine.yaml"
    own.write_text(yaml.safe_dump({"definitions": {"settings": settings}}))
    places = {"BOOKLOOM_HOME": str(tmp_path / "home"), "BOOKLOOM_DEPLOYMENTS": str(own)}
    yours = bookloom("books", "--deployment", "yours", "--json", **places)
    assert [book["genre"] for book in json.loads(yours.output)["books"]] == ["zoo"]
    told = mistake(bookloom("books", "--deployment", "mine", "--json", **places))
    assert told["message"] == "read.reading.mast is no setting."
    assert not (tmp_path / "home" / "store").exists()
