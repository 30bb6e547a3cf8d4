"""Steps and their cache: a step is skipped when nothing that could change its output has changed.

    @step(reads=(BOOKS, SECTIONS), writes=(SENTENCES,), libraries=("nltk",))
    def tokenise(run: StepRun, settings: TokeniseSettings) -> None:
        ...

makes a Prefect task that is called with the run's context, the settings and the outcomes of the
steps before it. Its key is made of the digests of the tables it reads, its settings, the code it
reaches (`code_key`), the versions of the libraries it computes with and, where it draws random
numbers, the seed and the number of threads. What a step writes stands in the store under

    steps/<step>/<key>/<table>.parquet      and, last of all, manifest.json

so that a manifest means whole tables. A step that runs says which part of its key is new.
"""

import hashlib
import importlib.metadata
import inspect
import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import pyarrow as pa
from prefect import Task
from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from pydantic import BaseModel

from data.schemas import TOKEN_IDS, Table
from data.settings import Settings
from data.store import Store, TableWriter
from tasks.seams.checkpoints import Checkpoints
from tasks.seams.code_key import code_digests
from tasks.seams.report import progress, say
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Shard, part_name, work_on
from tasks.seams.tracking import TrackedRun, open_tracker

STORE_FORMAT = "2"  # raise it when the meaning of a stored table changes without its code
SHOWN_REASONS = 6
S = TypeVar("S", bound=Settings)


class TableReference(BaseModel):
    """A table of the store: its name there, its digest and how long it is."""

    name: str
    digest: str
    num_rows: int
    num_parts: int = 1
    layout: str = ""
    """Which books stand in which part, as a digest."""


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


