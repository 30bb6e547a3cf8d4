"""What a GPU is handed, and in which number types it computes.

A GPU works off what it has been handed while the CPU prepares what comes next. Whoever asks it for
a value waits until it is done with all before, and then it waits in turn. So what follows from
token ids alone (where books open, which targets count, which tail of the softmax they lie in) is
found on the CPU, where the ids come from, and handed over after that.
"""

import torch
from torch import Tensor


def handed_to(device: torch.device, values: Tensor) -> Tensor:
    """The values on a device. Nobody waits for them on their way to a GPU."""
    if device.type != "cuda" or values.device.type != "cpu":
        return values.to(device)
    # From memory that may be paged out, the driver copies while the program stands still.
    return values.contiguous().pin_memory().to(device, non_blocking=True)


def keep_fp32_whole() -> None:
    """Let a GPU's LSTM compute fp32 in fp32, for the rest of this process.

    By default cuDNN rounds the factors of its products to the 10 bits of TF32.
    """
    torch.backends.cudnn.rnn.fp32_precision = "ieee"  # type: ignore[attr-defined]


def autocast_type(device: torch.device) -> torch.dtype:
    """The number type of products on a device, as the autocast block around it says."""
    if torch.is_autocast_enabled(device.type):
        return torch.get_autocast_dtype(device.type)
    return torch.float32
