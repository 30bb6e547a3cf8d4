"""What `bookloom run` prints at the end: where everything is."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import fsspec
import pyarrow.parquet as pq

from flows.environment import ui_commands
from tasks.seams.report import visible

NUM_SHOWN_SETS = 3
NUM_SHOWN_TERMS = 8


def summary_text(summary: Mapping[str, Any]) -> str:
    """The summary of a run for a person at a terminal."""
    metrics, unit = summary["metrics"], summary["unit"]
    lines = ["", "tables"]
    lines += [
        f"  {name:<18} {table['num_rows']:>9,} rows  {table['path']}"
        for name, table in summary["tables"].items()
    ]
    lines += [
        "",
        *_step_lines(summary),
        "",
        f"held-out perplexity   {_shown(metrics['test_perplexity'])} on test text, "
        f"{_shown(metrics['validation_perplexity'])} on validation text "
        f"({summary['vocabulary_size']:,} types, {_share(summary['unknown_share'])} unknown)",
        f"  n-gram model        {_shown(metrics['ngram_test_perplexity'])} alone, "
        f"{_shown(metrics['mixture_test_perplexity'])} mixed with the language model",
        *_warm_start_lines(metrics),
        f"bits per character    {_shown(metrics['test_bits_per_character'])} on test text",
        f"{f'hidden {unit}s found':<21} {_share(metrics['bag_words_recovered'])} of {unit}s, "
        f"{_share(metrics['bag_sentences_recovered'])} of whole sentences",
        f"clusters and labels   accuracy {_shown(metrics['cluster_accuracy'])}, "
        f"NMI {_shown(metrics['cluster_nmi'])}, ARI {_shown(metrics['cluster_ari'])}",
        f"training speed        {_shown(metrics['training_tokens_per_second'])} tokens/s, "
        f"{_share(metrics['training_share_of_peak'])} of this machine's matrix products",
        "",
        *_sentence_lines(summary["tables"], unit),
        "",
        f"map of the texts      {summary['files']['map.png']}",
        f"  to explore          {summary['files']['map.html']}",
        f"language model        {summary['model']['uri']}",
        *_promotion_lines(summary["promotion"]),
        f"inputs refused        {summary['num_refusals']}",
        f"MLflow run            {summary['mlflow_run_id']}",
        "",
        "to look at it",
        *(f"  {name:<8} {command}" for name, command in ui_commands().items()),
        "",
        f"done in {summary['seconds']:.0f} s",
    ]
    return "\n".join(lines)


def map_lines(summary: Mapping[str, Any]) -> list[str]:
    """The summary of a run that draws the map alone."""
    metrics, files = summary["metrics"], summary["files"]
    lines = ["", *_step_lines(summary), ""]
    lines += _rows_of_clusters(summary["tables"])
    lines += [
        "",
        f"clusters and labels   accuracy {_shown(metrics['cluster_accuracy'])}, "
        f"NMI {_shown(metrics['cluster_nmi'])}, ARI {_shown(metrics['cluster_ari'])}",
        *_stability_lines(metrics),
        "",
        f"map of the texts      {files['map.png']}",
        f"  to explore          {files['map.html']}",
        f"  a line a book       {files['book_lines.png']}",
        *([f"  against labels      {files['confusion.png']}"] if "confusion.png" in files else []),
        f"inputs refused        {summary['num_refusals']}",
        f"MLflow run            {summary['mlflow_run_id']}",
        "",
        f"done in {summary['seconds']:.0f} s",
    ]
    return lines


def _step_lines(summary: Mapping[str, Any]) -> list[str]:
    if not summary["recomputed"]:
        return ["Nothing has changed: no step was recomputed."]
    lines = [f"recomputed  {', '.join(summary['recomputed'])}"]
    return lines + [f"reused      {', '.join(summary['reused'])}"] * bool(summary["reused"])


def _rows_of_clusters(tables: Mapping[str, Any]) -> list[str]:
    """The notes on the clusters, then each cluster with its size and terms."""
    sizes = Counter(row["cluster"] for row in _rows(tables["text_codes"]["path"]))
    terms: dict[int, list[str]] = {number: [] for number in sorted(sizes)}
    for row in _rows(tables["cluster_terms"]["path"]):
        terms[row["cluster"]].append(visible(row["term"]))
    lines = [row["note"] for row in _rows(tables["cluster_notes"]["path"])]
    return lines + [
        f"  {number:>3}  {sizes[number]:>5,} texts  {', '.join(own[:NUM_SHOWN_TERMS])}"
        for number, own in terms.items()
    ]


def _stability_lines(metrics: Mapping[str, Any]) -> list[str]:
    if metrics["num_clusters"] < 2:
        return []
    return [
        f"with other seeds      adjusted Rand index {_shown(metrics['cluster_stability'])}, "
        f"silhouette {_shown(metrics['cluster_silhouette'])}"
    ]


def _warm_start_lines(metrics: Mapping[str, Any]) -> list[str]:
    if metrics["afresh_test_perplexity"] is None:
        return []
    return [f"  trained afresh      {_shown(metrics['afresh_test_perplexity'])}, in as many steps"]


def _promotion_lines(promotion: Mapping[str, Any] | None) -> list[str]:
    if promotion is None:
        return []
    lines = [f"  {promotion['verdict']:<20}{promotion['reason']}"]
    lines += [f"  {'':<20}{promotion['remedy']}"] if promotion["remedy"] else []
    lines.append(f"  champion            {promotion['champion']}")
    if promotion["champion"] != promotion["model"]:
        lines.append(f"  to use this one     --model {promotion['model']}")
    return lines


def _sentence_lines(tables: Mapping[str, Any], unit: str) -> list[str]:
    between = "" if unit == "character" else " "
    examples = _rows(tables["recovery_examples"]["path"])
    picked = _rows(tables["bag_sentences"]["path"])
    lines = ["sentences from the bags of the example file"]
    lines += [f"  {row['bag_set_id']:>4}  {row['sentence']}" for row in picked if row["rank"] == 1]
    if examples:
        lines += ["", f"sentences found again in bags that hide each of their {unit}s"]
    for row in examples[:NUM_SHOWN_SETS]:
        lines += [f"  bags    {' | '.join(' '.join(map(visible, bag)) for bag in row['bags'])}"]
        lines += [f"  picked  {between.join(row['picked_tokens'])}"]
        lines += [f"  true    {between.join(row['true_tokens'])}", ""]
    return lines


def _rows(path: str) -> list[dict[str, Any]]:
    with fsspec.open(path, "rb") as file:  # the store may be an object store
        rows: list[dict[str, Any]] = pq.read_table(file).to_pylist()
    return rows


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:,.3g}" if value < 1000 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "none" if value is None else f"{value:.1%}"
