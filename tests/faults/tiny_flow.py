"""A flow that leaves a file, and nothing else."""

import os
from pathlib import Path

from prefect import flow


@flow(persist_result=False)
def tiny(number: int = 0) -> None:
    """Note that run `number` was here, once."""
    done = Path(os.environ["BOOKLOOM_HOME"], "done")
    done.mkdir(exist_ok=True)
    (done / str(number)).open("x").close()
