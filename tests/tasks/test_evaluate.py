"""What the settings of evaluation refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from tasks.evaluate import EvaluateSettings


@pytest.mark.parametrize(
    ("setting", "value", "place"),
    [
        ("ngram_order", -1, ("ngram_order",)),
        ("ngram_order", 7, ("ngram_order",)),
        ("contexts", (0, 257), ("contexts", 1)),
        ("contexts", (-1,), ("contexts", 0)),
    ],
)
def test_what_cannot_be_evaluated_is_refused_beforehand(
    setting: str, value: Any, place: tuple[Any, ...]
) -> None:
    with pytest.raises(ValidationError) as refused:
        EvaluateSettings(**{setting: value})
    [error] = refused.value.errors()
    assert error["loc"] == place


def test_the_edges_are_taken() -> None:
    assert EvaluateSettings(ngram_order=0, contexts=(0, 256)).contexts == (0, 256)
    assert EvaluateSettings(ngram_order=6).ngram_order == 6
