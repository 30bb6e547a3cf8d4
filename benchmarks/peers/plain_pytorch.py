"""A plain PyTorch LSTM language model, as most people write it first.

    python benchmarks/peers/plain_pytorch.py --train F --valid F --test F [--device cuda]

Two layers of 200 units and a full softmax; plain gradient descent at a rate of 20, clipped at 0.25,
dropout 0.2: the sizes and the recipe of PyTorch's word_language_model example. One epoch.

Shapes: B lanes, T columns of a window, V types.
"""

import math
import sys
import time

import torch
from text import (
    DROPOUT_PROBABILITY,
    EVALUATION_WINDOW,
    NUM_LAYERS,
    NUM_UNITS,
    WINDOW_LENGTH,
    TokenIds,
    evaluation_pairs,
    lanes,
    parse_arguments,
    print_figures,
    read_text,
)
from torch import Tensor, nn

LEARNING_RATE, GRADIENT_CLIP_NORM, INITIAL_RANGE = 20.0, 0.25, 0.1

State = tuple[Tensor, Tensor]


class PlainLSTM(nn.Module):
    """Embedding, LSTM, full softmax; columns come first, as torch's LSTM likes them."""

    def __init__(self, num_types: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(DROPOUT_PROBABILITY)
        self.embedding = nn.Embedding(num_types, NUM_UNITS)
        self.lstm = nn.LSTM(NUM_UNITS, NUM_UNITS, NUM_LAYERS, dropout=DROPOUT_PROBABILITY)
        self.output = nn.Linear(NUM_UNITS, num_types)
        nn.init.uniform_(self.embedding.weight, -INITIAL_RANGE, INITIAL_RANGE)
        nn.init.uniform_(self.output.weight, -INITIAL_RANGE, INITIAL_RANGE)
        nn.init.zeros_(self.output.bias)

    def forward(self, ids_TB: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Logits_TBV of the next tokens, and the state after the last column."""
        hidden_TBH, state = self.lstm(self.dropout(self.embedding(ids_TB)), state)
        return self.output(self.dropout(hidden_TBH)), state


def train(model: PlainLSTM, ids_CB: Tensor, minutes: float | None) -> tuple[int, float, bool]:
    """One epoch over all C columns: (tokens, seconds, whether it was whole)."""
    model.train()
    state, num_tokens, started = None, 0, time.monotonic()
    num_pairs = len(ids_CB) - 1
    for first in range(0, num_pairs, WINDOW_LENGTH):
        width = min(WINDOW_LENGTH, num_pairs - first)
        inputs_TB = ids_CB[first : first + width]
        targets_TB = ids_CB[first + 1 : first + 1 + width]
        state = None if state is None else (state[0].detach(), state[1].detach())
        logits_TBV, state = model(inputs_TB, state)
        loss = nn.functional.cross_entropy(logits_TBV.flatten(0, 1), targets_TB.flatten())
        model.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), GRADIENT_CLIP_NORM)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(parameter.grad, alpha=-LEARNING_RATE)
        num_tokens += targets_TB.numel()
        if minutes is not None and time.monotonic() - started > 60 * minutes:
            break
    loss.item()  # on a GPU, wait for the last step
    whole = first + width == num_pairs
    return num_tokens, time.monotonic() - started, whole


@torch.inference_mode()
def perplexity(model: PlainLSTM, ids_N: TokenIds, device: str) -> float:
    """Of one lane, the state carried from its first token to its last, every token counted."""
    model.eval()
    inputs, targets = (torch.from_numpy(part).long() for part in evaluation_pairs(ids_N))
    state, nats = None, 0.0
    for inputs_T, targets_T in zip(
        inputs.to(device).split(EVALUATION_WINDOW),
        targets.to(device).split(EVALUATION_WINDOW),
        strict=True,
    ):
        logits_T1V, state = model(inputs_T[:, None], state)
        nats += float(nn.functional.cross_entropy(logits_T1V[:, 0], targets_T, reduction="sum"))
    return math.exp(nats / len(targets))


def main() -> None:
    """Train, evaluate, print."""
    chosen = parse_arguments(__doc__)
    torch.set_num_threads(chosen.threads)
    torch.manual_seed(chosen.seed)
    text = read_text(chosen.train, chosen.valid, chosen.test)
    model = PlainLSTM(text.num_types).to(chosen.device)
    ids_CB = torch.from_numpy(lanes(text.train)).long().t().contiguous().to(chosen.device)
    num_tokens, seconds, whole = train(model, ids_CB, chosen.minutes)
    print(f"plain PyTorch LSTM: {num_tokens / seconds:,.0f} tokens/s", file=sys.stderr)
    print_figures(
        text,
        peer="plain PyTorch LSTM",
        version=torch.__version__,
        whole_epoch=whole,
        tokens_per_second=num_tokens / seconds,
        seconds=seconds,
        validation_perplexity=perplexity(model, text.validation, chosen.device),
        test_perplexity=perplexity(model, text.test, chosen.device),
    )


if __name__ == "__main__":
    main()
