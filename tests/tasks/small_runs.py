"""A run of three small steps, so that what a store holds can be looked at in milliseconds.

weights (metrics, weights.bin) -> words (refusals) -> names (warm_start_sections)
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from data.book_schemas import REFUSALS
from data.errors import UserMistake
from data.model_schemas import METRICS, WARM_START_SECTIONS
from data.settings import Settings
from data.store import Store
from tasks.seams.newest_run import RUNS
from tasks.seams.run_context import open_run
from tasks.seams.run_records import Made, recorded
from tasks.seams.step_cache import StepRun, step
from tasks.seams.unfinished import UNFINISHED

CALLS: list[str] = []
SHIFT = {"by": 0.0}  # what no key knows of


class WeightsSettings(Settings):
    factor: int = 2


class WordsSettings(Settings):
    greeting: str = "hail"


class NamesSettings(Settings):
    num_names: int = 3


@step(writes=(METRICS,))
def weights(run: StepRun, settings: WeightsSettings) -> None:
    CALLS.append("weights")
    values = [settings.factor * i + SHIFT["by"] for i in range(5000)]
    names = [str(i) for i in range(5000)]
    run.write(METRICS, {"metric": names, "value": values, "clocked": [None] * 5000})
    run.write_file("weights.bin", bytes(range(256)) * settings.factor, "logical")
    run.settled("num_steps", lambda: 100 + len(CALLS))


@step(reads=(METRICS,), reads_files=("weights.bin",), writes=(REFUSALS,))
def words(run: StepRun, settings: WordsSettings) -> None:
    CALLS.append("words")
    total = f"{settings.greeting} {sum(run.read(METRICS)['value'].to_pylist())}"
    size = len(run.read_file("weights.bin"))
    text = {name: [total] for name in ("source", "step", "reason", "remedy")}
    run.write(REFUSALS, {**text, "offset": [size]})


@step(reads=(REFUSALS,), writes=(WARM_START_SECTIONS,))
def names(run: StepRun, settings: NamesSettings) -> None:
    CALLS.append("names")
    try:
        [told] = run.read(REFUSALS)["source"].to_pylist()
    except ValueError as error:  # as a step may take it
        raise UserMistake(f"These are no words: {error}.", "Add text.") from error
    digests = [hashlib.sha256(f"{told}{i}".encode()).hexdigest() for i in range(settings.num_names)]
    run.write(WARM_START_SECTIONS, {"sha256": digests})


def small_run(
    folder: Path | str,
    factor: int = 2,
    greeting: str = "hail",
    num_names: int = 3,
    model: str = "m",
) -> dict[str, Any]:
    """The summary of a run; `CALLS` has the steps that worked in it."""
    CALLS.clear()
    started = time.time()
    with open_run(
        "small",
        store=str(folder),
        tracking_uri=None,
        seed=1,
        num_threads=1,
        settings={"factor": factor, "greeting": greeting, "num_names": num_names, "num_threads": 1},
    ) as context:
        one = weights.fn(context, WeightsSettings(factor=factor))
        two = words.fn(context, WordsSettings(greeting=greeting), one)
        three = names.fn(context, NamesSettings(num_names=num_names), two)
        made = Made(context, [one, two, three])
        return recorded(context, made, started, {"model": {"uri": None, "digest": model}})


def names_and_one_that_goes(true_names: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """`Store.names` as it is when a note and a record are removed before they are read."""

    def names(store: Store, folder: str) -> list[str]:
        gone = [f"{folder}/0.json"] if folder in (RUNS, UNFINISHED) else []
        return [*gone, *true_names(store, folder)]

    return names


def flip(path: Path, place: float = 0.3) -> None:
    """Turn a bit of a file."""
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x10
    path.write_bytes(content)


def table_path(summary: dict[str, Any], table: str) -> Path:
    """Where a table of a run stands."""
    return Path(summary["tables"][table]["path"])
