"""A worker whose parent is killed is gone soon after, idle or at work."""

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.flows.served_home import until

ROOT = Path(__file__).parents[2]
PROGRAM = """
import os, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tasks.seams.end_with_parent import end_with_parent
if __name__ == "__main__":
    with ProcessPoolExecutor(1, get_context("spawn"), initializer=end_with_parent) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        if {at_work}:
            pool.submit(time.sleep, 600)
        time.sleep(600)
"""


@pytest.mark.parametrize("at_work", [False, True])
def test_it_ends_when_its_parent_is_killed(at_work: bool, tmp_path: Path) -> None:
    script = tmp_path / "parent.py"
    script.write_text(PROGRAM.format(at_work=at_work))
    parent = subprocess.Popen(
        [sys.executable, script], env={"PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    worker = psutil.Process(int(parent.stdout.readline()))
    assert worker.is_running()
    parent.kill()
    parent.wait()
    until(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE, "gone", 30.0)
