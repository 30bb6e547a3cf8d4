"""Steps and their cache: a step is skipped when nothing that could change its output has changed.

    @step(reads=(BOOKS, SECTIONS), writes=(SENTENCES,), libraries=("nltk",))
    def tokenise(run: StepRun, settings: TokeniseSettings) -> None:
        ...

makes a Prefect task that is called with the run's context, the settings and the outcomes of the
steps before it. Its key is made of the digests of the tables it reads, its settings, the code it
reaches (`code_key`), the versions of the libraries it computes with and, where it draws random
numbers, the seed and the number of threads. What a step writes stands in the store under

    steps/<step>/<key>/<table>.parquet      and, last of all, manifest.json

so that a manifest means whole tables. A step that runs says which part of its key is new. A result
that is damaged is made again, whoever finds it: who would reuse it, or who reads it. A step that
fails for what may pass is tried again (`retrying`), and finds the shards and checkpoints it made.
"""

import hashlib
import importlib.metadata
import inspect
import json
import logging
import platform
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, cast

from prefect import Task
from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote
from pydantic import BaseModel

from data.errors import UserMistake
from data.filesystems import StoreTrouble
from data.settings import Settings
from data.store import Damaged, Store
from data.table import Table
from tasks.seams.code_key import code_digests, must_be_code_of_start
from tasks.seams.making_again import check, make_again, remember
from tasks.seams.manifests import (
    STEPS,
    differing,
    discard,
    folder_of,
    manifests_of,
    most_alike,
    outside_parts,
    quick_damage,
    read_manifest,
    told,
    write_manifest,
)
from tasks.seams.memory import give_back_memory
from tasks.seams.report import say
from tasks.seams.retrying import tried_again
from tasks.seams.run_context import RunContext
from tasks.seams.shards import let_workers_go
from tasks.seams.step_run import StepRun as StepRun
from tasks.seams.step_run import TableReference as TableReference
from tasks.seams.store_lock import must_be_held

STORE_FORMAT = "2"  # raise it when the meaning of a stored table changes without its code
IN_STEP = "in the step "
"""How a note begins that an error carries out of a step: then comes the step's name."""
SHOWN_REASONS = 6
S = TypeVar("S", bound=Settings)
T = TypeVar("T")


class StepOutcome(BaseModel):
    """What a step made, or found made."""

    step: str
    key: str
    reused: bool
    reasons: list[str]
    """Why it ran: the parts of its key that no earlier run had."""
    seconds: float
    tables: dict[str, TableReference]
    files: dict[str, str]
    """Digests of the files beside the tables, by their name in the store."""

    def __iter__(self) -> Iterator[Any]:  # type: ignore[override]
        """Nothing: Prefect would look for what is in it by its address, and draw lines in its graph
        between steps whose outcomes happen to hold the same string.
        """
        return iter(())


def unlinked(outcomes: Sequence[StepOutcome]) -> Any:
    """Outcomes to hand to a task without a line from each in Prefect's graph."""
    return quote(list(outcomes))


