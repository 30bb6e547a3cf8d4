"""A step at work: what it reads and writes, its seed, its threads, the shards it has worked on."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from prefect import Task
from pydantic import BaseModel

from data.book_schemas import TOKEN_IDS
from data.store import Store, TableWriter
from data.table import Table
from tasks.seams.checkpoints import CHECKPOINTS, Checkpoints
from tasks.seams.manifests import SETTLED
from tasks.seams.report import progress, say
from tasks.seams.run_context import RunContext
from tasks.seams.shards import Shard, part_name, work_on
from tasks.seams.tracking import TrackedRun, open_tracker


class TableReference(BaseModel):
    """A table of the store: its name there, its digest and how long it is."""

    name: str
    digest: str
    num_rows: int
    num_parts: int = 1
    layout: str = ""
    """Which books stand in which part, as a digest."""


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
        return Checkpoints(self.store, f"{self._folder}/{CHECKPOINTS}")

    def settled(self, name: str, measure: Callable[[], int]) -> int:
        """A number that a measurement settles once: a killed step that goes on finds it again."""
        file_name = f"{self._folder}/{SETTLED}{name}.json"
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
        shards = [
            Shard(
                store=self.context.store,
                folder=self._folder,
                number=number,
                inputs=dict(own),
                lineage=dict(self._lineage),
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

    def part(self, table: Table, number: int) -> str:
        """The name of a part of a table that this step itself has written."""
        return part_name(self._folder, table, number)

    @contextmanager
    def part_writer(self, table: Table, number: int) -> Iterator[TableWriter]:
        """Write a part of a table that a shard of this step is to read."""
        with self.store.table_writer(self.part(table, number), table, self._lineage) as writer:
            yield writer

    def made_parts(self, table: Table) -> list[str]:
        """The names of the parts of a table that this step or its shards have written."""
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
