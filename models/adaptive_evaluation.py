"""Evaluation that learns from the text as it reads it: a continuous cache, and dynamic evaluation.

Both predict every token before they see it. Their figures stand beside those of the static model,
never in their place.

Shapes: T targets of a lane, H width of the hidden state, W targets that the cache remembers.
"""

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from models.batching import Tokens, windows
from models.devices import handed_to
from models.evaluation import Nats
from models.language_model import LanguageModel, detach

BLOCK = 256


@torch.inference_mode()
def cache_log_probabilities(
    model: LanguageModel, lane: Tokens, flatness: Sequence[float], num_remembered: int
) -> tuple[Nats, Nats]:
    """What a cache of hidden states says of each counted target, beside what the model says.

    p_cache(w | h_t) is proportional to the sum of exp(flatness h_t . h_i) over the last W positions
    i after which w came: Grave, Joulin & Usunier 2017 (arXiv:1612.04426), equations 2 and 3.

    Returns:
        (nats_T of the model, log_probs_FT of the cache for each flatness; -inf where the word does
        not stand in it).
    """
    remembered_WH = torch.empty(0, model.architecture.hidden_width)
    followed_by_W = torch.empty(0, dtype=torch.int64)
    model_nats, cache_log_probs = [], []
    for hidden_TH, targets_T, nats_T in _predictions(model, lane):
        keys_WH = torch.cat([remembered_WH, hidden_TH])
        words_W = torch.cat([followed_by_W, targets_T])
        age_TW = len(remembered_WH) + torch.arange(len(hidden_TH))[:, None]
        age_TW = age_TW - torch.arange(len(keys_WH))
        is_past_TW = (age_TW > 0) & (age_TW <= num_remembered)
        alike_TW = hidden_TH @ keys_WH.T
        is_it_TW = is_past_TW & (words_W == targets_T[:, None])
        rows = []
        for value in flatness:
            logits_TW = (value * alike_TW).masked_fill(~is_past_TW, -torch.inf)
            norm_T = logits_TW.logsumexp(dim=1)
            found_T = logits_TW.masked_fill(~is_it_TW, -torch.inf).logsumexp(dim=1)
            rows.append(torch.where(norm_T.isfinite(), found_T - norm_T, found_T))
        model_nats.append(nats_T.double().numpy())
        cache_log_probs.append(torch.stack(rows).double().numpy())
        remembered_WH = keys_WH[-num_remembered:]
        followed_by_W = words_W[-num_remembered:]
    if not model_nats:
        return np.zeros(0), np.zeros((len(flatness), 0))
    return np.concatenate(model_nats), np.concatenate(cache_log_probs, axis=1)


def dynamic_nats(
    model: LanguageModel, lane: Tokens, *, learning_rate: float, decay: float, window_length: int
) -> Nats:
    """Nats of each counted target by a copy of the model that goes on learning as it reads.

    After each window a step down its gradient, then back towards the weights that it began with:
    Krause, Kahembwe, Murray & Renals 2018 (arXiv:1709.07432), with plain gradients clipped to
    length 1. `decay` is the share of the way back.
    """
    learner = copy.deepcopy(model).eval()
    if learner.device.type == "cuda":
        # cuDNN wants an LSTM's weights in one piece, and gives gradients in training alone.
        learner.lstm.train().flatten_parameters()
    weights = [p for p in learner.parameters() if p.requires_grad]
    start = [weight.detach().clone() for weight in weights]
    state, parts = learner.initial_state(1), []
    for window in windows([lane], window_length):
        nats_BT, state = learner.nats(window, detach(state))
        counted = nats_BT[handed_to(learner.device, window.counted_BT)]
        parts.append(counted.detach().double().cpu().numpy())
        if not len(counted):
            continue
        learner.zero_grad(set_to_none=True)
        counted.mean().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        with torch.no_grad():
            for weight, first in zip(weights, start, strict=True):
                if weight.grad is not None:
                    weight.sub_(weight.grad, alpha=learning_rate)
                # Biases of what is never predicted are -inf, and stay so.
                finite = first.isfinite()
                weight.copy_(torch.where(finite, weight.lerp(first, decay), weight))
    return np.concatenate(parts) if parts else np.zeros(0)


def _predictions(model: LanguageModel, lane: Tokens) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Of each block: (hidden_TH, targets_T, nats_T) of the counted targets."""
    state = model.initial_state(1)
    for window in windows([lane], BLOCK):
        hidden_BTH, state = model.read_window(window, state)
        counted_T = window.counted_BT[0]
        nats_BT = model.nats_of(hidden_BTH, window)
        yield (
            hidden_BTH[0].cpu()[counted_T],
            window.targets_BT[0][counted_T],
            nats_BT[0].cpu()[counted_T],
        )
