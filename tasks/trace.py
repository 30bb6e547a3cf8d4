"""Trace: a text -> what a language model expects, and what it carries along, at every token.

The text is cut as books are. The state starts afresh, reads the opening, and flows on to the end.
"""

from typing import Any

import numpy as np

from data.model_schemas import TRACE
from models.bundle import Bundle
from models.twin import Twin
from tasks.seams.drawing_trace import TracedText, draw_trace_png
from tasks.seams.registry import read_bundle
from tasks.seams.user_files import beside
from tasks.seams.user_text import read_text

NUM_PREDICTED = 5
LISTED = ("step", "token", "log_probability_nats", "entropy_nats", "state_change")


def trace(tracking_uri: str, model_uri: str | None, text: str, out: str) -> dict[str, Any]:
    """Write the table `trace` of a text and its picture: `bookloom trace`.

    Args:
        tracking_uri: MLflow's store.
        model_uri: a registered model; the champion by default.
        text: the text to read.
        out: the files' name: `.parquet` and `.png` are put behind it.

    Returns:
        `model`, `files` (paths of the `table` and the `picture`), `total_nats` of the text, and
        `steps`, the table's rows without their vectors.

    Raises:
        UserMistake: no such model, a text without a token, a place that cannot be written to.
    """
    uri, content = read_bundle(tracking_uri, model_uri)
    bundle = Bundle.from_bytes(content)
    columns = trace_columns(bundle, text)
    made_from = {
        "step": TRACE.written_by,
        "model": uri,
        "model_digest": bundle.digest(),
        "text": text,
    }
    with beside(out) as (store, name):
        with store.table_writer(f"{name}.parquet", TRACE, made_from) as writer:
            writer.write(columns)
        store.write_bytes(f"{name}.png", draw_trace_png(_picture(columns)))
        files = {"table": store.path(f"{name}.parquet"), "picture": store.path(f"{name}.png")}
    listed = [columns[column] for column in (*LISTED, "predicted_tokens")]
    return {
        "model": uri,
        "files": files,
        "total_nats": sum(columns["log_probability_nats"][1:]),
        "steps": [
            dict(zip((*LISTED, "predicted_tokens"), row, strict=True))
            for row in zip(*listed, strict=True)
        ],
    }


def trace_columns(bundle: Bundle, text: str) -> dict[str, list[Any]]:
    """The columns of `trace` for a text; its first row is the opening.

    Raises:
        UserMistake: the text holds no token.
    """
    tokens = bundle.vocabulary.tokens
    twin = Twin(bundle.model)
    log_probs_V, before = None, twin.state
    columns: dict[str, list[Any]] = {name: [] for name in TRACE.schema.names}
    for step, token_id in enumerate([bundle.opening_id, *read_text(bundle, text)]):
        row: dict[str, Any] = dict.fromkeys(columns)  # nothing predicted the opening
        if log_probs_V is not None:
            probabilities_V = np.exp(log_probs_V.astype(np.float64))
            possible = np.flatnonzero(probabilities_V)
            best = np.argsort(-probabilities_V, kind="stable")[:NUM_PREDICTED]
            row |= {
                "log_probability_nats": float(log_probs_V[token_id]),
                "entropy_nats": -float(probabilities_V[possible] @ log_probs_V[possible]),
                "predicted_tokens": [tokens[index] for index in best],
                "predicted_probabilities": probabilities_V[best].tolist(),
            }
        log_probs_V = twin.step(token_id)
        after = twin.state
        row |= {
            "step": step,
            "token": tokens[token_id],
            "hidden": list(after.hidden_LH),
            "cell": list(after.cell_LH),
            "state_change": after.distance(before),
        }
        before = after
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _picture(columns: dict[str, list[Any]]) -> TracedText:
    expected = [predicted[0] if predicted else None for predicted in columns["predicted_tokens"]]
    return TracedText(
        tokens=columns["token"],
        log_probability_nats=columns["log_probability_nats"],
        entropy_nats=columns["entropy_nats"],
        expected=expected,
        cells_TLH=np.array(columns["cell"]),
        state_changes=columns["state_change"],
    )
