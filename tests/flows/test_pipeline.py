"""The true flow on miniature books, under Prefect's test harness."""

import asyncio
import json
import math
from typing import Any

import mlflow
import pandas as pd
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from data.digest import TableDigest
from data.errors import UserMistake
from data.schemas import TABLES
from data.store import Store
from flows.pipeline import PipelineSettings
from flows.running import run_pipeline
from flows.summary import summary_text
from models.bundle import Bundle
from tasks.generate import GenerateSettings, generate
from tasks.lineage import lineage
from tasks.score import score
from tasks.seams.newest_run import newest_run
from tasks.seams.registry import read_bundle

STEPS = {
    "read", "tokenise", "count", "encode", "embed", "train", "tune", "evaluate", "pick",
    "recover", "weigh", "cluster", "judge", "chart", "measure",
}  # fmt: skip
METRICS = {
    "validation_perplexity", "test_perplexity", "bag_words_recovered", "bag_sentences_recovered",
    "test_bits_per_character", "cluster_accuracy", "cluster_nmi", "cluster_ari",
    "training_tokens_per_second",
    "training_share_of_peak", "ngram_test_perplexity", "mixture_test_perplexity",
    "afresh_test_perplexity", "cluster_stability", "cluster_silhouette", "num_clusters",
    "reconstruction_error",
}  # fmt: skip


def digests(summary: dict[str, Any]) -> dict[str, str]:
    tables = {name: table["digest"] for name, table in summary["tables"].items()}
    return {**tables, "model": summary["model"]["digest"]}


def test_summary_has_the_promised_keys(miniature_run: Any) -> None:
    summary = miniature_run.summary
    assert {
        "mlflow_run_id", "seconds", "recomputed", "reused", "tables", "num_refusals", "metrics",
        "model", "unit", "vocabulary_size", "unknown_share",
    } <= set(summary)  # fmt: skip
    assert set(summary["metrics"]) == METRICS
    assert set(summary["recomputed"]) == STEPS
    assert summary["reused"] == []
    assert set(summary["tables"]) == set(TABLES)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary


def test_tables_hold_what_their_digests_say(miniature_run: Any) -> None:
    store = Store(str(miniature_run.store))
    for name, reference in miniature_run.summary["tables"].items():
        table = store.read_table(reference["path"].removeprefix(store.path("")))
        digest = TableDigest(TABLES[name])
        digest.update(table)
        assert (digest.hexdigest(), table.num_rows) == (
            reference["digest"],
            reference["num_rows"],
        ), name


def test_learned_the_grammar(miniature_run: Any) -> None:
    # The grammar offers 5 x 5 x 5 x 5 x 3 sentences of 7 to 9 words and _end_: ln(1875) nats.
    # No model can beat exp(ln(1875) / 9) = 2.3; a model that knew only frequencies is above 12.
    perplexity = miniature_run.summary["metrics"]["test_perplexity"]
    assert 2.3 < perplexity < 5.0


def test_the_cache_that_costs_least_is_kept_with_the_model(miniature_run: Any) -> None:
    reference = miniature_run.summary["tables"]["caches"]
    store = Store(str(miniature_run.store))
    rows = store.read_table(reference["path"].removeprefix(store.path(""))).to_pylist()
    assert {row["flatness"] for row in rows} <= {None, 0.3, 1.0} and len(rows) >= 2
    [chosen] = [row for row in rows if row["chosen"]]
    assert chosen["loss_nats_per_token"] == min(row["loss_nats_per_token"] for row in rows)
    _, content = read_bundle(miniature_run.tracking_uri, miniature_run.summary["model"]["uri"])
    kept = Bundle.from_bytes(content).cache
    assert (kept.flatness if kept else None) == chosen["flatness"]
    assert (kept.model_weight if kept else 1.0) == chosen["lstm_weight"]


def test_metrics_without_labels_are_null(miniature_run: Any) -> None:
    metrics = miniature_run.summary["metrics"]
    assert [metrics[f"cluster_{name}"] for name in ("accuracy", "nmi", "ari")] == [None] * 3


def test_second_run_recomputes_nothing(miniature_run: Any) -> None:
    again = run_pipeline(miniature_run.settings)
    assert again["recomputed"] == []
    assert set(again["reused"]) == STEPS
    assert digests(again) == digests(miniature_run.summary)
    assert again["metrics"] == miniature_run.summary["metrics"]
    assert again["model"]["uri"] == miniature_run.summary["model"]["uri"]
    assert "no step was recomputed" in summary_text(again)
    # It still leaves its record, in the store, in MLflow and in Prefect.
    assert again["mlflow_run_id"] != miniature_run.summary["mlflow_run_id"]
    store = Store(str(miniature_run.store))
    assert newest_run(store, mlflow_run_id=again["mlflow_run_id"])
    run = mlflow.MlflowClient(miniature_run.tracking_uri).get_run(again["mlflow_run_id"])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["test_perplexity"] == again["metrics"]["test_perplexity"]
    assert not [name for name in run.data.metrics if name.startswith(("seconds/", "bytes/"))]
    [report] = [one for one in reports() if str(one.flow_run_id) == flow_run_of(run)]
    assert "Nothing had changed." in report.data


