"""What a token costs by hand, and a time budget turned into steps."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from models import speed
from models.language_model import Architecture, LanguageModel
from models.recipe import Recipe
from models.special_tokens import END, START, UNKNOWN
from models.training import Training

COUNTS = [0, 1, 9, 10, 30, 20, 10, 8, 6, 4, 1, 1]  # 12 types, 100 tokens


def test_operations_of_a_token_by_hand() -> None:
    model = LanguageModel(Architecture(12, 5, 7, 2, (8, 10)))
    lstm = 4 * 7 * (5 + 7) + 4 * 7 * (7 + 7)
    head = 7 * (8 + 2)
    # Tails are 8 wide at least; 0.10 of the tokens lie in the first, 0.02 in the second.
    tails = 0.10 * (7 * 8 + 8 * 2) + 0.02 * (7 * 8 + 8 * 2)
    assert speed.operations_per_token(model, COUNTS) == pytest.approx(6 * (lstm + head + tails))


def test_operations_of_a_token_of_a_tied_model_by_hand() -> None:
    model = LanguageModel(Architecture(12, 5, 7, 1, (8, 10), tied=True))
    lstm, projection, head = 4 * 7 * (5 + 7), 7 * 5, 5 * (8 + 2)
    tails = 0.10 * 5 * 2 + 0.02 * 5 * 2
    expected = 6 * (lstm + projection + head + tails)
    assert speed.operations_per_token(model, COUNTS) == pytest.approx(expected)


def test_a_matrix_product_takes_time() -> None:
    # Between a pocket calculator and the fastest accelerator there is.
    assert 1e6 < speed.matrix_product_speed(torch.device("cpu")) < 1e17


def test_bf16_is_taken_where_it_is_clearly_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    for fp32, bf16, chosen in ((100.0, 119.0, "fp32"), (100.0, 130.0, "bf16")):
        speeds = {"fp32": fp32, "bf16": bf16}
        monkeypatch.setattr(speed, "matrix_product_speed", lambda _, kind, s=speeds: s[kind])
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True)
        speed.fastest_number_type.cache_clear()
        assert speed.fastest_number_type("cpu") == chosen
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False)
    speed.fastest_number_type.cache_clear()
    assert speed.fastest_number_type("cpu") == "fp32"
    speed.fastest_number_type.cache_clear()


def test_steps_within_a_budget_on_a_slowed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step takes two seconds of a clock that only steps and validations move, a validation
    ten: of 1,000 seconds, 3 steps and a validation go to measuring."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    train_on = Training._train_on

    def slow_step(self: Training, window: object) -> None:
        train_on(self, window)  # type: ignore[arg-type]
        clock[0] += 2.0

    def slow_validation(model: object, lanes: list[object]) -> list[object]:
        clock[0] += 10.0 * bool(lanes)
        return []

    monkeypatch.setattr(Training, "_train_on", slow_step)
    monkeypatch.setattr(speed, "evaluate", slow_validation)
    monkeypatch.setattr(speed, "MEASURED_SHARE", 0.0)
    stream = np.random.default_rng(1).integers(UNKNOWN + 1, 12, 2001).astype(np.int32)
    stream[0], stream[4::4] = START, END
    recipe = Recipe(num_lanes=4, window_length=5)  # 100 steps an epoch
    model = LanguageModel(Architecture(12, 5, 7))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    steps = speed.steps_within(1000.0, model, stream, [stream], recipe)
    # 0.97 of the 984 seconds that are left, less the last validation, at 2 + 10 / 100 s a step.
    assert steps == int((0.97 * (1000.0 - 3 * 2.0 - 10.0) - 10.0) / 2.1) == 449
    often = replace(recipe, validate_every_steps=5)
    clock[0] = 0.0
    assert speed.steps_within(1000.0, model, stream, [stream], often) == 236
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
