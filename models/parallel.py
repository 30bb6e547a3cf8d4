"""Training in several processes: torch's own distributed data parallel, lanes shared among ranks.

This process is rank 0 and yields the records; helpers make the same steps on their lanes and end
when it does. On a machine with GPUs each rank has one of its own.
"""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed
from torch.multiprocessing.spawn import spawn

from models.batching import Tokens
from models.devices import keep_fp32_whole
from models.language_model import LanguageModel
from models.recipe import Recipe
from models.speed import freed_memory_kept
from models.training import Training

Snapshot = tuple[Mapping[str, Tensor], Mapping[str, Any]]


@contextmanager
def shared_training(
    num_processes: int,
    model: LanguageModel,
    stream: Tokens,
    validation_lanes: Sequence[Tokens],
    recipe: Recipe,
    *,
    seed: int,
    snapshot: Snapshot | None,
) -> Iterator[Training]:
    """The training, restored from the snapshot if there is one, its lanes shared among processes.

    Raises:
        ValueError: as `Training` does; OtherTraining: as `Training.restore` does.
    """
    arguments = (model, stream, validation_lanes, recipe, seed, snapshot)
    if num_processes == 1:
        yield _training(*arguments)
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    helpers = spawn(  # type: ignore[no-untyped-call]
        _help,
        (num_processes, port, torch.get_num_threads(), arguments),
        nprocs=num_processes - 1,
        join=False,
    )
    try:
        _join(0, num_processes, port, model.device)
        try:
            yield _training(*arguments)
        finally:
            distributed.destroy_process_group()
    except BaseException:
        for process in helpers.processes:
            process.terminate()
        raise
    while not helpers.join():
        pass


@freed_memory_kept()
def _help(
    index: int, num_processes: int, port: int, num_threads: int, arguments: tuple[Any, ...]
) -> None:
    torch.set_num_threads(num_threads)
    keep_fp32_whole()
    model, *others = arguments
    rank = index + 1
    if model.device.type == "cuda":
        torch.cuda.set_device(rank)
        model = model.to(torch.device("cuda", rank))
    _join(rank, num_processes, port, model.device)
    for _ in _training(model, *others).run():
        pass
    distributed.destroy_process_group()


def _join(rank: int, num_processes: int, port: int, device: torch.device) -> None:
    backend = "nccl" if device.type == "cuda" else "gloo"
    address = f"tcp://127.0.0.1:{port}"
    distributed.init_process_group(backend, address, rank=rank, world_size=num_processes)


def _training(
    model: LanguageModel,
    stream: Tokens,
    validation_lanes: Sequence[Tokens],
    recipe: Recipe,
    seed: int,
    snapshot: Snapshot | None,
) -> Training:
    # Masks are drawn alike in every process, and each takes its lanes' rows.
    torch.manual_seed(seed)
    training = Training(model, stream, validation_lanes, recipe, seed=seed)
    if snapshot is not None:
        training.restore(dict(snapshot[0]), dict(snapshot[1]))
    return training
