"""Who works on shards: Prefect's task runners, and what their workers know of the run."""

from contextlib import redirect_stdout, suppress
from typing import Any, Literal

from prefect.client.orchestration import get_client
from prefect.context import SettingsContext, SyncClientContext, get_settings_context
from prefect.plugins import load_prefect_collections
from prefect.settings import PREFECT_API_URL, Profile, temporary_settings
from prefect.settings import Settings as PrefectSettings
from prefect.task_runners import ProcessPoolTaskRunner
from pydantic import Field

from data.errors import UserMistake, installing
from data.left_out import left_out
from data.settings import Settings
from tasks.seams.end_with_parent import end_with_parent

OF_NO_USE = ("prefect_dask", "prefect_docker", "prefect_kubernetes", "prefect_ray")
"""Extras by which runs and workers are started; no worker starts any."""
Runner = Literal["processes", "dask", "ray"]


class Workers(Settings):
    """Who works on shards."""

    runner: Runner = "processes"
    """`processes` on this machine, or a cluster of Dask or Ray."""
    num_workers: int = Field(2, ge=1)
    """Processes; of `processes`, 1 is the run's own."""
    address: str | None = None
    """Of the Dask scheduler or the Ray cluster; None starts one on this machine."""


class _Known(SettingsContext):
    """Prefect's settings, which travel as they are: made anew, each shard's take 60 ms."""

    def serialize(self, include_secrets: bool = True) -> dict[str, Any]:
        return {"profile": self.profile, "settings": self.settings}


def known_to_workers() -> SettingsContext:
    """Prefect's settings for workers, to be entered while a runner is given work.

    They name the server: without it each worker would start its own, in seconds, of 250 MB.
    """
    with (
        get_client(sync_client=True) as client,
        temporary_settings({PREFECT_API_URL: str(client.api_url)}) as settings,
    ):
        return _Known(profile=get_settings_context().profile, settings=settings)


def new_runner(workers: Workers, known: SettingsContext) -> Any:
    """A task runner, to be entered.

    Args:
        workers: of which kind and how many.
        known: what its workers know of Prefect.

    Raises:
        UserMistake: the runner's package is not installed.
    """
    if workers.runner == "processes":
        return ProcessPoolTaskRunner(
            max_workers=workers.num_workers,
            initializer=_begin,
            initargs=(known.profile, known.settings),
        )
    try:
        if workers.runner == "dask":
            from prefect_dask import DaskTaskRunner

            cluster = {"n_workers": workers.num_workers, "threads_per_worker": 1}
            local = {"cluster_kwargs": {**cluster, "dashboard_address": None}}
            return DaskTaskRunner(**({"address": workers.address} if workers.address else local))
        from prefect_ray import RayTaskRunner

        local = {"init_kwargs": {"num_cpus": workers.num_workers, "include_dashboard": False}}
        return RayTaskRunner(**({"address": workers.address} if workers.address else local))
    except ImportError as error:
        raise UserMistake(
            f"The runner {workers.runner} is not installed: {error}.",
            f"{installing(workers.runner)}, or leave it out.",
        ) from error


def _begin(profile: Profile, settings: PrefectSettings) -> None:
    """Let a process keep one client for all its shards: Prefect makes two for each, of 30 ms.

    For a shard's first task Prefect imports all its extras that are installed, Kubernetes'
    client among them: 41 MB of each process. It tells on standard output which cannot be.
    """
    end_with_parent()
    with left_out(*OF_NO_USE), redirect_stdout(None):
        load_prefect_collections()
    SettingsContext(profile=profile, settings=settings).__enter__()
    with suppress(RuntimeError):  # the server is away; each shard will ask for it
        SyncClientContext().__enter__()
