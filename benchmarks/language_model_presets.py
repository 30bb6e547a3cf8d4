"""The sizes and recipes of benchmarks/language_model.py."""

from typing import Any

COMMON: dict[str, Any] = {
    "layers": 1,
    "type_dropout": 0.0,
    "recurrent_dropout": 0.0,
    "word2vec_epochs": 0,
    "validate_every": None,  # an epoch
}
PRESETS: dict[str, dict[str, Any]] = {
    "fast": {
        "embedding": 128,
        "hidden": 224,
        "tied": False,
        "cutoffs": [500, 3000],
        "rate": 1e-2,
        "dropout": 0.0,
        "lanes": 32,
        "window": 32,
    },
    "thorough": {
        "embedding": 256,
        "hidden": 384,
        "tied": True,
        "cutoffs": [500, 3000],
        "rate": 8e-3,
        "dropout": 0.3,
        "lanes": 32,
        "window": 32,
    },
    "large": {
        "embedding": 256,
        "hidden": 512,
        "tied": True,
        "cutoffs": [500, 5000, 15000],
        "rate": 1e-2,
        "dropout": 0.25,
        "lanes": 64,
        "window": 32,
        "word2vec_epochs": 3,
    },
    # The dropout of AWD-LSTM (Merity, Keskar & Socher 2017), widths that a GPU likes.
    "gpu": {
        "embedding": 512,
        "hidden": 1024,
        "layers": 3,
        "tied": True,
        "cutoffs": [],
        "rate": 3e-3,
        "dropout": 0.4,
        "type_dropout": 0.1,
        "recurrent_dropout": 0.5,
        "lanes": 128,
        "window": 64,
        "validate_every": 1000,
    },
    "characters": {
        "embedding": 64,
        "hidden": 384,
        "tied": False,
        "cutoffs": [],
        "rate": 8e-3,
        "dropout": 0.05,
        "lanes": 64,
        "window": 50,
    },
}
