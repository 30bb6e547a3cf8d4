"""The settings of training, and the architecture and recipe that follow from them."""

from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, field_validator

from data.errors import UserMistake
from data.settings import Settings
from models.language_model import Architecture, Dropout, usable_cutoffs
from models.recipe import NumberType, Recipe
from models.speed import fastest_number_type


class DropoutSettings(Settings):
    """Probabilities of dropping."""

    inputs: float = Field(0.0, ge=0, lt=1)
    """Of the embeddings' numbers; one mask for a window (Gal & Ghahramani 2016)."""
    layers: float = Field(0.0, ge=0, lt=1)
    """Of what one LSTM layer gives to the next; likewise."""
    output: float = Field(0.0, ge=0, lt=1)
    """Of the LSTM's output; likewise."""
    types: float = Field(0.0, ge=0, lt=1)
    """Of whole words' vectors (Gal & Ghahramani 2016)."""
    recurrent: float = Field(0.0, ge=0, lt=1)
    """Of the weights from hidden state to hidden state (Merity, Keskar & Socher 2017)."""


class TrainSettings(Settings):
    """The language model and how it is trained."""

    embedding_width: int = 128
    """Numbers in a word's vector that is learned from nothing; others have their own width."""
    hidden_width: int = 256
    """Units of each LSTM layer."""
    num_layers: int = 1
    """LSTM layers."""
    cutoffs: tuple[int, ...] = (500, 3000)
    """Adaptive softmax: the first token id of each tail; none makes a full softmax."""
    tied: bool = False
    """Score words by the vectors that they are read by (Press & Wolf 2017)."""
    one_hot_inputs: bool = False
    """Read each word as a unit of its own, without a vector."""
    frozen_inputs: bool = False
    """Leave word2vec's or a file's vectors as they are."""
    initial_state: Literal["zeros", "learned"] = "zeros"
    """The state that texts begin with."""
    at_book: Literal["reset", "carry"] = "reset"
    """Whether a book begins from the initial state or from the state the one before it left."""
    at_section: Literal["reset", "carry"] = "carry"
    """The same for each section of a book; so it is then also evaluated."""
    state_drop_probability: float = Field(0.0, ge=0, lt=1)
    """Of a lane to begin a window from the initial state."""
    text: Literal["stream", "sentences"] = "stream"
    """Train on lanes with carried state, or on separate sentences, each from the initial state; so
    it is then also evaluated and used."""
    equal_sentences: bool = False
    """Of separate sentences: count each alike, however long."""
    dropout: DropoutSettings = DropoutSettings()
    """What is dropped while training."""
    activation_penalty: float = 0.0
    """Of the LSTM's squared output (Merity, McCann & Socher 2017)."""
    change_penalty: float = 0.0
    """Of its squared change from token to token (the same)."""
    average_decay: float = 0.0
    """Above 0: keep a moving average of the weights with this decay a step."""
    num_lanes: int = Field(32, ge=1)
    """Contiguous lanes that the corpus is cut into; fewer where it is too short."""
    window_length: int = Field(32, ge=1)
    """Tokens after which the gradient, but not the state, is cut."""
    window_spread: float = 0.0
    """Standard deviation of window lengths, the rate scaled with them (Merity et al. 2017)."""
    moving_lanes: bool = False
    """Cut the lanes at another place in each epoch."""
    num_epochs: float = Field(3.0, gt=0)
    """Passes over the training text."""
    minutes: float | None = Field(None, gt=0)
    """Train for so long instead: a number of steps, settled by measuring before the first."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many validations without a better one."""
    validate_every_steps: int | None = Field(None, ge=1)
    """Steps between validations; by default one an epoch."""
    learning_rate: float = 1e-2
    """Of AdamW, at its highest; it follows a cosine to zero."""
    warm_start_rate: float = Field(0.5, gt=0, le=1)
    """Share of the learning rate that a warm start takes: what was learned is to be kept."""
    warmup_steps: int = 50
    """Steps over which the rate climbs, at most a tenth of all."""
    weight_decay: float = 0.01
    """Of matrices, decoupled."""
    gradient_clip_norm: float = 1.0
    """Longer gradients are shortened to this."""
    number_type: Literal["auto", "fp32", "bf16"] = "auto"
    """Of products while training: bf16 where it is faster. Evaluation and use are fp32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train: auto takes a GPU if there is one."""
    num_processes: int = Field(1, ge=1)
    """Processes that share the lanes; with GPUs, one for each."""
    log_every_steps: int = Field(50, ge=1)
    """Steps between two rows of the training log."""
    checkpoint_seconds: float = 30.0
    """Time between two checkpoints, from which a killed run goes on."""

    @field_validator("cutoffs")
    @classmethod
    def _ascend(cls, cutoffs: tuple[int, ...]) -> tuple[int, ...]:
        for before, after in pairwise(cutoffs):
            if after <= before:
                raise ValueError(f"{after} comes after {before}: list the cut-offs in rising order")
        return cutoffs

    @property
    def sections_open(self) -> bool:
        """Whether each section of a book begins with a `_start_`."""
        return self.at_section == "reset"

    def architecture(self, num_types: int, embedding_width: int) -> Architecture:
        """The model for a vocabulary of this size and vectors of this width."""
        return Architecture(
            num_types=num_types,
            embedding_width=4 * self.hidden_width if self.one_hot_inputs else embedding_width,
            hidden_width=self.hidden_width,
            num_layers=self.num_layers,
            cutoffs=usable_cutoffs(self.cutoffs, num_types),
            tied=self.tied,
            initial_state=self.initial_state,
            at_sentence="reset" if self.text == "sentences" else "carry",
            inputs="one_hot" if self.one_hot_inputs else "vectors",
        )

    def recipe(self, num_tokens: int) -> Recipe:
        """The recipe for a training text of so many tokens."""
        names = Recipe.__dataclass_fields__.keys() & type(self).model_fields.keys()
        own = {name: getattr(self, name) for name in names - {"dropout", "number_type"}}
        return Recipe(
            **{**own, "num_lanes": self._fitting_lanes(num_tokens)},
            dropout=Dropout(**self.dropout.model_dump()),
            number_type=self.resolved_number_type(),
            separate_sentences=self.text == "sentences",
            resets=self.text == "sentences" or "reset" in (self.at_book, self.at_section),
        )

    def resolved_device(self) -> torch.device:
        """The device to train on.

        Raises:
            UserMistake: a GPU is asked for where there is none, or more processes than GPUs.
        """
        if self.device == "cuda" and not torch.cuda.is_available():
            raise UserMistake(
                "device is cuda, but torch finds no GPU here.",
                "Set device to cpu, or to auto, which takes what there is.",
            )
        if self.device == "cpu" or not torch.cuda.is_available():
            return torch.device("cpu")
        num_gpus = torch.cuda.device_count()
        if self.num_processes > num_gpus:
            raise UserMistake(
                f"num_processes is {self.num_processes}, but each needs a GPU of its own, and "
                f"torch finds {num_gpus} here.",
                f"Set num_processes to {num_gpus}, or device to cpu.",
            )
        return torch.device("cuda")

    def resolved_number_type(self) -> NumberType:
        """The number type to compute with.

        Raises:
            UserMistake: bf16 is asked for on a processor without it.
        """
        device = self.resolved_device()
        if self.number_type == "auto":
            return fastest_number_type(device.type)
        on_cpu = device.type == "cpu"
        if self.number_type == "bf16" and on_cpu and not has_bf16():
            raise UserMistake(
                "number_type is bf16, but this processor has no bf16 instructions.",
                "Set number_type to fp32, or to auto, which takes what is faster.",
            )
        return self.number_type

    def _fitting_lanes(self, num_tokens: int) -> int:
        if self.text == "sentences":
            return max(1, self.num_lanes // self.num_processes) * self.num_processes
        num_pairs = num_tokens - 1
        # A lane shorter than a window has no batch to carry its state to.
        num_lanes = min(self.num_lanes, max(1, num_pairs // self.window_length))
        # Lanes are equally long but for the last: it must not be left without a column.
        while num_lanes > 1 and -(-num_pairs // num_lanes) * (num_lanes - 1) >= num_pairs:
            num_lanes -= 1
        return max(1, num_lanes // self.num_processes) * self.num_processes


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 natively; it may be slower at it all the same."""
    return torch.cpu.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()
