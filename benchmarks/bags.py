"""How many words of true sentences come back from bags that hide each of them, and how fast.

    python benchmarks/bags.py --sentences test_raw.txt --num-sentences 1000 --json
    python benchmarks/bags.py --sentences test_raw.txt --num-bags 10 --exact-seconds 60

Each word of a sentence is hidden among others drawn by corpus frequency. Against chance, the most
frequent word of each bag, a 3-gram beam, greedy search and beams; each with the discount 0 and with
the one that the model was tuned to. `--exact-seconds` adds exact search and counts the search
errors of each beam width against it, on the first `--num-exact` sets.
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.book_schemas import TOKEN_IDS
from data.store import Store
from flows.environment import home_store, tracking_uri
from models.bag_decoding import Picked, decode
from models.bag_recovery import draw_bag_sets, eligible_sentences, recovery
from models.bundle import Bundle
from models.kneser_ney import KneserNey
from models.ngram_step import NgramStep
from models.picking import Picker
from models.sentence_space import BagSpec
from models.special_tokens import END
from tasks.seams.newest_run import newest_run, table_names
from tasks.seams.registry import read_bundle
from tasks.seams.user_text import cut_sentences

BEAM_WIDTHS = (8, 64, 256)
NGRAM_ORDER = 3
NGRAM_BEAM = 64
Sentences = Sequence[Sequence[int]]


def main() -> None:
    """Measure, and print a table or one JSON object."""
    options = _options()
    torch.set_num_threads(options.threads)
    uri, content = read_bundle(tracking_uri(), options.model)
    bundle = Bundle.from_bytes(content)
    text = Path(options.sentences).read_text(encoding="utf-8")
    ids = [token for words in cut_sentences(bundle, text) for token in _closed(bundle, words)]
    rng = np.random.default_rng(options.seed)
    frequency_V = bundle.vocabulary.word_frequency()
    run = np.array(ids, dtype=np.int32)
    lengths = {"min_words": options.num_bags, "max_words": options.num_bags}
    lengths = lengths if options.num_bags else {}
    true = eligible_sentences([run], options.num_sentences, rng, frequency_V, **lengths)
    bags = draw_bag_sets(true, bag_size=options.bag_size, word_probability_V=frequency_V, rng=rng)
    specs = [BagSpec.of_words(bag_set) for bag_set in bags]
    _say(f"{uri}: {len(true):,} sentences, bags of {options.bag_size} words")

    results = [
        _row("random", None, None, true, [[rng.choice(bag) for bag in one] for one in bags]),
        _row("most frequent word", None, None, true, [[min(bag) for bag in one] for one in bags]),
    ]
    discounts = options.discounts or list(dict.fromkeys((0.0, bundle.frequency_discount)))
    ngram = _training_ngram(bundle)
    for discount in discounts:
        picker = Picker(bundle, frequency_discount=discount)
        if ngram is not None:
            found = _ngram_beam(ngram, picker, specs)
            results.append(_timed("3-gram beam", NGRAM_BEAM, discount, true, found))
        for width in (1, *BEAM_WIDTHS):
            found = picker.beam(specs, beam_width=width)
            name = "greedy" if width == 1 else "beam"
            results.append(_timed(name, width, discount, true, found))
        if options.exact_seconds:
            results += _exact(picker, true, specs, discount, options)
    summary = {
        "model": uri,
        "num_sentences": len(true),
        "bag_size": options.bag_size,
        "tuned_frequency_discount": bundle.frequency_discount,
        "results": results,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }
    print(json.dumps(summary) if options.json else _table(summary))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="MLflow model URI; the newest by default")
    parser.add_argument("--sentences", required=True, help="a text that the model has not learned")
    parser.add_argument("--bag-size", type=int, default=10)
    parser.add_argument(
        "--num-bags", type=int, help="sentences of so many words; 5 to 12 by default"
    )
    parser.add_argument("--num-sentences", type=int, default=300)
    parser.add_argument(
        "--discounts", type=float, nargs="+", help="0 and the one that was tuned by default"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--exact-seconds", type=float, help="for each set; none by default")
    parser.add_argument("--num-exact", type=int, default=20, help="sets searched exactly")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _closed(bundle: Bundle, words: list[str]) -> list[int]:
    return [*bundle.vocabulary.encode(words), END]


def _training_ngram(bundle: Bundle) -> KneserNey | None:
    """A model of the text that the bundle learned from, where the store still has it."""
    store = Store(home_store())
    names = table_names(store, newest_run(store, model_digest=bundle.digest()) or {"tables": {}})
    if TOKEN_IDS.name not in names:
        _say("the store has no training text of this model: no 3-gram beam")
        return None
    rows = store.read_table(names[TOKEN_IDS.name]).to_pylist()
    books: dict[str, list[int]] = {}
    for row in rows:
        if row["split"] == "train":
            books.setdefault(row["book_id"], []).extend(row["token_ids"])
    runs = [np.array(book, dtype=np.int32) for book in books.values()]
    return KneserNey.fit(runs, len(bundle.vocabulary), NGRAM_ORDER)


def _ngram_beam(ngram: KneserNey, picker: Picker, specs: Sequence[BagSpec]) -> Iterator[Picked]:
    step = NgramStep(ngram)
    return decode(picker.spaces(specs), step, step.state_after(()), END, beam_width=NGRAM_BEAM)


def _timed(
    method: str, width: int, discount: float, true: Sentences, found: Iterator[Picked]
) -> dict[str, Any]:
    started = time.monotonic()
    picked = [one.sentences[0].token_ids for one in found]
    seconds = time.monotonic() - started
    return _row(method, width, discount, true, picked, len(true) / seconds)


def _exact(
    picker: Picker,
    true: Sentences,
    specs: Sequence[BagSpec],
    discount: float,
    options: argparse.Namespace,
) -> list[dict[str, Any]]:
    """Exact search on the first sets, and the beams' search errors against it there: how often the
    best sentence known scores higher than the beam's.
    """
    specs, true = specs[: options.num_exact], true[: options.num_exact]
    started = time.monotonic()
    exact = []
    for number, spec in enumerate(specs, 1):
        exact.append(
            picker.exact(spec, max_expansions=None, seconds=options.exact_seconds, beam_width=256)
        )
        _say(f"exact search, discount {discount:g}: {number} of {len(specs)} sets")
    speed = len(specs) / (time.monotonic() - started)
    best = [one.sentences[0] for one in exact]
    gaps = [one.score_bound - one.sentences[0].score for one in exact]
    row = _row("exact", None, discount, true, [one.token_ids for one in best], speed)
    row |= {
        "share_proven": sum(one.is_proven for one in exact) / len(exact),
        "median_gap_to_bound_nats": float(np.median(gaps)),
        "seconds_a_set": options.exact_seconds,
    }
    rows = [row]
    for width in (1, *BEAM_WIDTHS):
        found = [one.sentences[0] for one in picker.beam(specs, beam_width=width)]
        errors = sum(other.score > one.score + 1e-4 for one, other in zip(found, best, strict=True))
        name = "greedy, search errors" if width == 1 else "beam, search errors"
        errors_row = _row(name, width, discount, true, [one.token_ids for one in found])
        rows.append({**errors_row, "search_error_rate": errors / len(specs)})
    return rows


def _row(
    method: str,
    width: int | None,
    discount: float | None,
    true: Sentences,
    picked: Sentences,
    sets_per_second: float | None = None,
) -> dict[str, Any]:
    found = recovery(true, picked)
    row = {
        "method": method,
        "beam_width": width,
        "frequency_discount": discount,
        "words_recovered": found.share_of_words,
        "sentences_recovered": found.share_of_sentences,
        "sets_per_second": sets_per_second,
        "search_error_rate": None,
    }
    _say(_line(row))
    return row


def _line(row: dict[str, Any]) -> str:
    shown: list[tuple[str, Callable[[Any], str]]] = [
        ("beam_width", str),
        ("frequency_discount", "{:g}".format),
        ("words_recovered", "{:.3f}".format),
        ("sentences_recovered", "{:.3f}".format),
        ("sets_per_second", "{:.1f}".format),
        ("search_error_rate", "{:.2f}".format),
        ("share_proven", "{:.2f}".format),
        ("median_gap_to_bound_nats", "{:.2f}".format),
    ]
    values = ["" if row.get(name) is None else form(row[name]) for name, form in shown]
    return f"{row['method']:<24}" + "".join(f"{value:>9}" for value in values)


def _table(summary: dict[str, Any]) -> str:
    head = f"{'':<24}" + "".join(
        f"{name:>9}"
        for name in ("beam", "discount", "words", "whole", "sets/s", "errors", "proven", "gap")
    )
    lines = [head, *map(_line, summary["results"])]
    return "\n".join([*lines, f"peak memory {summary['peak_memory_bytes'] / 1e6:,.0f} MB"])


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
