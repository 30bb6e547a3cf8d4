"""Books to token ids: MB/s of each step and peak memory, for libraries of several sizes.

    python benchmarks/ingest.py --gigabytes 0.25 1 4 --json
    python benchmarks/ingest.py --gigabytes 1 --books shelf/*.txt --workers 2

A library is made by drawing paragraphs of real books, the packaged plays by default, and by minting
new words, so that no two books are alike and the vocabulary grows as in a true library. Memory is
the largest sum of the proportional set sizes of all processes of a run, Prefect's server among
them, sampled every two seconds. Nothing else should run meanwhile.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.pipeline import watched
from data.plays import read_plays

BOOK_CHARACTERS = 500_000
NEW_WORDS_PER_BOOK = 60


def make_library(folder: Path, num_bytes: int, paragraphs: Sequence[str], seed: int) -> int:
    """Write books of about half a megabyte until there are so many bytes; gives how many bytes."""
    rng = np.random.default_rng(seed)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    written = number = 0
    while written < num_bytes:
        chosen, length = [], 0
        while length < BOOK_CHARACTERS:
            chosen.append(paragraphs[rng.integers(len(paragraphs))])
            length += len(chosen[-1]) + 2
        for place in rng.integers(len(chosen), size=NEW_WORDS_PER_BOOK):
            word = "".join(rng.choice(letters, size=rng.integers(6, 12)))
            chosen[place] = f"{chosen[place]} {word.title()} {word}."
        path = folder / f"{number // 1000:03}" / f"book-{number:06}.txt"
        path.parent.mkdir(exist_ok=True)
        written += path.write_bytes("\n\n".join(chosen).encode())
        number += 1
    return written


def ingest(library: str, store: str, num_workers: int) -> dict[str, Any]:
    """Seconds of each step, and what came out."""
    from flows.environment import prepare

    prepare()
    from prefect import flow

    from tasks.count import CountSettings, count
    from tasks.encode import EncodeSettings, encode
    from tasks.read import ReadSettings, read
    from tasks.seams.run_context import RunContext
    from tasks.seams.shards import at_hand
    from tasks.seams.workers import Workers
    from tasks.tokenise import TokeniseSettings, tokenise

    @flow(name="ingest", persist_result=False)
    def ingest_flow() -> dict[str, Any]:
        run = RunContext(
            store=store,
            seed=1,
            num_threads=1,
            workers=Workers(num_workers=num_workers),
            tracking_uri=None,
            mlflow_run_id=None,
            provenance={},
        )
        with at_hand(run.workers):
            books = read(run, ReadSettings(books=(library,)))
            sentences = tokenise(run, TokeniseSettings(), books)
            vocabulary = count(run, CountSettings(), books, sentences)
            token_ids = encode(run, EncodeSettings(), books, sentences, vocabulary)
        steps = (books, sentences, vocabulary, token_ids)
        return {
            "seconds": {one.step: one.seconds for one in steps},
            "num_books": books.tables["books"].num_rows,
            "num_types": vocabulary.tables["vocabulary"].num_rows,
            "digest": token_ids.tables["token_ids"].digest,
        }

    return ingest_flow()


def measured(library: Path, num_bytes: int, num_workers: int) -> dict[str, Any]:
    """One run in processes of its own, watched from outside."""
    with tempfile.TemporaryDirectory() as home:
        command = [sys.executable, __file__, "--ingest", str(library), home]
        command += ["--workers", str(num_workers)]
        output, wall, peak = watched(command, home)
    found = json.loads(output.splitlines()[-1])
    seconds = found.pop("seconds")
    return {
        "megabytes": num_bytes / 1e6,
        "megabytes_per_second": num_bytes / 1e6 / sum(seconds.values()),
        **{f"{step}_megabytes_per_second": num_bytes / 1e6 / s for step, s in seconds.items()},
        "wall_seconds": wall,
        "peak_memory_bytes": peak,
        **found,
    }


def main() -> None:
    """Make libraries, ingest them, print a table or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[0.1])
    parser.add_argument("--books", nargs="+", help="text files to draw from; the packaged plays")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--ingest", nargs=2, metavar=("LIBRARY", "HOME"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.ingest:
        library, home = options.ingest
        print(json.dumps(ingest(library, f"{home}/store", options.workers)))
        return
    texts = (
        [Path(name).read_text(encoding="utf-8", errors="replace") for name in options.books]
        if options.books
        else [book.text for book in read_plays()]
    )
    paragraphs = [part for text in texts for part in text.split("\n\n") if part.strip()]
    results = []
    for gigabytes in options.gigabytes:
        with tempfile.TemporaryDirectory() as folder:
            num_bytes = make_library(Path(folder), int(gigabytes * 1e9), paragraphs, options.seed)
            results.append(measured(Path(folder), num_bytes, options.workers))
        print(_line(results[-1]), file=sys.stderr, flush=True)
    print(json.dumps({"results": results}) if options.json else "\n".join(map(_line, results)))


def _line(result: dict[str, Any]) -> str:
    steps = ", ".join(
        f"{name.removesuffix('_megabytes_per_second')} {value:.1f}"
        for name, value in result.items()
        if name.endswith("_megabytes_per_second")
    )
    return (
        f"{result['megabytes']:,.0f} MB: {result['megabytes_per_second']:.1f} MB/s ({steps}), "
        f"{result['peak_memory_bytes'] / 1e6:,.0f} MB at the peak, {result['num_books']:,} books, "
        f"{result['num_types']:,} types"
    )


if __name__ == "__main__":
    main()
