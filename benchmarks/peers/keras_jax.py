"""A stateful Keras LSTM language model on JAX, as Keras's guides build one, and one repair.

    KERAS_BACKEND=jax python benchmarks/peers/keras_jax.py --train F --valid F --test F

Two layers of 200 units and a full softmax, dropout 0.2, Adam with Keras's defaults, one epoch.
Keras keeps the state inside its layers, one row of it for each row of the batch: so batch k + 1
must go on where batch k ended, row by row, and evaluation in one lane needs a twin with a batch of
one.

The repair: in Keras 3.15.1 `stateful=True` carries nothing in `fit`, `evaluate` and `predict` on
JAX. The state is kept out of the tracked variables, which are all that a compiled step hands on,
and so every batch silently starts from zeros. Tracking it is enough; the peer gets that help.

Shapes: B lanes, T columns of a window, C columns of a lane, V types, N tokens.
"""

import math
import sys
import time
from typing import Any

import keras
import numpy as np
from text import (
    DROPOUT_PROBABILITY,
    EVALUATION_WINDOW,
    NUM_LANES,
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


class CarryingLSTM(keras.layers.LSTM):
    """A stateful LSTM whose state is among its variables, and so is carried on JAX."""

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        """Make weights and state; count the state among the variables."""
        super().build(sequences_shape, initial_state_shape)
        for state in self.states:
            self._track_variable(state)


def stateful_lstm(num_types: int, num_lanes: int) -> keras.Model:
    """Ids_BT to logits_BTV; the state stays in the layers from call to call."""
    ids_BT = keras.Input(batch_shape=(num_lanes, None), dtype="int32")
    values_BTX = keras.layers.Embedding(num_types, NUM_UNITS)(ids_BT)
    for _ in range(NUM_LAYERS):
        values_BTX = keras.layers.Dropout(DROPOUT_PROBABILITY)(values_BTX)
        values_BTX = CarryingLSTM(NUM_UNITS, return_sequences=True, stateful=True)(values_BTX)
    values_BTX = keras.layers.Dropout(DROPOUT_PROBABILITY)(values_BTX)
    model = keras.Model(ids_BT, keras.layers.Dense(num_types)(values_BTX))
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


class Clock(keras.callbacks.Callback):
    """Times the steps after the first, which compiles; stops the epoch when its time is over."""

    def __init__(self, minutes: float | None) -> None:
        super().__init__()
        self.minutes = minutes
        self.num_steps = 0
        self.started = self.compiled = self.ended = time.monotonic()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        """Start."""
        self.started = time.monotonic()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Count; reading the loss waits for the step to be over, as a progress bar does."""
        float(logs["loss"])
        self.num_steps += 1
        self.ended = time.monotonic()
        if self.num_steps == 1:
            self.compiled = self.ended
        if self.minutes is not None and self.ended - self.started > 60 * self.minutes:
            self.model.stop_training = True


def stacked_windows(ids_BC: TokenIds) -> tuple[TokenIds, TokenIds]:
    """(inputs, targets), each [steps · B, T]: batches of B rows, each going on with the last one.

    A shorter window at the end is dropped, since every length is compiled anew.
    """
    num_steps = (ids_BC.shape[1] - 1) // WINDOW_LENGTH
    if not num_steps:
        sys.exit(f"lanes of {ids_BC.shape[1]} tokens are too short for windows of {WINDOW_LENGTH}")

    def stacked(part_BC: TokenIds) -> TokenIds:
        by_step = part_BC.reshape(NUM_LANES, num_steps, WINDOW_LENGTH).swapaxes(0, 1)
        return np.ascontiguousarray(by_step.reshape(-1, WINDOW_LENGTH))

    last = num_steps * WINDOW_LENGTH
    return stacked(ids_BC[:, :last]), stacked(ids_BC[:, 1 : last + 1])


def perplexity(twin: keras.Model, ids_N: TokenIds) -> float:
    """Of one lane, the state carried from its first token to its last, every token counted."""
    for layer in twin.layers:
        if isinstance(layer, CarryingLSTM):
            layer.reset_state()
    inputs, targets = evaluation_pairs(ids_N)
    whole = len(targets) // EVALUATION_WINDOW * EVALUATION_WINDOW
    nats = 0.0
    for span, width in (
        (slice(whole), EVALUATION_WINDOW),
        (slice(whole, None), len(targets) - whole),
    ):
        if len(targets[span]):
            shape = (-1, width)
            mean_nats = twin.evaluate(
                inputs[span].reshape(shape), targets[span].reshape(shape), batch_size=1, verbose=0
            )
            nats += mean_nats * len(targets[span])
    return math.exp(nats / len(targets))


def main() -> None:
    """Train, evaluate, print."""
    chosen = parse_arguments(__doc__)
    if keras.backend.backend() != "jax":
        sys.exit("set KERAS_BACKEND=jax")
    keras.utils.set_random_seed(chosen.seed)
    text = read_text(chosen.train, chosen.valid, chosen.test)
    model = stateful_lstm(text.num_types, NUM_LANES)
    inputs, targets = stacked_windows(lanes(text.train))
    clock = Clock(chosen.minutes)
    model.fit(inputs, targets, NUM_LANES, shuffle=False, verbose=0, callbacks=[clock])
    tokens_a_step = NUM_LANES * WINDOW_LENGTH
    rate = (clock.num_steps - 1) * tokens_a_step / max(clock.ended - clock.compiled, 1e-9)
    print(f"Keras stateful LSTM: {rate:,.0f} tokens/s", file=sys.stderr)
    twin = stateful_lstm(text.num_types, 1)
    for layer, trained in zip(twin.layers, model.layers, strict=True):
        for weight, value in zip(layer.trainable_weights, trained.trainable_weights, strict=True):
            weight.assign(np.asarray(value))  # a copy: compiled steps give their input away
    print_figures(
        text,
        peer="Keras stateful LSTM on JAX",
        version=keras.__version__,
        whole_epoch=clock.num_steps * NUM_LANES == len(inputs),
        tokens_per_second=rate,
        seconds=clock.ended - clock.started,
        validation_perplexity=perplexity(twin, text.validation),
        test_perplexity=perplexity(twin, text.test),
    )


if __name__ == "__main__":
    main()
