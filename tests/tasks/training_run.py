"""A whole run up to the language model in a process of its own, for tests that kill it.

Its arguments are SHELF STORE TRACKING_URI CHECKPOINT_SECONDS. It prints BEGUN as its steps
begin and, at its end, the digests of what it made.
"""

import json
import logging
import sys

from tasks.count import CountSettings, count
from tasks.embed import EmbedSettings, embed
from tasks.encode import EncodeSettings, encode
from tasks.read import ReadSettings, read
from tasks.seams.run_context import open_run
from tasks.seams.training_settings import DropoutSettings, TrainSettings
from tasks.tokenise import TokeniseSettings, tokenise
from tasks.train import train


def main() -> None:
    logging.getLogger("bookloom").addHandler(logging.StreamHandler())
    logging.getLogger("bookloom").setLevel(logging.INFO)
    shelf, store, tracking_uri, checkpoint_seconds = sys.argv[1:]
    settings = TrainSettings(
        embedding_width=16,
        hidden_width=24,
        num_lanes=4,
        window_length=16,
        num_epochs=8,
        dropout=DropoutSettings(inputs=0.1, output=0.1, recurrent=0.1),
        average_decay=0.9,
        number_type="fp32",
        device="cpu",
        log_every_steps=5,
        checkpoint_seconds=float(checkpoint_seconds),
    )
    with open_run(
        "killed",
        store=store,
        tracking_uri=tracking_uri,
        seed=7,
        num_threads=1,
        settings=settings.model_dump(mode="json"),
    ) as run:
        print("BEGUN", flush=True)
        books = read.fn(run, ReadSettings(books=[shelf]))
        sentences = tokenise.fn(run, TokeniseSettings(), books)
        vocabulary = count.fn(run, CountSettings(), books, sentences)
        token_ids = encode.fn(run, EncodeSettings(), books, sentences, vocabulary)
        vectors = embed.fn(run, EmbedSettings(), vocabulary, token_ids)
        trained = train.fn(run, settings, sentences, vocabulary, token_ids, vectors)
    made = (books, sentences, vocabulary, token_ids, vectors, trained)
    digests = {name: table.digest for outcome in made for name, table in outcome.tables.items()}
    files = {name.rsplit("/", 1)[-1]: digest for name, digest in trained.files.items()}
    print(json.dumps({"mlflow_run_id": run.mlflow_run_id, "digests": {**digests, **files}}))
