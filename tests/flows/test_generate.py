"""Sentences from bags as people have them, through the true command core and the true flow."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data.errors import UserMistake
from flows.generate import generate as generate_flow
from models.bundle import Bundle
from tasks.generate import GenerateSettings, generate
from tasks.seams.registry import read_bundle

SET = "the my an | king lady sailor | sees loves | the a my | sea moon heart | . !\n"


@pytest.fixture
def picked(miniature_run: Any, tmp_path: Path) -> Any:
    """Picks from the text of a bags file by the miniature run's model."""

    def pick(text: str, **settings: Any) -> dict[str, Any]:
        path = tmp_path / "bags.txt"
        path.write_text(text, encoding="utf-8")
        model = miniature_run.summary["model"]["uri"]
        chosen = GenerateSettings(bags=str(path), model=model, **settings)
        return generate(miniature_run.tracking_uri, chosen)

    return pick


def sentences(result: dict[str, Any]) -> list[list[str]]:
    return [[row["sentence"] for row in bag_set["sentences"]] for bag_set in result["bag_sets"]]


def test_strategies_agree_where_they_must(picked: Any) -> None:
    every = {name: picked(SET, strategy=name, num_sentences=1) for name in ("greedy", "exact")}
    one = picked(SET, strategy="beam", beam_width=1, num_sentences=1)
    wide = picked(SET, strategy="beam", beam_width=1000, num_sentences=1)
    assert sentences(one) == sentences(every["greedy"])
    assert sentences(wide) == sentences(every["exact"])
    assert sentences(picked(SET, strategy="diverse", num_sentences=1)) == sentences(wide)


def test_shown_sentences_have_their_capitals_and_blanks(picked: Any) -> None:
    [[sentence]] = sentences(picked("the | king | sees | the | sea | .", num_sentences=1))
    assert sentence == "The king sees the sea."


def test_the_tuned_discount_is_what_is_used(miniature_run: Any, picked: Any) -> None:
    _, content = read_bundle(miniature_run.tracking_uri, miniature_run.summary["model"]["uri"])
    tuned = Bundle.from_bytes(content).frequency_discount
    plain = picked(SET)["bag_sets"][0]["sentences"]
    assert {row["frequency_discount"] for row in plain} == {tuned}
    assert plain == picked(SET, frequency_discount=tuned)["bag_sets"][0]["sentences"]


def test_diverse_sentences_differ(picked: Any) -> None:
    result = picked(SET, strategy="diverse", num_sentences=4, least_difference=3)
    rows = result["bag_sets"][0]["sentences"]
    assert len(rows) == 4
    for index, row in enumerate(rows):
        for other in rows[:index]:
            assert (Counter(row["tokens"]) - Counter(other["tokens"])).total() >= 3


def test_draws_are_counted(picked: Any) -> None:
    rows = picked(SET, strategy="sample", num_sentences=500, seed=4)["bag_sets"][0]["sentences"]
    assert sum(row["num_drawn"] for row in rows) == 500
    assert [row["num_drawn"] for row in rows] == sorted(
        (row["num_drawn"] for row in rows), reverse=True
    )
    assert (
        rows
        == picked(SET, strategy="sample", num_sentences=500, seed=4)["bag_sets"][0]["sentences"]
    )
    few = picked(SET, strategy="sample", num_sentences=50, top_k=1)["bag_sets"][0]["sentences"]
    assert len(few) == 1


def test_bags_in_any_order_find_the_order(picked: Any) -> None:
    straight = picked("the | king | sees | the | sea | .", strategy="exact")
    shuffled = picked(". | sees | the | sea | king | the", strategy="exact", any_order=True)
    best = straight["bag_sets"][0]["sentences"][0]
    found = shuffled["bag_sets"][0]["sentences"][0]
    assert found["score"] >= best["score"] - 1e-4


