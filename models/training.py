"""Stateful training: truncated back-propagation through time along contiguous lanes.

input   one run of token ids (books in order, each opened by `_start_`), a model, a recipe
does    cuts it into lanes; window by window, carries the state, cuts the gradient, steps
output  records as it goes; afterwards the model holds the weights of the best validation loss

Werbos, Backpropagation through time, Proc. IEEE 1990; Williams & Peng 1990 for the truncated form.

Everything that the next step depends on is in `Training.snapshot()`: a training restored from it
goes on with the same bits. In a group of processes (torch.distributed) each trains its share of the
lanes, and all make the same step.
"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from models.batching import Tokens, Window
from models.devices import handed_to
from models.epochs import Epoch, steps_per_epoch
from models.evaluation import MOST_NATS, Loss, evaluate, total
from models.language_model import LanguageModel, Masks, State, detach
from models.ranks import Ranks
from models.recipe import Recipe, learning_rate, make_optimiser


class TrainingDiverged(ValueError):
    """The loss is no longer a number, or beyond all that a perplexity can be told of."""


class OtherTraining(ValueError):
    """A snapshot is not of this training."""


@dataclass(frozen=True)
class Record:
    """One row of the training log."""

    step: int
    num_steps: int
    tokens_seen: int
    elapsed_seconds: float
    split: Literal["train", "validation"]
    loss: Loss
    learning_rate: float
    gradient_norm: float | None
    tokens_per_second: float | None


class Training:
    """One training, from its first step or from a snapshot to its end."""

    def __init__(
        self,
        model: LanguageModel,
        stream: Tokens,
        validation_lanes: Sequence[Tokens],
        recipe: Recipe,
        *,
        seed: int = 0,
    ) -> None:
        """Prepare; masks of dropout come from torch's global random state, the order of batches,
        lanes and lengths from `seed`.

        Raises:
            ValueError: the stream is too short for the recipe's lanes, or these cannot be shared
                among the processes.
        """
        self.model, self.recipe = model, recipe
        self.num_steps = recipe.num_steps or max(
            1, round(recipe.num_epochs * steps_per_epoch(stream, recipe))
        )
        self.step = self.tokens_seen = self.epoch = self.window_index = 0
        self.best_loss, self.bad_validations, self.validated_step = math.inf, 0, 0
        self._stream, self._validation, self._seed = stream, validation_lanes, seed
        self._ranks = Ranks(recipe.num_lanes)
        self._optimiser = make_optimiser(model, recipe)
        self._objective: nn.Module = _Objective(model, recipe)
        if self._ranks.size > 1:
            # A tail of the softmax that no target of a window lies in has no gradient.
            self._objective = DistributedDataParallel(self._objective, find_unused_parameters=True)
        self._average = _weights(model) if recipe.average_decay else None
        self._best = _weights(model)
        self._state: State | None = None
        self._state_of_all: State = ()
        self._windows: Iterator[Window] | None = None
        self._num_windows = 0
        self._tally = _Tally()
        self._elapsed_before, self._started = 0.0, time.monotonic()
        self.learning_rate = 0.0

    @property
    def elapsed_seconds(self) -> float:
        """Since training began, the time between a snapshot and its restoring left out."""
        return self._elapsed_before + time.monotonic() - self._started

    def run(self) -> Iterator[Record]:
        """Train, yielding one record every `log_every_steps` and one a validation.

        Validation comes at the end of each epoch or as the recipe says, and at the end. When the
        iterator ends, the model holds the weights that validated best.

        Raises:
            TrainingDiverged: the loss became NaN, infinite, or so large that it has no perplexity;
                the message names the step.
        """
        while True:
            if self._validation_is_due():
                yield self._validate()
            if self.step == self.num_steps or self._has_stopped():
                break
            self._train()
            if self.step % self.recipe.log_every_steps == 0 or self._validation_is_due():
                yield self._log()
        self.model.load_state_dict(self._best)
        self.model.eval()

    def snapshot(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that the rest of the training depends on: (tensors by name, plain values).

        Valid between two records of `run`.
        """
        tensors = {f"model.{k}": v for k, v in _weights(self.model).items()}
        tensors |= {f"best.{k}": v for k, v in self._best.items()}
        tensors |= {f"average.{k}": v for k, v in (self._average or {}).items()}
        for index, values in self._optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v.clone() for k, v in values.items()}
        for name, part in zip(("hidden", "cell"), self._state_of_all, strict=False):
            tensors[f"state.{name}"] = part.clone()
        tensors["random.cpu"] = torch.get_rng_state()
        if self.model.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.model.device)
        values = {name: getattr(self, name) for name in _COUNTERS}
        values |= {
            "best_loss": None if math.isinf(self.best_loss) else self.best_loss,
            "elapsed_seconds": self.elapsed_seconds,
            "num_steps": self.num_steps,
            "recipe": self.recipe.as_json(),
            "architecture": self.model.architecture.as_json(),
        }
        return tensors, values

    def restore(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Go back to a snapshot.

        Raises:
            OtherTraining: it is of another recipe, architecture or number of steps.
        """
        own = {
            "recipe": self.recipe.as_json(),
            "architecture": self.model.architecture.as_json(),
            "num_steps": self.num_steps,
        }
        for name, value in own.items():
            if _plain(values[name]) != _plain(value):
                raise OtherTraining(
                    f"the snapshot is of another {name}: {values[name]}, not {value}"
                )
        for name in _COUNTERS:
            setattr(self, name, values[name])
        self.best_loss = math.inf if values["best_loss"] is None else values["best_loss"]
        self.model.load_state_dict(_beginning_with("model.", tensors))
        self._best = _beginning_with("best.", tensors)
        average = _beginning_with("average.", tensors)
        self._average = {k: v.to(self.model.device) for k, v in average.items()} or None
        settings = self._optimiser.state_dict()
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in _beginning_with("optimiser.", tensors).items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor.clone()
        self._optimiser.load_state_dict({**settings, "state": moments})
        if "state.hidden" in tensors:
            parts = (tensors["state.hidden"], tensors["state.cell"])
            self._state_of_all = tuple(part.to(self.model.device) for part in parts)
            self._state = tuple(self._ranks.own(part) for part in self._state_of_all)
        self._windows = None
        torch.set_rng_state(tensors["random.cpu"])
        if "random.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["random.cuda"], self.model.device)
        self._elapsed_before, self._started = values["elapsed_seconds"], time.monotonic()

    def _next_window(self) -> Window:
        if self._windows is None:
            plan = Epoch(self._stream, self.recipe, (self._seed, self.epoch))
            self._num_windows = plan.num_windows
            self._windows = plan.windows(self.window_index)
            if self.window_index == 0 or self._state is None:
                self._state = self.model.initial_state(self._ranks.num_own)
        self.window_index += 1
        window = next(self._windows)
        if self.window_index == self._num_windows:
            self.epoch, self.window_index, self._windows = self.epoch + 1, 0, None
        return window

    def _train(self) -> None:
        started = time.monotonic()
        self._train_on(self._next_window())
        self._tally.seconds += time.monotonic() - started

    def _train_on(self, window: Window) -> None:
        recipe, model = self.recipe, self.model
        model.train()
        length = window.inputs_BT.shape[1]
        self.learning_rate = learning_rate(recipe, self.step, self.num_steps, length)
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate
        masks = model.draw_masks(recipe.num_lanes, recipe.dropout)
        dropped_B = torch.rand(recipe.num_lanes) < recipe.state_drop_probability
        count = int(window.counted_BT.sum())
        weight = float(window.weight_BT.sum())
        first, last = self._ranks.first, self._ranks.last
        window, masks = window.rows(first, last), masks.rows(first, last)
        assert self._state is not None
        state = model.reset(detach(self._state), dropped_B[first:last])
        with _number_type(recipe, model.device):
            nats, penalty, state = self._objective(window, state, masks)
        self._state = detach(state)
        # DistributedDataParallel takes the mean over processes; ours is the sum over all lanes.
        loss = nats * (self._ranks.size / max(weight, 1.0)) + penalty
        self._optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), recipe.gradient_clip_norm)
        self._optimiser.step()
        if self._average is not None:
            self._follow(self._average)
        self.step += 1
        self.tokens_seen += count
        self._tally.add(nats.detach(), weight, count, norm)

    @torch.no_grad()
    def _follow(self, average: dict[str, Tensor]) -> None:
        # Early on the average must not remember the random start.
        decay = min(self.recipe.average_decay, (1.0 + self.step) / (10.0 + self.step))
        for name, value in self.model.state_dict().items():
            finite = value.isfinite()  # biases of what is never predicted are not
            average[name].copy_(torch.where(finite, average[name].lerp(value, 1.0 - decay), value))

    def _log(self) -> Record:
        started = time.monotonic()
        nats = self._ranks.summed(self._tally.nats()).cpu()
        # A GPU may have steps left to do: they take their time here.
        self._tally.seconds += time.monotonic() - started
        first_step = self.step - len(nats) + 1
        for offset, value in enumerate(nats.tolist()):
            if not math.isfinite(value):
                raise TrainingDiverged(
                    f"the loss is {value} at step {first_step + offset} of {self.num_steps}"
                )
        assert self._state is not None
        self._state_of_all = self._ranks.gathered(self._state)
        tally, self._tally = self._tally, _Tally()
        return self._record(
            "train",
            Loss(float(nats.sum()), tally.weight),
            tally.gradient_norm,
            tally.num_tokens / max(tally.seconds, 1e-9),
        )

    def _validate(self) -> Record:
        trained = _weights(self.model)
        weights = _copies(self._average) if self._average is not None else trained
        self.model.load_state_dict(weights)
        self.model.eval()
        loss = total(evaluate(self.model, self._validation))
        self.model.load_state_dict(trained)
        if not math.isfinite(loss.nats):
            raise TrainingDiverged(
                f"the validation loss is {loss.nats} at step {self.step} of {self.num_steps}"
            )
        self.bad_validations += 1
        if loss.nats_per_token < self.best_loss:
            self._best, self.best_loss, self.bad_validations = weights, loss.nats_per_token, 0
        self.validated_step = self.step
        return self._record("validation", loss, None, None)

    def _validation_is_due(self) -> bool:
        if self.step == self.validated_step:
            return False
        if self.step == self.num_steps:
            return True
        every = self.recipe.validate_every_steps
        return self.step % every == 0 if every else self.window_index == 0

    def _has_stopped(self) -> bool:
        patience = self.recipe.patience
        return patience is not None and self.bad_validations >= patience

    def _record(
        self,
        split: Literal["train", "validation"],
        loss: Loss,
        gradient_norm: float | None,
        tokens_per_second: float | None,
    ) -> Record:
        if loss.nats_per_token > MOST_NATS:
            raise TrainingDiverged(
                f"the {split} loss is {loss.nats_per_token:.0f} nats a token at step {self.step} "
                f"of {self.num_steps}"
            )
        return Record(
            self.step,
            self.num_steps,
            self.tokens_seen,
            self.elapsed_seconds,
            split,
            loss,
            self.learning_rate,
            gradient_norm,
            tokens_per_second,
        )


_COUNTERS = (
    "step",
    "tokens_seen",
    "epoch",
    "window_index",
    "bad_validations",
    "validated_step",
    "learning_rate",
)


class _Objective(nn.Module):
    """What a step minimises: (sum of weighted nats, penalty, state after the window)."""

    def __init__(self, model: LanguageModel, recipe: Recipe) -> None:
        super().__init__()
        self.model = model
        self._recipe = recipe

    def forward(self, window: Window, state: State, masks: Masks) -> tuple[Tensor, Tensor, State]:
        hidden_BTH, state = self.model.read_window(window, state, masks, resets=self._recipe.resets)
        nats_BT = self.model.nats_of(hidden_BTH, window, masks)
        penalty = nats_BT.new_zeros(())
        if self._recipe.activation_penalty:
            penalty = penalty + self._recipe.activation_penalty * hidden_BTH.float().pow(2).mean()
        if self._recipe.change_penalty and hidden_BTH.shape[1] > 1:
            change = (hidden_BTH[:, 1:] - hidden_BTH[:, :-1]).float()
            penalty = penalty + self._recipe.change_penalty * change.pow(2).mean()
        weight_BT = handed_to(self.model.device, window.weight_BT)
        return (nats_BT * weight_BT).sum(), penalty, state


class _Tally:
    """Sums between two records; nothing is fetched from the device before the record."""

    def __init__(self) -> None:
        self._nats: list[Tensor] = []
        self._norms: list[Tensor] = []
        self.weight, self.num_tokens, self.seconds = 0.0, 0, 0.0

    def add(self, nats: Tensor, weight: float, count: int, norm: Tensor) -> None:
        self._nats.append(nats)
        self._norms.append(norm)
        self.weight += weight
        self.num_tokens += count

    def nats(self) -> Tensor:
        """The summed nats of each step, in float64."""
        return torch.stack(self._nats).double()

    @property
    def gradient_norm(self) -> float:
        return float(torch.stack(self._norms).double().mean())


def _number_type(recipe: Recipe, device: torch.device) -> AbstractContextManager[object]:
    if recipe.number_type == "bf16":
        return torch.autocast(device.type, dtype=torch.bfloat16)
    return nullcontext()


def _weights(model: LanguageModel) -> dict[str, Tensor]:
    return _copies(model.state_dict())


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in tensors.items()}


def _beginning_with(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
