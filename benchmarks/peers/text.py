"""What both peers share: the text as ids, the sizes, the command line, the figures they print.

Imports NumPy alone, so that it runs in any environment. Shapes: V types, N tokens.
"""

import argparse
import json
import resource
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

LINE_END, UNKNOWN = "<eos>", "<unk>"
LINE_END_ID, UNKNOWN_ID = 0, 1
NUM_UNITS, NUM_LAYERS, DROPOUT_PROBABILITY = 200, 2, 0.2
NUM_LANES, WINDOW_LENGTH = 20, 35
EVALUATION_WINDOW = 256  # one lane is read in longer windows: the same figures, sooner

TokenIds = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Text:
    """Three files as ids_N, one line after the other, each closed by `<eos>`."""

    num_types: int
    train: TokenIds
    validation: TokenIds
    test: TokenIds


def read_text(train: Path, validation: Path, test: Path) -> Text:
    """Read whitespace-tokenised files; words seen once in training and `<unk>` are unknown."""
    training_lines = _lines(train)
    counts = Counter(word for line in training_lines for word in line)
    known = sorted(
        (word for word, count in counts.items() if count >= 2 and word not in (LINE_END, UNKNOWN)),
        key=lambda word: (-counts[word], word),
    )
    id_of = {word: index for index, word in enumerate([LINE_END, UNKNOWN, *known])}

    def ids(lines: list[list[str]]) -> TokenIds:
        words = (word for line in lines for word in line)
        return np.array([id_of.get(word, UNKNOWN_ID) for word in words], dtype=np.int32)

    return Text(len(id_of), ids(training_lines), ids(_lines(validation)), ids(_lines(test)))


def lanes(ids_N: TokenIds) -> TokenIds:
    """NUM_LANES contiguous rows of equal length; what is left over is dropped."""
    num_columns = len(ids_N) // NUM_LANES
    if num_columns < 2:
        sys.exit(f"{len(ids_N)} tokens of training are too few for {NUM_LANES} lanes")
    return ids_N[: num_columns * NUM_LANES].reshape(NUM_LANES, num_columns)


def evaluation_pairs(ids_N: TokenIds) -> tuple[TokenIds, TokenIds]:
    """(inputs_N, targets_N) of one lane: every token is a target, the first after an `<eos>`."""
    return np.concatenate([[LINE_END_ID], ids_N[:-1]]).astype(np.int32), ids_N


def parse_arguments(description: str) -> argparse.Namespace:
    """The peers' command line; `device` is for PyTorch alone."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--train", "--valid", "--test"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="stop the epoch after so many")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="PyTorch's: cpu or cuda")
    return parser.parse_args()


def print_figures(text: Text, **figures: Any) -> None:
    """One JSON object on standard output; memory is the process's largest resident set."""
    figures |= {
        "vocabulary_size": text.num_types,
        "validation_tokens": len(text.validation),
        "test_tokens": len(text.test),
        "peak_memory_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
    }
    print(json.dumps(figures))


def _lines(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8") as file:
        return [[*line.split(), LINE_END] for line in file]
