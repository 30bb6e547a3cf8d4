"""The true flow on characters: the miniature books again, one setting changed."""

import json
import math
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest

from data.store import Store
from flows.summary import summary_text
from tasks.generate import GenerateSettings, generate
from tasks.score import score


def rows(run: Any, summary: dict[str, Any], table: str) -> list[dict[str, Any]]:
    path = summary["tables"][table]["path"].removeprefix(str(run.store)).lstrip("/")
    return Store(str(run.store)).read_table(path).to_pylist()


def test_the_language_model_is_of_characters(
    miniature_run: Any, character_run: dict[str, Any]
) -> None:
    assert (miniature_run.summary["unit"], character_run["unit"]) == ("word", "character")
    vocabulary = [row["token"] for row in rows(miniature_run, character_run, "vocabulary")]
    assert {len(token) for token in vocabulary[4:]} == {1}
    assert vocabulary[4] == " "
    assert rows(miniature_run, character_run, "recovery_examples")
    assert rows(miniature_run, character_run, "bag_recovery")


def test_the_map_is_that_of_words(miniature_run: Any, character_run: dict[str, Any]) -> None:
    assert character_run["reused"] == ["read", "cluster", "judge", "chart"]
    for table in ("text_features", "text_terms"):
        digests = [
            summary["tables"][table]["digest"] for summary in (miniature_run.summary, character_run)
        ]
        assert digests[0] == digests[1], table


def test_bits_per_character_hold_the_two_side_by_side(
    miniature_run: Any, character_run: dict[str, Any]
) -> None:
    counted = {}
    for summary in (miniature_run.summary, character_run):
        test = [r for r in rows(miniature_run, summary, "perplexities") if r["split"] == "test"]
        counted[summary["unit"]] = sum(row["num_characters"] for row in test)
        bits = sum(row["nats"] for row in test) / math.log(2)
        assert summary["metrics"]["test_bits_per_character"] == pytest.approx(
            bits / counted[summary["unit"]]
        )
    assert counted["word"] == counted["character"] == sum(row["num_tokens"] for row in test)
    metrics = character_run["metrics"]
    assert metrics["test_bits_per_character"] == pytest.approx(
        math.log2(metrics["test_perplexity"])
    )
    assert 1.0 < metrics["test_perplexity"] < 15.0  # what a model of frequencies alone is above


def test_generate_score_and_the_registered_model_agree(
    miniature_run: Any, character_run: dict[str, Any], tmp_path: Path
) -> None:
    bags = [[["T", "h"], ["h"], ["e", "a"], [" "], ["s", "k"], ["e", "i"]]]
    path = tmp_path / "bags.jsonl"
    path.write_text(json.dumps({"bags": bags[0]}))
    uri = character_run["model"]["uri"]
    settings = GenerateSettings(bags=str(path), model=uri)
    [bag_set] = generate(miniature_run.tracking_uri, settings)["bag_sets"]
    best = bag_set["sentences"][0]
    assert best["sentence"] == "".join(best["tokens"])
    scored = score(miniature_run.tracking_uri, uri, best["sentence"].replace(" ", "\n "))
    assert [token["token"] for token in scored["tokens"]] == [*best["tokens"], "_end_"]
    assert scored["total_nats"] == pytest.approx(best["log_probability_nats"], abs=1e-4)
    mlflow.set_tracking_uri(miniature_run.tracking_uri)
    served = mlflow.pyfunc.load_model(uri).predict(pd.DataFrame({"bags": bags}))
    assert served["tokens"].tolist() == [best["tokens"]]


def test_a_word_in_a_bag_of_characters_is_spelled(
    miniature_run: Any, character_run: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "bags.txt"
    path.write_text('the thee | " " | sea\nt s | h€\n')
    settings = GenerateSettings(bags=str(path), model=character_run["model"]["uri"])
    result = generate(miniature_run.tracking_uri, settings)
    [bag_set] = result["bag_sets"]
    assert bag_set["sentences"][0]["sentence"] in ("the sea", "thee sea")
    [refusal] = result["refusals"]
    assert "line 2, bag 2: '€' is not in the vocabulary" in refusal["reason"]


def test_the_summary_shows_sentences_as_written(
    miniature_run: Any, character_run: dict[str, Any]
) -> None:
    text = summary_text(character_run)
    assert "bits per character" in text
    assert "hidden characters found" in text
    first = rows(miniature_run, character_run, "recovery_examples")[0]
    assert f"  true    {''.join(first['true_tokens'])}\n" in text


def test_characters_and_words_compete_for_nothing(
    miniature_run: Any, character_run: dict[str, Any]
) -> None:
    promotion = character_run["promotion"]
    assert promotion["verdict"] == "refused"
    assert "It predicts characters in lower case, models:/bookloom/" in promotion["reason"]
    assert "can't be compared" in promotion["reason"]
    assert promotion["nats_per_character"] is None
    assert miniature_run.summary["promotion"]["verdict"] == "promoted"
