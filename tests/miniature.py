"""The run that most tests of flows look at: the whole pipeline on miniature books."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any


def tiny_settings(shelf: Path, store: Path | str) -> dict[str, Any]:
    """Settings under which the whole pipeline takes seconds."""
    return {
        "name": "miniature",
        "store": str(store),
        "seed": 7,
        "num_threads": 1,
        "read": {"books": [str(shelf)]},
        "train": {
            "num_epochs": 4,
            "embedding_width": 16,
            "hidden_width": 24,
            "num_lanes": 4,
            "window_length": 16,
            "learning_rate": 0.01,
            "number_type": "fp32",
            "dropout": {"inputs": 0.1, "output": 0.1},
            "log_every_steps": 10,
        },
        "tune": {"num_sentences": 10, "beam_width": 8, "cache_flatness": (0.3, 1.0)},
        "recover": {"num_sentences": 30, "beam_width": 8, "num_examples": 5},
        "weigh": {"minimum_texts": 2},
        "cluster": {
            "num_clusters": 3,
            "recipe": {"epochs": 2, "hidden_widths": [8], "code_width": 4},
        },
        "judge": {"num_seeds": 2},
    }


@dataclass(frozen=True)
class MiniatureRun:
    """A finished run: what it was told and what it told."""

    settings: dict[str, Any]
    store: Path
    tracking_uri: str
    summary: dict[str, Any]


def digests(summary: dict[str, Any]) -> dict[str, str]:
    """The digests of all tables and of the language model."""
    tables = {name: table["digest"] for name, table in summary["tables"].items()}
    return {**tables, "model": summary["model"]["digest"]}
