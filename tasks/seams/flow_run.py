"""The Prefect flow run in which a run works: its page, and its true end when its process dies."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_SERVER_API_HOST,
    PREFECT_SERVER_API_PORT,
)
from prefect.states import Cancelled, Crashed
from prefect.utilities.urls import url_for

UNDER_WAY = (StateType.PENDING, StateType.RUNNING, StateType.CANCELLING)
DIED = "Its process is gone, and has left no word."
CANCELLED = "It was to be cancelled, and has ended."


class FlowRunHere(NamedTuple):
    """The flow run around this code."""

    flow_run_id: str
    name: str
    tags: tuple[str, ...]
    address: str
    """Of its page in Prefect's user interface."""


def flow_run_here() -> FlowRunHere | None:
    """The flow run around this code, if there is one."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return None
    run = context.flow_run
    return FlowRunHere(str(run.id), run.name, tuple(sorted(run.tags)), flow_run_address(run.id))


def title_here(name: str) -> str:
    """What the flow run around this code is called; the name where there is none."""
    here = flow_run_here()
    return here.name if here else name


def flow_run_address(flow_run_id: UUID | str) -> str:
    """Where Prefect's user interface shows a flow run.

    Without a server of one's own, where `prefect server start` would show it.
    """
    own = f"http://{PREFECT_SERVER_API_HOST.value()}:{PREFECT_SERVER_API_PORT.value()}"
    return str(url_for("flow-run", obj_id=str(flow_run_id), default_base_url=own))


def steps_at_work(flow_run_id: UUID | str) -> list[str]:
    """The names of a flow run's tasks that Prefect says are running, or have failed or crashed.

    None where Prefect does not answer.
    """
    wanted = (*UNDER_WAY, StateType.FAILED, StateType.CRASHED)
    with _asking() as client:
        if client is not None:
            return [task.name for task in _tasks(client, flow_run_id) if task.state_type in wanted]
    return []


def crash(flow_run_id: UUID | str, message: str = DIED) -> bool:
    """Set a flow run and its tasks to Crashed where Prefect says that they are running; one that
    was to be cancelled, to Cancelled.

    Returns:
        Whether the flow run was: no, where Prefect does not answer.
    """
    with _asking() as client:
        if client is None:
            return False
        state = client.read_flow_run(UUID(str(flow_run_id))).state
        was_under_way = state is not None and state.type in UNDER_WAY
        if state is not None and was_under_way:
            ended = Cancelled if state.is_cancelling() else Crashed
            client.set_flow_run_state(flow_run_id, ended(message=message))
        if was_under_way or (state is not None and state.is_final()):
            for task in _tasks(client, flow_run_id):
                if task.state_type in UNDER_WAY:
                    client.set_task_run_state(task.id, Crashed(message=message))
        return was_under_way
    return False


def cancelled_instead(flow_run_id: UUID | str) -> State | None:
    """Set a flow run that has crashed when it was to be cancelled to Cancelled: a SIGTERM that its
    worker has not announced is a crash to Prefect.

    Returns:
        The state that it has now, if it was to be cancelled.
    """
    with _asking() as client:
        if client is not None:
            states = client.read_flow_run_states(UUID(str(flow_run_id)))
            states.sort(key=lambda state: state.timestamp)
            if [state.type for state in states[-2:]] == [StateType.CANCELLING, StateType.CRASHED]:
                cancelled: State = Cancelled(message=CANCELLED)
                client.set_flow_run_state(flow_run_id, cancelled, force=True)
                return cancelled
    return None


def state_message(flow_run_id: UUID | str) -> str:
    """What the state of a flow run says; nothing where Prefect does not answer."""
    with _asking() as client:
        if client is not None:
            state = client.read_flow_run(UUID(str(flow_run_id))).state
            return (state and state.message) or ""
    return ""


def has_ended(flow_run_id: UUID | str) -> bool:
    """Whether Prefect says that a flow run is over; no, where it does not answer."""
    with _asking() as client:
        if client is not None:
            state = client.read_flow_run(UUID(str(flow_run_id))).state
            return state is not None and state.is_final()
    return False


def _tasks(client: SyncPrefectClient, flow_run_id: UUID | str) -> list[TaskRun]:
    only = FlowRunFilter(id=FlowRunFilterId(any_=[UUID(str(flow_run_id))]))
    return client.read_task_runs(flow_run_filter=only)


@contextmanager
def _asking() -> Iterator[SyncPrefectClient | None]:
    """Prefect's client, unless asking would start a server; what does not answer is let be."""
    if PREFECT_API_URL.value() is None and FlowRunContext.get() is None:
        yield None
        return
    try:
        with get_client(sync_client=True) as client:
            yield client
    except (httpx.HTTPError, PrefectException) as error:
        logging.getLogger("bookloom").debug("Prefect does not answer: %r", error)