def test_gaps_early_ends_and_choices_of_nothing(picked: Any) -> None:
    with_gap = picked("king | sees | sea | .", gaps=2, num_sentences=1)
    tokens = with_gap["bag_sets"][0]["sentences"][0]["tokens"]
    assert [token for token in tokens if token in ("king", "sees", "sea", ".")] == [
        "king", "sees", "sea", ".",
    ]  # fmt: skip
    assert len(tokens) <= 6
    short = picked("the | king | sees | the | sea | . | . | .", early_end=0.1, num_sentences=1)
    assert len(short["bag_sets"][0]["sentences"][0]["tokens"]) < 8
    optional = picked(
        'the | king | sees | the | sea | with | joy | . | . ""',
        num_sentences=1,
        frequency_discount=0.0,
    )
    assert optional["bag_sets"][0]["sentences"][0]["tokens"][-2:] == ["joy", "."]


def test_a_text_before_sets_the_state(picked: Any) -> None:
    alone = picked(SET)["bag_sets"][0]["sentences"]
    after = picked(SET, before="The sailor loves the moon.")["bag_sets"][0]["sentences"]
    assert [row["log_probability_nats"] for row in alone] != [
        row["log_probability_nats"] for row in after
    ]
    line = json.dumps(
        {"bags": [bag.split() for bag in SET.split("|")], "before": "The sailor loves the moon."}
    )
    assert picked(line)["bag_sets"][0]["sentences"] == after


def test_sets_after_different_texts_stand_beside_each_other(picked: Any) -> None:
    words = [["the", "my"], ["king"], ["."]]
    texts = ("", "The king sees the sea.", "", "My heart.")
    lines = [json.dumps({"bags": words, "before": text}) for text in texts]
    together = picked("\n".join(lines))["bag_sets"]
    alone = [picked(line)["bag_sets"][0] for line in lines]
    assert [one["sentences"][0]["tokens"] for one in together] == [
        one["sentences"][0]["tokens"] for one in alone
    ]
    assert [one["sentences"][0]["score"] for one in together] == pytest.approx(
        [one["sentences"][0]["score"] for one in alone], abs=1e-4
    )


def test_unknown_words(picked: Any) -> None:
    text = "the | zeppelin king | sees | the | zeppelin\nzeppelin | .\n"
    with pytest.raises(UserMistake, match="'zeppelin' is not in the vocabulary"):
        picked(text)
    dropped = picked("the | zeppelin king | .\nzeppelin | .\n", unknown="drop")
    assert sentences(dropped)[0][0].startswith("The king")
    assert "none of its words" in dropped["refusals"][0]["reason"]
    shared = picked("the | zeppelin | .\n", unknown="share")
    assert sentences(shared)[0][0] == "The zeppelin."


def test_unknown_words_are_spelled_by_a_model_of_characters(
    picked: Any, character_run: dict[str, Any]
) -> None:
    letters = character_run["model"]["uri"]
    likely, odd = "the theen .", "the xqzzk ."
    rows = [
        picked(
            " | ".join(text.split()),
            unknown="spell",
            spelling_model=letters,
            frequency_discount=0.0,
        )["bag_sets"][0]["sentences"][0]
        for text in (likely, odd)
    ]
    assert rows[0]["log_probability_nats"] > rows[1]["log_probability_nats"]
    with pytest.raises(UserMistake, match="knows words and can spell no word"):
        model = picked("the | king | .")["model"]
        picked("the | zeppelin", unknown="spell", spelling_model=model)


def test_why_as_a_table_and_a_picture(picked: Any, tmp_path: Path) -> None:
    result = picked(SET, why=str(tmp_path / "deep" / "why"), num_sentences=1)
    rows = pq.read_table(result["files"]["bag_reasons"]).to_pylist()
    best = result["bag_sets"][0]["sentences"][0]
    assert [row["choice"] for row in rows if row["chosen"]] == best["tokens"]
    for slot in {row["slot"] for row in rows}:
        own = [row for row in rows if row["slot"] == slot]
        assert sum(row["probability"] for row in own) == pytest.approx(1.0)
        [chosen] = [row for row in own if row["chosen"]]
        assert chosen["score"] == pytest.approx(best["score"], abs=1e-4)
        assert chosen["margin"] >= -1e-4  # a beam of 64 finds the best of 324
        assert all(row["margin"] is None for row in own if not row["chosen"])
    picture = Path(result["files"]["picture 1"])
    assert picture.name == "why_1.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_sentence_of_gap_words_alone_has_a_picture(picked: Any, tmp_path: Path) -> None:
    choice = {"gaps": 1, "early_end": 0.0, "frequency_discount": 0.0, "num_sentences": 1}
    result = picked("joy | joy", **choice, why=str(tmp_path / "why"))
    [sentence] = result["bag_sets"][0]["sentences"]
    assert "joy" not in sentence["tokens"]
    assert pq.read_table(result["files"]["bag_reasons"]).num_rows == 0
    assert Path(result["files"]["picture 1"]).exists()


