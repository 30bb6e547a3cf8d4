"""Bag sets that are hard to search: time and memory, each in a process of its own.

    python benchmarks/hard_bags.py --model models:/bookloom/1 --json

- 8 bags of 5 words, 390,625 sentences, on which a user of TheanoLM's lattice decoder ran out of
  memory (senarvi/theanolm issue 36): exact search with proof, held against brute force, which is a
  beam wide enough for all;
- 30 bags of 1,000 words, a beam of 64;
- 10,000 sets of 5 bags of 5 words, a beam of 64.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from flows.environment import tracking_uri
from models.bundle import Bundle
from models.picking import Picker
from models.sentence_space import BagSpec
from tasks.seams.registry import read_bundle

LIKE_ANOTHER = 5  # sets of the exact case


def main() -> None:
    """Run every case in a process of its own, and print a table or one JSON object."""
    options = _options()
    if options.case:
        print(json.dumps(_measured(options)))
        return
    results = []
    for case in CASES:
        command = [sys.executable, __file__, "--case", case, "--seed", str(options.seed)]
        command += ["--threads", str(options.threads)]
        command += ["--model", options.model] if options.model else []
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        results.append(json.loads(done.stdout))
        print(_line(results[-1]), file=sys.stderr, flush=True)
    if options.json:
        print(json.dumps({"results": results}))
    else:
        print("\n".join(map(_line, results)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="MLflow model URI; the newest by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    return parser.parse_args()


def _measured(options: argparse.Namespace) -> dict[str, Any]:
    torch.set_num_threads(options.threads)
    bundle = Bundle.from_bytes(read_bundle(tracking_uri(), options.model)[1])
    before = _peak_memory_bytes()
    facts = CASES[options.case](bundle, np.random.default_rng(options.seed))
    return {
        "case": options.case,
        **facts,
        "peak_memory_bytes": _peak_memory_bytes(),
        "peak_memory_bytes_before": before,
    }


def _exact(bundle: Bundle, rng: np.random.Generator) -> dict[str, Any]:
    rows = []
    for discount in (0.0, bundle.frequency_discount):
        picker = Picker(bundle, frequency_discount=discount)
        for spec in _sets(bundle, rng, LIKE_ANOTHER, num_bags=8, bag_size=5):
            started = time.monotonic()
            found = picker.exact(spec)
            seconds = time.monotonic() - started
            rows.append((seconds, found.is_proven, found.num_expansions))
    seconds, proven, expansions = zip(*rows, strict=True)
    return {
        "seconds": max(seconds),
        "median_seconds": float(np.median(seconds)),
        "share_proven": sum(proven) / len(proven),
        "most_expansions": max(expansions),
    }


def _brute_force(bundle: Bundle, rng: np.random.Generator) -> dict[str, Any]:
    """The same sets, all of whose sentences are looked at, and whether the best ones agree."""
    agree, seconds = [], []
    for discount in (0.0, bundle.frequency_discount):
        picker = Picker(bundle, frequency_discount=discount)
        for spec in _sets(bundle, rng, LIKE_ANOTHER, num_bags=8, bag_size=5):
            started = time.monotonic()
            [every] = picker.beam([spec], beam_width=5**8)
            seconds.append(time.monotonic() - started)
            exact, best = picker.exact(spec).sentences[0], every.sentences[0]
            # Equal but for the rounding of products of another size.
            agree.append(exact.token_ids == best.token_ids or exact.score >= best.score - 1e-4)
    return {"seconds": max(seconds), "share_equal_to_exact": sum(agree) / len(agree)}


def _wide(bundle: Bundle, rng: np.random.Generator) -> dict[str, Any]:
    [spec] = _sets(bundle, rng, 1, num_bags=30, bag_size=1000)
    started = time.monotonic()
    [found] = Picker(bundle).beam([spec], beam_width=64)
    return {"seconds": time.monotonic() - started, "words": len(found.sentences[0].token_ids)}


def _many(bundle: Bundle, rng: np.random.Generator) -> dict[str, Any]:
    specs = _sets(bundle, rng, 10_000, num_bags=5, bag_size=5)
    started = time.monotonic()
    answers = sum(1 for _ in Picker(bundle).beam(specs, beam_width=64))
    seconds = time.monotonic() - started
    return {"seconds": seconds, "sets_per_second": answers / seconds}


CASES: dict[str, Callable[[Bundle, np.random.Generator], dict[str, Any]]] = {
    "exact, 8 bags of 5 words": _exact,
    "brute force, the same": _brute_force,
    "beam 64, 30 bags of 1,000 words": _wide,
    "beam 64, 10,000 sets of 5 bags of 5 words": _many,
}


def _sets(
    bundle: Bundle, rng: np.random.Generator, num_sets: int, *, num_bags: int, bag_size: int
) -> list[BagSpec]:
    """Bags of different words, drawn by corpus frequency."""
    share_V = bundle.vocabulary.word_frequency()
    return [
        BagSpec.of_words(
            [
                rng.choice(len(share_V), size=bag_size, replace=False, p=share_V).tolist()
                for _ in range(num_bags)
            ]
        )
        for _ in range(num_sets)
    ]


def _peak_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _line(result: dict[str, Any]) -> str:
    shown = {**result}
    case = shown.pop("case")
    for name in ("peak_memory_bytes", "peak_memory_bytes_before"):
        shown[name.replace("bytes", "MB")] = f"{shown.pop(name) / 1e6:,.0f}"
    facts = (f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in shown.items())
    return f"{case:<44} {', '.join(facts)}"


if __name__ == "__main__":
    main()
