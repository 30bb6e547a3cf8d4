"""Checkpoints: whole, in order, few, and known when they are damaged."""

import logging
from pathlib import Path

import pytest
import torch

from data.store import Store
from tasks.seams.checkpoints import NUM_KEPT, Checkpoints


def made(folder: Path) -> Checkpoints:
    return Checkpoints(Store(str(folder)), "steps/train/key/checkpoints")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.safetensors"))


def test_the_newest_comes_back_as_it_was(tmp_path: Path) -> None:
    assert made(tmp_path).newest() is None
    tensors = {"a": torch.tensor([1.5, -0.0]), "b": torch.arange(6).view(2, 3).T}
    values = {"rows": [{"step": 7, "loss": 0.1}], "name": "é", "none": None}
    made(tmp_path).keep(7, {"a": torch.zeros(2)}, {})
    made(tmp_path).keep(1000, tensors, values)
    found = made(tmp_path).newest()
    assert found is not None
    assert found[1] == values
    assert found[0].keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(found[0][name], tensor)
    assert torch.signbit(found[0]["a"][1])


def test_old_ones_go(tmp_path: Path) -> None:
    for step in (5, 10, 200, 3000):
        made(tmp_path).keep(step, {"a": torch.full((1,), float(step))}, {"step": step})
    assert [int(path.name.split("-")[0]) for path in files(tmp_path)] == [200, 3000]
    assert len(files(tmp_path)) == NUM_KEPT
    made(tmp_path).clear()
    assert files(tmp_path) == []
    made(tmp_path).clear()


@pytest.mark.parametrize("damage", ["flip", "cut", "empty"])
def test_a_damaged_one_is_told_and_passed_over(
    damage: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for step in (5, 10):
        made(tmp_path).keep(step, {"a": torch.full((9,), float(step))}, {"step": step})
    newest = files(tmp_path)[-1]
    content = newest.read_bytes()
    flipped = content[:-3] + bytes([content[-3] ^ 16]) + content[-2:]
    newest.write_bytes({"flip": flipped, "cut": content[:-1], "empty": b""}[damage])
    with caplog.at_level(logging.WARNING, logger="bookloom"):
        found = made(tmp_path).newest()
    assert found is not None and found[1] == {"step": 5}
    assert f"{newest} is damaged" in caplog.text
    files(tmp_path)[-1].write_bytes(b"")
    assert made(tmp_path).newest() is None
