"""What every run on a store is told, whatever its steps are."""

from contextlib import AbstractContextManager

from pydantic import Field

from data.settings import Settings
from flows.environment import home, home_store, tracking_uri
from tasks.seams.run_context import RunContext, open_run
from tasks.seams.store_lock import LONGEST_WAIT_MINUTES
from tasks.seams.workers import Workers


class RunSettings(Settings):
    """Settings of a run; those of each step stand beside the step."""

    name: str
    """What these settings are called: the end of the run's name."""
    store: str | None = None
    """Where tables go, a path or a URL; by default `store` under bookloom's home."""
    seed: int = Field(1, ge=0, lt=2**31)
    """Of everything that draws random numbers."""
    num_threads: int = Field(2, ge=1)
    """Threads that products use; with the seed, part of the promise of equal digests."""
    workers: Workers = Workers()
    """Who works on shards of a large shelf: processes, or a Dask or Ray cluster."""
    longest_wait_minutes: float = Field(LONGEST_WAIT_MINUTES, ge=0)
    """How long to wait for another run on the same store before giving up."""

    def opened(self) -> AbstractContextManager[RunContext]:
        """The run, in MLflow and alone on its store, as long as the block; see `open_run`."""
        return open_run(
            self.name,
            store=self.store or home_store(),
            tracking_uri=tracking_uri(),
            seed=self.seed,
            num_threads=self.num_threads,
            workers=self.workers,
            downloads=str(home() / "downloads"),
            longest_wait_minutes=self.longest_wait_minutes,
            settings=self.model_dump(mode="json"),
        )