class StepRun:
    """One step at work: its inputs, its outputs, the seed and the threads it may use."""

    def __init__(
        self,
        context: RunContext,
        folder: str,
        inputs: Mapping[str, TableReference],
        input_files: Mapping[str, str],
        lineage: Mapping[str, Any],
    ) -> None:
        self.context = context
        self.store = Store(context.store)
        self.tables: dict[str, TableReference] = {}
        self.files: dict[str, str] = {}
        self._folder = folder
        self._inputs = inputs
        self._input_files = input_files
        self._lineage = lineage

    def read(self, table: Table, columns: Sequence[str] | None = None) -> pa.Table:
        """A whole input table."""
        return self.store.read_table(self._inputs[table.name].name, columns)

    def settings_of(self, table: Table) -> dict[str, Any]:
        """The settings of the step that wrote an input table."""
        settings: dict[str, Any] = self.lineage_of(table)["settings"]
        return settings

    def lineage_of(self, table: Table) -> dict[str, Any]:
        """What an input table says of where it came from."""
        return self.store.lineage(self._inputs[table.name].name)

    def row_groups(self, table: Table, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """An input table, one row group at a time."""
        return self.store.row_groups(self._inputs[table.name].name, columns)

    def token_runs(self) -> Iterator[tuple[str, str, list[int]]]:
        """The input table `token_ids`: (book_id, split, a section's token ids), in order."""
        for rows in self.row_groups(TOKEN_IDS, ["book_id", "split", "token_ids"]):
            yield from zip(*(column.to_pylist() for column in rows.columns), strict=True)

    def has(self, table: Table) -> bool:
        """Whether an earlier step wrote the table, of those that it may read."""
        return table.name in self._inputs

    def has_file(self, file_name: str) -> bool:
        """Whether an earlier step wrote the file."""
        return any(name.endswith(f"/{file_name}") for name in self._input_files)

    def read_file(self, file_name: str) -> bytes:
        """A file that an earlier step wrote."""
        found = [name for name in self._input_files if name.endswith(f"/{file_name}")]
        return self.store.read_bytes(found[0])

    def tracked(self, name: str) -> TrackedRun:
        """A child of the pipeline's MLflow run, to log to while the step works."""
        return open_tracker(self.context.tracking_uri).child(self.context.mlflow_run_id, name)

    @property
    def checkpoints(self) -> Checkpoints:
        """Where to go on from if the step was killed; they are gone once its output is whole."""
        return Checkpoints(self.store, f"{self._folder}/checkpoints")

    def settled(self, name: str, measure: Callable[[], int]) -> int:
        """A number that a measurement settles once: a killed step that goes on finds it again."""
        file_name = f"{self._folder}/settled_{name}.json"
        if not self.store.exists(file_name):
            self.store.write_json(file_name, {name: measure()})
        return int(self.store.read_json(file_name)[name])

    def parts(self, table: Table) -> list[str]:
        """The names of an input table's parts, in order."""
        return self.store.parts(self._inputs[table.name].name)

    def over_shards(
        self,
        task: "Task[..., None]",
        inputs: Sequence[Mapping[str, str]],
        writes: Sequence[Table],
        sizes: Sequence[int],
        unit: str,
        **arguments: Any,
    ) -> None:
        """Have a task work on each shard, and take in the tables whose parts it writes.

        Args:
            task: made by `shard_task`.
            inputs: of each shard, the names of the tables or parts that it reads.
            writes: the tables, those of which that are by book are tables of the step; parts
                that a killed run has left are not made again.
            sizes: of each shard, in `unit`s, for those who watch.
            unit: see above.
            **arguments: for the task, the same for all shards.
        """
        # A large shelf has many sources: once is enough.
        without_sources = {k: v for k, v in self._lineage.items() if k != "sources"}
        shards = [
            Shard(
                store=self.context.store,
                folder=self._folder,
                number=number,
                inputs=dict(own),
                lineage=dict(self._lineage if number == 0 else without_sources),
            )
            for number, own in enumerate(inputs)
        ]
        waiting = [
            shard
            for shard in shards
            if not all(
                self.store.exists(part_name(self._folder, table, shard.number)) for table in writes
            )
        ]
        if len(waiting) < len(shards):
            say(f"{task.name}: going on with {len(waiting)} of {len(shards)} shards")
        with progress(task.name, sum(sizes), unit) as advance:
            advance(sum(sizes) - sum(sizes[shard.number] for shard in waiting))
            for shard in work_on(waiting, task, arguments, self.context.workers):
                advance(sizes[shard.number])
        for table in writes:
            if table.by_book:
                name = f"{self._folder}/{table.name}"
                made = self.store.lineage(name)
                self.tables[table.name] = TableReference(
                    name=name,
                    digest=made["digest"],
                    num_rows=made["num_rows"],
                    num_parts=len(shards),
                    layout=made["layout"],
                )

    def made_parts(self, table: Table) -> list[str]:
        """The names of the parts of a table that this step's shards have written."""
        return self.store.parts(f"{self._folder}/{table.name}")

    def drop_parts(self, *tables: Table) -> None:
        """Remove parts that were made on the way, and are of no use any more."""
        for table in tables:
            for name in self.made_parts(table):
                self.store.delete(name)

    @contextmanager
    def writer(self, table: Table) -> Iterator[TableWriter]:
        """Write an output table; it is published when the block ends well."""
        name = f"{self._folder}/{table.name}.parquet"
        with self.store.table_writer(name, table, self._lineage) as writer:
            yield writer
        self.tables[table.name] = TableReference(
            name=name, digest=writer.digest, num_rows=writer.num_rows
        )

    def write(self, table: Table, columns: Mapping[str, Any]) -> None:
        """Write a whole output table from its columns."""
        with self.writer(table) as writer:
            writer.write(columns)

    def write_file(self, file_name: str, content: bytes, digest: str) -> None:
        """Write a file beside the tables, with the digest of its logical content."""
        name = f"{self._folder}/{file_name}"
        self.store.write_bytes(name, content)
        self.files[name] = digest

    def write_picture(self, file_name: str, content: bytes) -> None:
        """Write a picture or page beside the tables; its bytes are its content."""
        self.write_file(file_name, content, hashlib.sha256(content).hexdigest())


def step(
    *,
    reads: tuple[Table, ...] = (),
    may_read: tuple[Table, ...] = (),
    writes: tuple[Table, ...],
    reads_files: tuple[str, ...] = (),
    libraries: tuple[str, ...] = (),
    seeded: bool = False,
    outside: Callable[[S, RunContext], Mapping[str, str]] | None = None,
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
        in_parts: whether it works in shards; then the cut of its inputs into parts counts in its
            key, though it changes no digest.
    """

    def decorate(work: Callable[[StepRun, S], None]) -> "Task[..., StepOutcome]":
        name = work.__name__

        def run_step(context: RunContext, settings: S, *upstream: StepOutcome) -> StepOutcome:
            inputs = _named(reads, may_read, upstream)
            input_files = {
                file: digest
                for outcome in upstream
                for file, digest in outcome.files.items()
                if file.rsplit("/", 1)[-1] in reads_files
            }
            found_outside = outside(settings, context) if outside else {}
            parts = {
                "store format": STORE_FORMAT,
                **{f"input {key}": table.digest for key, table in inputs.items()},
                **{f"parts of {k}": t.layout for k, t in inputs.items() if in_parts and t.layout},
                **{f"input {f.rsplit('/', 1)[-1]}": d for f, d in input_files.items()},
                **_settings_parts(settings),
                **{f"source {k}": v for k, v in found_outside.items()},
                **{f"code {k}": v for k, v in code_digests(work.__module__, name).items()},
                **{f"library {lib}": importlib.metadata.version(lib) for lib in libraries},
                "library python": platform.python_version(),
            }
            if seeded:
                parts["seed"] = str(context.seed)
                parts["number of threads"] = str(context.num_threads)
            key = _digest_of(parts)[:16]
            folder = f"steps/{name}/{key}"
            store = Store(context.store)
            earlier = _earlier_manifests(store, name)
            missing = _missing(store, earlier.get(key))
            if key in earlier and not missing:
                say(f"{name}: reused, nothing it depends on has changed")
                return StepOutcome(**earlier[key]["outcome"], reused=True, reasons=[], seconds=0.0)
            reasons = missing or _reasons(parts, [m["parts"] for m in earlier.values()])
            say(f"{name}: running ({_short(reasons)})")
            started = time.monotonic()
            run = StepRun(
                context,
                folder,
                inputs,
                input_files,
                {
                    "step": name,
                    "key": key,
                    "inputs": {k: v.model_dump() for k, v in inputs.items()},
                    "input_files": input_files,
                    "sources": _beginning_with("source ", parts),
                    "settings": settings.model_dump(mode="json"),
                    "seed": context.seed if seeded else None,
                    "code_digest": _digest_of(_beginning_with("code ", parts)),
                    "mlflow_run_id": context.mlflow_run_id,
                    **context.provenance,
                },
            )
            if "torch" in libraries:
                import torch

                torch.set_num_threads(context.num_threads)
            work(run, settings)
            unwritten = {table.name for table in writes} - set(run.tables)
            assert not unwritten, f"step {name} did not write {unwritten}"
            outcome: dict[str, Any] = {
                "step": name,
                "key": key,
                "tables": {k: v.model_dump() for k, v in run.tables.items()},
                "files": run.files,
            }
            store.write_json(
                f"{folder}/manifest.json",
                {"outcome": outcome, "parts": parts, "unix_seconds": time.time()},
            )
            run.checkpoints.clear()
            seconds = time.monotonic() - started
            say(f"{name}: done in {seconds:.1f} s")
            return StepOutcome(
                **outcome,
                reused=False,
                reasons=reasons,
                seconds=seconds,
            )

        run_step.__name__ = name
        run_step.__doc__ = inspect.getdoc(work)
        return cast(
            "Task[..., StepOutcome]",
            prefect_task(
                name=name, task_run_name=name, cache_policy=NO_CACHE, persist_result=False
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


def _earlier_manifests(store: Store, step_name: str) -> dict[str, dict[str, Any]]:
    """Whole results of this step by key, oldest first."""
    manifests = {}
    for folder in store.names(f"steps/{step_name}"):
        if store.exists(f"{folder}/manifest.json"):
            manifests[folder.rsplit("/", 1)[-1]] = store.read_json(f"{folder}/manifest.json")
    return dict(sorted(manifests.items(), key=lambda item: item[1]["unix_seconds"]))


def _missing(store: Store, manifest: Mapping[str, Any] | None) -> list[str]:
    if manifest is None:
        return []
    outcome = manifest["outcome"]
    parts = dict.fromkeys(outcome["files"], 1)
    parts |= {table["name"]: table["num_parts"] for table in outcome["tables"].values()}
    gone = [f"{name} is missing" for name in parts if not store.exists(name)]
    return gone or [
        f"a part of {name} is missing"
        for name, num_parts in parts.items()
        if num_parts > 1 and len(store.parts(name)) != num_parts
    ]


def _reasons(parts: Mapping[str, str], earlier: Sequence[Mapping[str, str]]) -> list[str]:
    """How the key differs from the most alike of the earlier ones, the newest of equals."""
    if not earlier:
        return ["first time"]
    differences = [
        [name for name in sorted({*parts, *old}) if parts.get(name) != old.get(name)]
        for old in reversed(earlier)
    ]
    nearest = min(range(len(differences)), key=lambda i: len(differences[i]))
    old = list(reversed(earlier))[nearest]
    return [_difference(name, old.get(name), parts.get(name)) for name in differences[nearest]]


def _difference(name: str, old: str | None, new: str | None) -> str:
    if name.startswith(("setting ", "library ", "seed", "number ")):
        return f"{name}: {old} -> {new}" if old and new else f"{name}: {new or 'gone'}"
    return f"{name} {'changed' if old and new else 'is new' if new else 'is gone'}"


def _short(reasons: Sequence[str]) -> str:
    rest = len(reasons) - SHOWN_REASONS
    return "; ".join(reasons[:SHOWN_REASONS]) + (f"; and {rest} more" if rest > 0 else "")


def _beginning_with(prefix: str, parts: Mapping[str, str]) -> dict[str, str]:
    return {k.removeprefix(prefix): v for k, v in parts.items() if k.startswith(prefix)}


def _digest_of(parts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
