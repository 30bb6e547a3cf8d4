"""How fast this machine can go, how much work a token is, and how many steps fit into a time."""

import copy
import ctypes
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import torch

from models.batching import Tokens
from models.evaluation import evaluate
from models.language_model import LanguageModel
from models.recipe import NumberType, Recipe
from models.training import Training

PRODUCT_WIDTHS = {"cpu": 2048, "cuda": 8192}  # large enough to keep all of it busy
PRODUCT_SECONDS = 0.5  # long enough for a processor to come down from its first burst
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of mallopt(3)
KEPT_BYTES = 2**29
USUALLY_KEPT_BYTES = 2**25  # what glibc's own threshold grows to
MEASURED_SHARE = 0.03  # of a time budget is spent on measuring
STEPS_TOGETHER = {"cpu": 1, "cuda": 50}  # a GPU is handed steps ahead: each takes its part of many
FASTER_ENOUGH = 1.2  # bf16 rounds more: it has to be worth it
SAFETY = 0.97  # of the time is planned for: machines slow down more often than they speed up


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """In the block the C library keeps what is freed, rather than give large blocks to the system.

    A step frees and takes again gradients of tens of megabytes, whose pages the system has to clear
    each time: with 33,000 types, a sixth of the time. Searches, whose blocks grow, would come to
    hold 300 MB more so, and gain nothing. Without glibc nothing happens.
    """
    _keep_below(KEPT_BYTES)
    try:
        yield
    finally:
        _keep_below(USUALLY_KEPT_BYTES)


def _keep_below(num_bytes: int) -> None:
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(M_MMAP_THRESHOLD, num_bytes)
        library.mallopt(M_TRIM_THRESHOLD, 2 * num_bytes)


def matrix_product_speed(device: torch.device, number_type: NumberType = "fp32") -> float:
    """Operations a second (a multiplication and an addition are two) of a large matrix product.

    What it keeps up: the median over half a second, with as many threads as torch is set to.
    """
    kind = torch.bfloat16 if number_type == "bf16" else torch.float32
    width = PRODUCT_WIDTHS[device.type]
    # A GPU is faster on numbers that are all alike, because they cost it less power.
    draw = torch.Generator(device).manual_seed(0)
    left, right = torch.rand((2, width, width), generator=draw, device=device, dtype=kind)
    durations: list[float] = []
    while len(durations) < 3 or sum(durations) < PRODUCT_SECONDS:
        started = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        durations.append(time.perf_counter() - started)
    return 2.0 * width**3 / float(np.median(durations))


def operations_per_token(model: LanguageModel, counts: Sequence[int]) -> float:
    """Operations of matrix products for a token in training: forward once, backward twice.

    Element by element work, dropout and the optimiser's pass are left out. A tail of the softmax
    costs what share of the training tokens (`counts` by id) lies in it.
    """
    a, softmax = model.architecture, model.softmax
    widths = [a.embedding_width] + [a.hidden_width] * (a.num_layers - 1)
    products = sum(4.0 * a.hidden_width * (width + a.hidden_width) for width in widths)
    counts_V = np.asarray(counts, dtype=np.float64)
    scored = a.embedding_width if a.tied else a.hidden_width
    products += a.hidden_width * a.embedding_width if a.tied else 0.0
    edges = softmax.edges
    products += scored * (edges[0] + len(edges) - 1)
    for index, (low, high) in enumerate(pairwise(edges)):
        share = counts_V[low:high].sum() / counts_V.sum()
        width = a.embedding_width if a.tied else softmax.tails[index].in_features
        products += share * width * (high - low + (0.0 if a.tied else a.hidden_width))
    return 6.0 * products


@cache
def fastest_number_type(device_type: str) -> NumberType:
    """bf16 where products are clearly faster in it: processors that have it may still not be."""
    device = torch.device(device_type)
    if device_type == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return "fp32"
    speeds = [matrix_product_speed(device, kind) for kind in ("fp32", "bf16")]
    return "bf16" if speeds[1] > FASTER_ENOUGH * speeds[0] else "fp32"


def steps_within(
    seconds: float,
    model: LanguageModel,
    stream: Tokens,
    validation_lanes: Sequence[Tokens],
    recipe: Recipe,
) -> int:
    """How many steps of the recipe, validations included, fit into a time; measured on a copy.

    The measuring is part of the time. Random state is left as it was.
    """
    started = time.monotonic()
    with torch.random.fork_rng():
        trial = copy.deepcopy(model)
        trial.lstm.flatten_parameters()  # on a GPU, a copy's are not in one piece
        endless = replace(
            recipe, num_steps=10**9, log_every_steps=STEPS_TOGETHER[model.device.type]
        )
        training = Training(trial, stream, [], endless, seed=0)
        durations: list[float] = []
        mark, step = time.monotonic(), 0
        for record in training.run():
            if record.step > step:
                durations.append((time.monotonic() - mark) / (record.step - step))
            enough = time.monotonic() - started > MEASURED_SHARE * seconds
            if len(durations) >= 3 and (enough or training.step >= _epoch(stream, recipe) - 1):
                break
            mark, step = time.monotonic(), record.step
        a_step = float(np.median(durations))
        mark = time.monotonic()
        evaluate(trial, validation_lanes)
        a_validation = time.monotonic() - mark
    left = SAFETY * (seconds - (time.monotonic() - started)) - a_validation
    every = recipe.validate_every_steps or _epoch(stream, recipe)
    return max(1, int(left / (a_step + a_validation / every)))


def _epoch(stream: Tokens, recipe: Recipe) -> int:
    columns = -(-(len(stream) - 1) // recipe.num_lanes)
    return max(1, -(-columns // recipe.window_length))
