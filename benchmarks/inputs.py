"""What the language model reads its words by: four ways, side by side on the packaged plays.

    python benchmarks/inputs.py --vectors glove.6B.50d.txt

trains the `quick` deployment's model with each kind of input through the pipeline's own steps, for
as many epochs, and prints a Markdown table: one-hot, vectors learned from nothing, word2vec trained
on the plays, and vectors from a file in GloVe or word2vec format; the last two tuned and frozen.
Where an epoch's seconds are to count, nothing else should run meanwhile.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.model_schemas import PERPLEXITIES, TRAINING_LOG
from data.store import Store
from flows.deployments import deployment_settings
from models.evaluation import Loss, total
from tasks.count import CountSettings, count
from tasks.embed import EmbedSettings, embed
from tasks.encode import EncodeSettings, encode
from tasks.evaluate import EvaluateSettings, evaluate
from tasks.read import ReadSettings, read
from tasks.seams.run_context import RunContext
from tasks.seams.training_settings import TrainSettings
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.train import train
from tasks.tune import TuneSettings, tune


def main() -> None:
    """Prepare the text once, train on it six times, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--vectors", required=True, help="a file of word vectors")
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from_file = {"inputs": "file", "path": options.vectors}
    word2vec = {"inputs": "word2vec"}
    ways: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
        ("one-hot", {}, {"one_hot_inputs": True}),
        ("learned from nothing", {}, {}),
        ("word2vec, tuned", word2vec, {}),
        ("word2vec, frozen", word2vec, {"frozen_inputs": True}),
        ("from the file, tuned", from_file, {}),
        ("from the file, frozen", from_file, {"frozen_inputs": True}),
    ]
    print("| inputs | numbers a word | validation perplexity | test perplexity | seconds |")
    print("|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as store:
        run = RunContext(
            store=store,
            seed=options.seed,
            num_threads=options.threads,
            tracking_uri=None,
            mlflow_run_id=None,
            provenance={},
        )
        for name, embed_settings, train_settings in ways:
            print(_row(run, name, options.epochs, embed_settings, train_settings), flush=True)


def _row(
    run: RunContext,
    name: str,
    num_epochs: float,
    embed_settings: dict[str, Any],
    train_settings: dict[str, Any],
) -> str:
    books = read.fn(run, ReadSettings())
    sentences = tokenise.fn(run, TokeniseSettings(), books)
    vocabulary = count.fn(run, CountSettings(), books, sentences)
    token_ids = encode.fn(run, EncodeSettings(), books, sentences, vocabulary)
    vectors = embed.fn(run, EmbedSettings(**embed_settings), vocabulary, token_ids)
    quick = {**deployment_settings("quick")["train"], "num_epochs": num_epochs}
    settings = TrainSettings(**{**quick, **train_settings})
    trained = train.fn(run, settings, sentences, vocabulary, token_ids, vectors)
    opened = tune.fn(
        run,
        TuneSettings(num_sentences=1, frequency_discounts=(), ngram_order=0),
        token_ids,
        trained,
    )
    only_static = EvaluateSettings(ngram_order=0, contexts=(), context_blocks=1)
    perplexities = evaluate.fn(run, only_static, token_ids, opened)
    store = Store(run.store)
    rows = store.read_table(perplexities.tables[PERPLEXITIES.name].name).to_pylist()
    figures = [
        total([Loss(row["nats"], row["num_tokens"]) for row in rows if row["split"] == split])
        for split in ("validation", "test")
    ]
    log = store.read_table(trained.tables[TRAINING_LOG.name].name)
    width = len(store.read_table(trained.tables["embeddings"].name)["vector"][0])
    shown = " | ".join(f"{loss.perplexity:.1f}" for loss in figures)
    seconds = log["elapsed_seconds"].to_pylist()[-1]
    return f"| {name} | {width} | {shown} | {seconds:.0f} |"


if __name__ == "__main__":
    main()