def step(
    *,
    reads: tuple[Table, ...] = (),
    may_read: tuple[Table, ...] = (),
    writes: tuple[Table, ...],
    reads_files: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    seeded: bool = False,
    outside: Callable[[S, RunContext], Mapping[str, str]] | None = None,
    asks_settings_of: tuple[tuple[Table, str | None], ...] = (),
    in_parts: bool = False,
) -> Callable[[Callable[[StepRun, S], None]], "Task[..., StepOutcome]"]:
    """Make a cached Prefect task of a function that reads and writes tables.

    Args:
        reads: tables it may ask for; their digests count in its key.
        may_read: tables that it may ask for where an earlier step wrote them; likewise.
        writes: tables it must write.
        reads_files: names of files that it may ask for where an earlier step wrote them; likewise.
        libraries: distributions whose versions count in its key.
        seeded: whether its result depends on the seed and the number of threads.
        outside: digests, by name, of what it reads from outside the store; they count too.
        asks_settings_of: inputs with the setting of their makers that it asks for, or None where it
            asks for all; these count, too.
        in_parts: whether it works in shards; then the cut of its inputs into parts counts in its
            key, though it changes no digest.
    """

    def decorate(work: Callable[[StepRun, S], None]) -> "Task[..., StepOutcome]":
        name = work.__name__

        def run_step(context: RunContext, settings: S, *upstream: StepOutcome) -> StepOutcome:
            try:
                outcome = made(context, settings, upstream)
            except Exception as error:
                error.add_note(f"{IN_STEP}{name}")
                raise
            folder = f"{STEPS}/{name}/{outcome.key}"
            remember(folder, outcome, partial(made, context, settings, upstream))
            return outcome

        def made(
            context: RunContext,
            settings: S,
            upstream: Sequence[StepOutcome],
            damaged: Sequence[str] = (),
        ) -> StepOutcome:
            must_be_held(context.store)
            store = Store(context.store)
            inputs = _named(reads, may_read, upstream)
            input_files = {
                file: digest
                for outcome in upstream
                for file, digest in outcome.files.items()
                if file.rsplit("/", 1)[-1] in reads_files
            }
            code = code_digests(work.__module__, name)
            must_be_code_of_start(code)
            parts = {
                "store format": STORE_FORMAT,
                **{f"input {key}": table.digest for key, table in inputs.items()},
                **{f"parts of {k}": t.layout for k, t in inputs.items() if in_parts and t.layout},
                **{f"input {f.rsplit('/', 1)[-1]}": d for f, d in input_files.items()},
                **_settings_parts(settings),
                **_asked_settings(store, inputs, asks_settings_of),
                **(outside_parts(outside(settings, context)) if outside else {}),
                **{f"code {k}": v for k, v in code.items()},
                **{f"library {lib}": importlib.metadata.version(lib) for lib in libraries},
                "library python": platform.python_version(),
            }
            if seeded:
                parts["seed"] = str(context.seed)
                parts["number of threads"] = str(context.num_threads)
            key = _digest_of(parts)[:16]
            folder = f"{STEPS}/{name}/{key}"
            found, damage = _found(store, folder)
            if found:
                say(f"{name}: reused, nothing it depends on has changed")
                return StepOutcome(**found, reused=True, reasons=[], seconds=0.0)
            reasons = [*damaged] or damage or _reasons(parts, store, name)
            say(f"{name}: running ({_short(reasons)})")
            started = time.monotonic()
            if not in_parts:
                let_workers_go()
            if "torch" in libraries:
                import torch

                torch.set_num_threads(context.num_threads)
            lineage = {
                "step": name,
                "key": key,
                "inputs": {k: v.model_dump() for k, v in inputs.items()},
                "input_files": input_files,
                "settings": settings.model_dump(mode="json"),
                "seed": context.seed if seeded else None,
                "code_digest": _digest_of(_beginning_with("code ", parts)),
                "mlflow_run_id": context.mlflow_run_id,
                **context.provenance,
            }
            names = [*(table.name for table in inputs.values()), *input_files]
            packed = zlib.compress(json.dumps(parts).encode())  # a library's are 300 bytes a book
            del parts

            def attempt() -> StepRun:
                check(store, names)
                run = StepRun(context, folder, inputs, input_files, lineage)
                work(run, settings)
                return run

            run = _undamaged(attempt, store, folder)
            give_back_memory()  # of what it took: after training, 180 MB
            must_be_code_of_start(code)
            unwritten = {table.name for table in writes} - set(run.tables)
            assert not unwritten, f"step {name} did not write {unwritten}"
            outcome: dict[str, Any] = {
                "step": name,
                "key": key,
                "tables": {k: v.model_dump() for k, v in run.tables.items()},
                "files": run.files,
            }
            parts = json.loads(zlib.decompress(packed))
            write_manifest(store, folder, outcome, parts, _names_of(inputs, input_files))
            run.checkpoints.clear()
            seconds = time.monotonic() - started
            say(f"{name}: done in {seconds:.1f} s")
            return StepOutcome(**outcome, reused=False, reasons=reasons, seconds=seconds)

        run_step.__name__ = name
        run_step.__doc__ = inspect.getdoc(work)
        return cast(
            "Task[..., StepOutcome]",
            prefect_task(
                name=name,
                task_run_name=name,
                cache_policy=NO_CACHE,
                persist_result=False,
                **tried_again(),
            )(run_step),
        )

    return decorate