def test_every_set_has_a_picture_of_its_own(picked: Any, tmp_path: Path) -> None:
    names = ["1.1", "1-1", "1-1-2", *(f"{'x' * 40}{end}" for end in "ab")]
    words = [["the", "my"], ["king"], ["."]]
    lines = [json.dumps({"bags": words, "id": name}) for name in names]
    files = picked("\n".join(lines), why=str(tmp_path / "why"))["files"]
    pictures = {path for name, path in files.items() if name.startswith("picture")}
    long = "x" * 40
    assert {Path(path).name for path in pictures} == {
        "why_1-1.png", "why_1-1-2.png", "why_1-1-2-2.png", f"why_{long}.png", f"why_{long}-2.png",
    }  # fmt: skip
    assert all(Path(path).exists() for path in pictures)


@pytest.mark.parametrize(
    ("bags", "out", "why"),
    [
        ("bags.txt", "found", "found"),
        ("bags.txt", "found", "found_refused"),
        ("bags.txt", "found", "deep/../found"),
        ("found.parquet", "found", None),
        ("found.parquet", None, "found"),
    ],
)
def test_two_names_of_one_file_are_told_before_all_work(
    tmp_path: Path, bags: str, out: str | None, why: str | None
) -> None:
    named = {
        name: value and str(tmp_path / value)
        for name, value in {"bags": bags, "out": out, "why": why}.items()
    }
    with pytest.raises(UserMistake, match=r"--\w+ and --\w+ both name the file .*found"):
        generate("no registry is asked", GenerateSettings.model_validate(named))


def test_many_sets_from_parquet_to_parquet(miniature_run: Any, tmp_path: Path) -> None:
    good = [["the", "my"], ["king", "lady"], ["sees"], ["the"], ["sea"], ["."]]
    bags = [good, [["the"], []], good, good, [["zeppelin"]], None]
    table = pa.table(
        {
            "bags": pa.array(bags, pa.list_(pa.list_(pa.string()))),
            "id": ["a", None, "c", "a", "e", "f"],
            "gaps": pa.array([0, 0, 1, 0, 0, 0]),
        }
    )
    pq.write_table(table, tmp_path / "many.parquet")
    settings = GenerateSettings(
        bags=str(tmp_path / "many.parquet"),
        model=miniature_run.summary["model"]["uri"],
        out=str(tmp_path / "found"),
        num_sentences=2,
    )
    result = generate_flow(settings)
    rows = pq.read_table(tmp_path / "found.parquet").to_pylist()
    assert [(row["bag_set_id"], row["rank"]) for row in rows] == [
        ("a", 1), ("a", 2), ("c", 1), ("c", 2),
    ]  # fmt: skip
    refused = pq.read_table(tmp_path / "found_refused.parquet").to_pylist()
    assert [row["bag_set_id"] for row in refused] == ["2", "4", "e", "6"]
    assert "row 2, bag 2 is empty" in refused[0]["reason"]
    assert "row 4: the id 'a' already belongs to" in refused[1]["reason"]
    assert result["num_bag_sets"] == 6
    run = mlflow.MlflowClient(miniature_run.tracking_uri).get_run(result["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["num_refused"] == 4
    assert math.isfinite(run.data.metrics["sets_per_second"])


def test_nothing_is_written_where_no_set_can_be_answered(picked: Any, tmp_path: Path) -> None:
    with pytest.raises(UserMistake, match="bag 2 is empty"):
        picked("the | \nking | ", out=str(tmp_path / "found"), why=str(tmp_path / "why"))
    assert not [path for path in tmp_path.iterdir() if path.name != "bags.txt"]