def flow_run_of(run: Any) -> str:
    return str(run.data.tags["prefect.flow_run_id"])


def reports() -> list[Any]:
    only = ArtifactFilter(key=ArtifactFilterKey(any_=["report"]))
    with get_client(sync_client=True) as client:
        found: list[Any] = client.read_artifacts(artifact_filter=only)
    return found


def test_a_setting_reruns_what_depends_on_it_and_no_more(miniature_run: Any) -> None:
    settings = {**miniature_run.settings, "cluster": {**miniature_run.settings["cluster"]}}
    settings["cluster"]["num_terms_shown"] = 5
    assert set(run_pipeline(settings)["recomputed"]) == {"cluster", "chart"}


def test_same_digests_from_an_empty_store(miniature_run: Any, tmp_path: Any) -> None:
    fresh = run_pipeline({**miniature_run.settings, "store": str(tmp_path)})
    assert set(fresh["recomputed"]) == STEPS
    assert digests(fresh) == digests(miniature_run.summary)


def test_another_seed_gives_other_weights(miniature_run: Any) -> None:
    other = run_pipeline({**miniature_run.settings, "seed": 8})
    assert other["model"]["digest"] != miniature_run.summary["model"]["digest"]
    assert other["tables"]["token_ids"] == miniature_run.summary["tables"]["token_ids"]


def test_mlflow_has_the_run_its_children_and_the_model(miniature_run: Any) -> None:
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    parent = client.get_run(miniature_run.summary["mlflow_run_id"])
    assert parent.info.status == "FINISHED"
    assert parent.data.params["train.hidden_width"] == "24"
    assert (
        parent.data.tags["digest.vocabulary"]
        == (miniature_run.summary["tables"]["vocabulary"]["digest"])
    )
    assert {"books", "sentences", "token_ids"} <= {
        entry.dataset.name for entry in parent.inputs.dataset_inputs
    }
    children = {
        run.data.tags["part"]: run
        for run in client.search_runs(
            [parent.info.experiment_id],
            f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'",
        )
    }
    assert set(children) == {"training", "generation", "clustering"}
    assert all(child.info.status == "FINISHED" for child in children.values())
    history = client.get_metric_history(
        children["training"].info.run_id, "train_loss_nats_per_token"
    )
    log = Store(str(miniature_run.store)).read_table(
        lineage_name(miniature_run, "training_log")
    ).to_pylist()  # fmt: skip
    trained = [row for row in log if row["split"] == "train"]
    assert [(point.step, point.value) for point in history] == [
        (row["step"], row["loss_nats_per_token"]) for row in trained
    ]
    files = {item.path for item in client.list_artifacts(children["clustering"].info.run_id)}
    assert {"map.png", "map.html", "cluster_scores.parquet"} <= files


def lineage_name(run: Any, table: str) -> str:
    path: str = run.summary["tables"][table]["path"]
    return path.removeprefix(str(run.store)).lstrip("/")


def test_the_registered_model_picks_what_generate_picks(miniature_run: Any, tmp_path: Any) -> None:
    bags = [["the", "my"], ["king", "lady"], ["sees", "loves"], ["the"], ["sea", "moon"], ["."]]
    path = tmp_path / "bags.jsonl"
    path.write_text(json.dumps({"bags": bags}))
    uri = miniature_run.summary["model"]["uri"]
    settings = GenerateSettings(bags=str(path), num_sentences=2, model=uri)
    [bag_set] = generate(miniature_run.tracking_uri, settings)["bag_sets"]
    mlflow.set_tracking_uri(miniature_run.tracking_uri)
    served = mlflow.pyfunc.load_model(uri).predict(
        pd.DataFrame({"bags": [bags]}), params={"num_sentences": 2}
    )
    assert served["tokens"].tolist() == [row["tokens"] for row in bag_set["sentences"]]
    assert served["score"].tolist() == pytest.approx([r["score"] for r in bag_set["sentences"]])
    assert bag_set["sentences"][0]["proven_best"]  # 16 sentences in all, and a beam of 64


def test_exact_search_proves_or_bounds(miniature_run: Any, tmp_path: Any) -> None:
    path = tmp_path / "bags.txt"
    path.write_text("the my an | king lady sailor | sees loves | the a my | sea moon heart | . !\n")
    uri = miniature_run.summary["model"]["uri"]

    def best(**settings: Any) -> dict[str, Any]:
        chosen = GenerateSettings(bags=str(path), num_sentences=1, model=uri, **settings)
        [bag_set] = generate(miniature_run.tracking_uri, chosen)["bag_sets"]
        [sentence] = bag_set["sentences"]
        return dict(sentence)

    proven = best(strategy="exact")
    every = best(strategy="beam", beam_width=1000)  # 324 sentences in all
    greedy, stopped = (
        best(strategy="greedy"),
        best(strategy="exact", max_expansions=2, beam_width=1),
    )
    assert proven["tokens"] == every["tokens"]
    assert proven["proven_best"] and every["proven_best"] and not stopped["proven_best"]
    assert proven["score_bound"] == proven["score"] == pytest.approx(every["score"], abs=1e-4)
    assert greedy["score_bound"] >= proven["score"] - 1e-4
    assert stopped["tokens"] == greedy["tokens"]
    assert stopped["score"] <= proven["score"] + 1e-4 <= stopped["score_bound"] + 2e-4


