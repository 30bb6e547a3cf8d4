"""A run in a process of its own, for tests that kill it: it hangs in its only step.

    python dying_run.py STORE TRACKING_URI

prints BEGUN, and the ids of its MLflow run and its flow run, when all it opens is open.
"""

import sys
import time

from prefect import flow, task

from tasks.seams.flow_run import flow_run_here
from tasks.seams.run_context import open_run
from tasks.seams.tracking import open_tracker


@task(task_run_name="hang", persist_result=False)
def hang(mlflow_run_id: str) -> None:
    here = flow_run_here()
    assert here
    print("BEGUN", mlflow_run_id, here.flow_run_id, flush=True)
    time.sleep(600)


@flow(name="dying", flow_run_name="a run that dies", persist_result=False)
def dying(store: str, tracking_uri: str) -> None:
    with open_run(
        "dying", store=store, tracking_uri=tracking_uri, seed=1, num_threads=1, settings={}
    ) as run:
        open_tracker(tracking_uri).child(run.mlflow_run_id, "training")
        assert run.mlflow_run_id
        hang(run.mlflow_run_id)


if __name__ == "__main__":
    dying(*sys.argv[1:])