def _named(
    needed: tuple[Table, ...], welcome: tuple[Table, ...], upstream: Sequence[StepOutcome]
) -> dict[str, TableReference]:
    made = {k: reference for outcome in upstream for k, reference in outcome.tables.items()}
    absent = [table.name for table in needed if table.name not in made]
    assert not absent, f"no earlier step was handed in that writes {absent}"
    return {table.name: made[table.name] for table in needed + welcome if table.name in made}


def _settings_parts(settings: Settings) -> dict[str, str]:
    values = settings.model_dump(mode="json")
    return {f"setting {k}": json.dumps(v, sort_keys=True) for k, v in values.items()}


def _asked_settings(
    store: Store,
    inputs: Mapping[str, TableReference],
    asked: Sequence[tuple[Table, str | None]],
) -> dict[str, str]:
    """The settings that inputs were made by, as far as they are asked for."""

    def told_by_tables() -> dict[str, str]:
        told = {}
        for table, setting in asked:
            if table.name in inputs:
                settings = store.lineage(inputs[table.name].name)["settings"]
                value = settings[setting] if setting else settings
                told[f"settings of {table.name}"] = json.dumps(value, sort_keys=True)
        return told

    return _undamaged(told_by_tables, store, folder="")


def _names_of(
    inputs: Mapping[str, TableReference], input_files: Mapping[str, str]
) -> dict[str, str]:
    files = {name.rsplit("/", 1)[-1]: name for name in input_files}
    return {**{key: table.name for key, table in inputs.items()}, **files}


def _found(store: Store, folder: str) -> tuple[dict[str, Any] | None, list[str]]:
    """The outcome of a whole result, or what is wrong with it, after which it is undone."""
    try:
        manifest = read_manifest(store, folder)
        damage = quick_damage(store, manifest) if manifest else []
    except Damaged as error:
        discard(store, folder)
        return None, [f"{error.name} is damaged: {error.cause}"]
    if not damage:
        return (manifest["outcome"] if manifest else None), []
    discard(store, folder, [one.name for one in damage])
    return None, [str(one) for one in damage]


def _undamaged(attempt: Callable[[], T], store: Store, folder: str) -> T:
    """A step's work, or a look at what it reads: begun anew whenever it finds something damaged,
    once that is made again.
    """
    met: set[str] = set()
    while True:
        try:
            return attempt()
        except UserMistake as error:
            trouble = _trouble_behind(error)
            if isinstance(trouble, StoreTrouble):
                raise trouble from trouble.__cause__
            if trouble is None or trouble.name in met:
                raise
            damage = trouble
            say(f"{damage.message} It is made again.", logging.WARNING)
            met.add(damage.name)
            if folder_of(damage.name) == folder:  # what a killed run has left of this step
                store.delete(damage.name)
            else:
                make_again(store, damage)


def _trouble_behind(error: BaseException | None) -> Damaged | StoreTrouble | None:
    """What of the store a mistake is or comes from: to a step it may look like unfit text."""
    while error is not None and not isinstance(error, Damaged | StoreTrouble):
        error = error.__cause__
    return error


def _reasons(parts: Mapping[str, str], store: Store, step_name: str) -> list[str]:
    """How the key differs from the most alike of the earlier ones, the newest of equals."""
    alike = most_alike(parts, list(manifests_of(store, step_name).values()))
    if alike is None:
        return ["first time"]
    old = alike["parts"]
    return [told(name, old.get(name), parts.get(name)) for name in differing(parts, old)]


def _short(reasons: Sequence[str]) -> str:
    rest = len(reasons) - SHOWN_REASONS
    return "; ".join(reasons[:SHOWN_REASONS]) + (f"; and {rest} more" if rest > 0 else "")


def _beginning_with(prefix: str, parts: Mapping[str, str]) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in parts.items() if k.startswith(prefix)}


def _digest_of(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