def test_score_of_a_sentence_equals_its_log_probability(miniature_run: Any, tmp_path: Any) -> None:
    path = tmp_path / "bags.txt"
    path.write_text("the my | king lady | sees loves | the | sea moon | .\n")
    uri = miniature_run.summary["model"]["uri"]
    settings = GenerateSettings(bags=str(path), model=uri)
    [bag_set] = generate(miniature_run.tracking_uri, settings)["bag_sets"]
    best = bag_set["sentences"][0]
    scored = score(miniature_run.tracking_uri, uri, " ".join(best["tokens"]))
    assert [token["token"] for token in scored["tokens"]] == [*best["tokens"], "_end_"]
    assert all(token["nats"] <= 0 for token in scored["tokens"])
    assert scored["total_nats"] == pytest.approx(best["log_probability_nats"], abs=1e-4)


def test_the_bundle_in_mlflow_is_the_one_in_the_store(miniature_run: Any) -> None:
    uri, content = read_bundle(miniature_run.tracking_uri, miniature_run.summary["model"]["uri"])
    assert Bundle.from_bytes(content).digest() == miniature_run.summary["model"]["digest"]
    assert uri == miniature_run.summary["model"]["uri"]


def test_lineage_goes_back_to_the_books(miniature_run: Any) -> None:
    path = miniature_run.summary["tables"]["bag_sentences"]["path"]
    tree = lineage(str(miniature_run.store), path)

    def names(node: dict[str, Any]) -> set[str]:
        return {node["table"]}.union(*(names(parent) for parent in node["inputs"]))

    assert {"language_model.safetensors", "token_ids", "vocabulary", "books"} <= names(tree)

    def books(node: dict[str, Any]) -> list[dict[str, Any]]:
        own = [node] if node["table"] == "books" else []
        return own + [found for parent in node["inputs"] for found in books(parent)]

    assert all(len(node["sources"]) == 5 for node in books(tree))


def test_perplexity_is_the_exponential_of_the_mean(miniature_run: Any) -> None:
    store = Store(str(miniature_run.store))
    rows = store.read_table(lineage_name(miniature_run, "perplexities")).to_pylist()
    test = [row for row in rows if row["split"] == "test"]
    mean = sum(row["nats"] for row in test) / sum(row["num_tokens"] for row in test)
    assert miniature_run.summary["metrics"]["test_perplexity"] == pytest.approx(math.exp(mean))


def test_prefect_shows_an_escaped_report(miniature_run: Any) -> None:
    async def artifacts() -> list[Any]:
        async with get_client() as client:
            return await client.read_artifacts(artifact_filter=ArtifactFilter(), limit=200)

    found = asyncio.run(artifacts())
    kinds = {(artifact.key, artifact.type) for artifact in found}
    assert {("report", "markdown"), ("metrics", "table"), ("map", "image")} <= kinds
    assert any(artifact.type == "progress" for artifact in found)
    reports = [str(artifact.data) for artifact in found if artifact.key == "report"]
    assert all("<script>" not in report for report in reports)
    assert any("&lt;script&gt;" in report for report in reports)


def test_no_book_left_is_a_mistake_with_its_reason(miniature_run: Any, tmp_path: Any) -> None:
    settings = {**miniature_run.settings, "read": {"books": [str(tmp_path / "never_written.txt")]}}
    with pytest.raises(UserMistake, match=r"No book is left.*never_written\.txt"):
        run_pipeline(settings)
    client = mlflow.MlflowClient(miniature_run.tracking_uri)
    experiment = client.get_experiment_by_name("bookloom")
    named = "attributes.run_name LIKE 'retrain never_written.txt % miniature'"
    [newest] = client.search_runs([experiment.experiment_id], named)
    assert newest.info.status == "FAILED"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"sed": 1}, r"settings\.sed is no setting.*seed"),
        ({"train": {"hiden_width": 8}}, r"train\.hiden_width is no setting.*hidden_width"),
        ({"pick": {"frequency_discount": -1}}, r"pick\.frequency_discount is -1"),
        ({"pick": {"unknown": "spell", "spelling_model": "models:/letters/1"}},
         r"pick\.unknown is 'spell': Input should be 'error', 'drop' or 'share'"),
    ],
)  # fmt: skip
def test_unknown_and_impossible_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserMistake, match=message):
        run_pipeline(settings)


def test_what_else_is_said_of_picking_leaves_unknown_words_dropped() -> None:
    told = PipelineSettings.model_validate({"pick": {"num_sentences": 5}})
    assert (told.pick.num_sentences, told.pick.unknown) == (5, "drop")
    assert told.model_copy(update={"pick": PipelineSettings().pick}) == PipelineSettings()
