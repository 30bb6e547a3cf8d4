"""Training in a group of processes (torch.distributed): which lanes are whose."""

import torch
from torch import Tensor, distributed

from models.language_model import State


class Ranks:
    """The share of the lanes that this process trains: all of them where it is alone."""

    def __init__(self, num_lanes: int) -> None:
        """Find this process's share.

        Raises:
            ValueError: the lanes cannot be shared evenly among the processes.
        """
        together = distributed.is_available() and distributed.is_initialized()
        self.size = distributed.get_world_size() if together else 1
        rank = distributed.get_rank() if together else 0
        if num_lanes % self.size:
            raise ValueError(
                f"{num_lanes} lanes cannot be shared evenly among {self.size} processes"
            )
        self.num_own = num_lanes // self.size
        self.first, self.last = rank * self.num_own, (rank + 1) * self.num_own

    def summed(self, values: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            distributed.all_reduce(values)
        return values

    def own(self, part_LBH: Tensor) -> Tensor:
        """Of a state of all lanes, the rows of this process."""
        return part_LBH[:, self.first : self.last].contiguous()

    def gathered(self, state: State) -> State:
        """The state of all lanes."""
        if self.size == 1:
            return state
        gathered = []
        for part in state:
            parts = [torch.empty_like(part) for _ in range(self.size)]
            distributed.all_gather(parts, part.contiguous())
            gathered.append(torch.cat(parts, dim=1))
        return tuple(gathered)
