"""What the sources of a run name; what has to be downloaded is a task of Prefect's, tried again."""

from collections.abc import Iterable
from typing import Any

from prefect import task as prefect_task
from prefect.cache_policies import NO_CACHE
from prefect.states import Failed

from data.books import Refusal
from data.documents import Unreadable
from data.download import Unreachable
from data.sources import Entry, Finding, find_entries, find_source, needs_download


def find_for_run(sources: Iterable[str], finding: Finding) -> list[Entry | Refusal]:
    """What `find_entries` finds, in an order that does not depend on how the user listed it."""
    return list(find_entries(sorted(sources), finding, _find_or_download))


def _find_or_download(source: str, finding: Finding) -> Iterable[Entry | Refusal]:
    if not needs_download(source, finding):
        return find_source(source, finding)
    download = prefect_task(
        name="download",
        task_run_name="download {source}",
        retries=finding.download.num_later_tries,
        retry_delay_seconds=finding.download.later_wait_seconds,
        retry_condition_fn=_may_pass,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(_download)
    state = download(source, finding, return_state=True)
    if state.is_completed():
        return find_source(source, finding)
    failure = state.data if isinstance(state.data, Unreadable) else state.result()
    raise failure


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
