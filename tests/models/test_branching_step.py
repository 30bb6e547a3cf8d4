"""Many tokens read from one state equal each token read by itself."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from models.beginnings import take_rows
from models.branching_step import BranchingStep
from models.language_model import Architecture, LanguageModel
from models.special_tokens import END

ARCHITECTURE = Architecture(15, 6, 9, 1, (6, 9))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"num_layers": 2},
        {"tied": True},
        {"cutoffs": ()},
        {"initial_state": "learned"},
        {"at_sentence": "reset"},
        {"inputs": "one_hot", "embedding_width": 36},
    ],
    ids=str,
)
def test_branches_equal_single_steps(changes: dict[str, Any]) -> None:
    torch.manual_seed(4)
    architecture = replace(ARCHITECTURE, **changes)
    model = LanguageModel(architecture).eval()
    with torch.no_grad():
        model.embedding.weight.mul_(4.0)
        if architecture.initial_state == "learned":
            model.learned_state.normal_()
    shape = (architecture.num_layers, 3, 9)
    state = torch.randn(shape), torch.randn(shape)
    token_ids_N, row_N = torch.tensor([5, 14, END, 5, 7]), torch.tensor([2, 0, 0, 1, 2])
    asked_NK = torch.randint(2, 15, (5, 4))
    log_probs_NK, after = BranchingStep(model)(token_ids_N, state, row_N, asked_NK)
    expected_NK, expected = model.step(token_ids_N, take_rows(state, row_N), asked_NK)
    torch.testing.assert_close(log_probs_NK, expected_NK)
    for part, expected_part in zip(after, expected, strict=True):
        torch.testing.assert_close(part, expected_part)
