"""What the sources of a run name; what has to be downloaded is a task of Prefect's, tried again."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa
from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from prefect.runtime import flow_run, task_run
from prefect.states import Failed

from data.book_schemas import ENTRIES
from data.books import Refusal, escaped
from data.documents import Unreadable
from data.download import Unreachable
from data.gutenberg_source import PREFIX as GUTENBERG
from data.sources import Entry, Finding, find_entries, find_source, in_order, needs_download


def find_for_run(sources: Iterable[str], finding: Finding) -> Iterator[Entry | Refusal]:
    """What `find_entries` finds, in the order of `in_order`."""
    return find_entries(in_order(sources), finding, _find_or_download)


def entry_columns(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    """Entries as columns of their table. What was told of their books is escaped in it."""
    rows = [asdict(one) | {"place": json.dumps(one.place)} for one in entries]
    return {
        name: [escaped(row[name]) if isinstance(row[name], str) else row[name] for row in rows]
        for name in ENTRIES.schema.names
    }


def entries_of(rows: pa.Table) -> Iterator[Entry]:
    """The entries that rows of that table hold."""
    for row in rows.to_pylist():
        yield Entry(**row | {"place": json.loads(row["place"])})


def _find_or_download(source: str, finding: Finding) -> Iterable[Entry | Refusal]:
    if not needs_download(source, finding):
        return find_source(source, finding)
    failures = _failures(task_run.id or flow_run.id, task_run.run_count)
    if source in failures.by_source:
        raise failures.by_source[source]
    host = urlsplit(finding.mirror if source.startswith(GUTENBERG) else source).hostname
    download = prefect_task(
        name="download",
        task_run_name="download {source}",
        retries=0 if host in failures.hosts else finding.download.num_later_tries,
        retry_delay_seconds=finding.download.later_wait_seconds,
        retry_condition_fn=_may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_download)
    state = download(source, finding, return_state=True)
    if state.is_completed():
        return find_source(source, finding)
    failure = state.result(raise_on_failure=False)
    assert isinstance(failure, Exception)
    failures.by_source[source] = failure
    if isinstance(failure, Unreachable):
        failures.hosts.add(host)
    raise failure


@dataclass
class _Failures:
    """What could not be had so far, and from which hosts: these are not waited for again."""

    by_source: dict[str, Exception] = field(default_factory=dict)
    hosts: set[str | None] = field(default_factory=set)


@lru_cache(maxsize=4)
def _failures(run_id: str | None, run_count: int) -> _Failures:
    """Those of one try of a run, which looks for its sources twice."""
    return _Failures()


def _may_pass(task: Any, task_run: Any, state: Any) -> bool:
    return isinstance(state.result(raise_on_failure=False), Unreachable)


def _download(source: str, finding: Finding) -> Any:
    """Download one source into the cache; a failed state, with the `Unreadable`, if it can't be.

    Raises:
        Unreachable: it failed in ways that may pass; Prefect tries again.
    """
    try:
        list(find_source(source, finding))
    except Unreachable:
        raise
    except Unreadable as error:  # raised, it would be shown with a traceback
        return Failed(message=str(error), data=error)
    return None
