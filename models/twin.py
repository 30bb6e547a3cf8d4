"""The twin: the trained model as a stepper over one lane, its state open to be looked at.

It reads a lane as training and evaluation do, token by token, and gives the same log-probabilities:

    twin = Twin(model)
    for book in books:
        twin.reset()                     a book opens: the state is the initial one
        for token_id in book:
            log_probs_V = twin.step(token_id)
            twin.state.hidden_LH         what the network carries along

Shapes: L layers, H width of the hidden state, V vocabulary.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from models.language_model import LanguageModel

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TwinState:
    """What is carried from token to token: a row a layer of what it says, and of what it keeps."""

    hidden_LH: Floats
    cell_LH: Floats

    def distance(self, other: "TwinState") -> float:
        """Euclidean distance between two states, over hidden and cell of all layers."""
        changes = (self.hidden_LH - other.hidden_LH, self.cell_LH - other.cell_LH)
        return float(np.sqrt(sum(np.square(change, dtype=np.float64).sum() for change in changes)))


class Twin:
    """A language model that reads one token at a time.

    Nothing is dropped while it reads.
    """

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self.reset()

    def reset(self) -> None:
        """Forget all that was read: the state is the initial one again."""
        self._state = self._model.initial_state(1)

    @torch.inference_mode()
    def step(self, token_id: int) -> Floats:
        """Read a token: the normalised log-probabilities, in nats, of what may follow it.

        Returns:
            log_probs_V in fp32; -inf for what never follows, `_nothing_` and `_start_`.

        Raises:
            ValueError: the vocabulary has no such token; the state stays as it was.
        """
        num_types = self._model.architecture.num_types
        if not 0 <= token_id < num_types:
            raise ValueError(f"token {token_id} is none of the {num_types} of the vocabulary")
        token_ids_11 = torch.tensor([[token_id]], device=self._model.device)
        hidden_11H, self._state = self._model(token_ids_11, self._state)
        log_probs_1V = self._model.softmax.log_probabilities(hidden_11H[:, 0])
        return np.asarray(log_probs_1V[0].cpu().numpy())

    @property
    def state(self) -> TwinState:
        """The state after the last token read: a copy, which later steps leave as it is."""
        hidden_LH, cell_LH = (part[:, 0].detach().cpu().numpy().copy() for part in self._state)
        return TwinState(hidden_LH, cell_LH)
