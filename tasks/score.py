"""Score: a text -> nats for each of its tokens, by a language model.

The text is cut as books are; the state starts afresh and flows on over its sentences.
"""

from typing import Any

import torch

from models.bundle import Bundle
from models.picking import Picker
from tasks.seams.registry import read_bundle
from tasks.seams.user_text import read_text


def score(tracking_uri: str, model_uri: str | None, text: str) -> dict[str, Any]:
    """`score_text` by a registered model, whose URI is given as `model`: `bookloom score`."""
    uri, content = read_bundle(tracking_uri, model_uri)
    return {"model": uri, **score_text(Bundle.from_bytes(content), text)}


def score_text(bundle: Bundle, text: str) -> dict[str, Any]:
    """`tokens`, each with its log-probability in `nats` (at most 0), and `total_nats`.

    They are what sentences from bags are scored by: the language model's, mixed with those of the
    n-gram model where the bundle has one. Every sentence's `_end_` is included. A token outside the
    vocabulary is scored, and shown, as `_unknown_`.

    Raises:
        UserMistake: the text holds no token.
    """
    picker = Picker(bundle)
    previous, state, row_1, scored = picker.opening_id, picker.state, torch.tensor([0]), []
    for token_id in read_text(bundle, text):
        log_prob_11, state = picker.step(
            torch.tensor([previous]), state, row_1, torch.tensor([[token_id]])
        )
        scored.append({"token": bundle.vocabulary.tokens[token_id], "nats": float(log_prob_11)})
        previous = token_id
    return {"tokens": scored, "total_nats": sum(token["nats"] for token in scored)}
