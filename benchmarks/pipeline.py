"""What a run of the pipeline takes, from an empty home: seconds, memory, figures, equal digests.

    python benchmarks/pipeline.py --deployment quick --json

runs `bookloom run` in a new home, again in the same home (nothing changed), and, unless
--no-repeat, once more in another new home, whose digests must be those of the first. Memory is
the largest sum of the proportional set sizes of all processes of a run, sampled every two seconds.
Nothing else should run meanwhile.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

BOOKLOOM = str(Path(sys.executable).with_name("bookloom"))
SECONDS_BETWEEN_SAMPLES = 2.0  # a sample walks all pages: more often would slow the run


def timed_run(deployment: str, home: str) -> tuple[dict[str, Any], float, int]:
    """(summary, wall seconds, peak memory in bytes) of one run in this home."""
    output, seconds, peak = watched([BOOKLOOM, "run", "--deployment", deployment, "--json"], home)
    return json.loads(output), seconds, peak


def watched(command: Sequence[str], home: str) -> tuple[bytes, float, int]:
    """(standard output, wall seconds, peak memory in bytes) of a command in this home.

    Exits where the command fails.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, env={**os.environ, "BOOKLOOM_HOME": home}
    )
    peaks = [0]

    def watch() -> None:
        while process.poll() is None:
            peaks.append(tree_bytes(process.pid))
            time.sleep(SECONDS_BETWEEN_SAMPLES)

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, _ = process.communicate()
    seconds = time.monotonic() - started
    watcher.join()
    if process.returncode:
        sys.exit(f"{command[0]} failed with exit code {process.returncode}: {output.decode()}")
    return output, seconds, max(peaks)


def tree_bytes(pid: int) -> int:
    """Memory of a process and all below it, pages shared among them counted once."""
    total = 0
    try:
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
            except OSError:  # it has ended meanwhile
                continue
            total += 1024 * int(rollup.split("\nPss:")[1].split()[0])
    except psutil.Error:
        pass
    return total


def digests(summary: dict[str, Any]) -> dict[str, str]:
    """Digests of all tables and of the language model."""
    tables = {name: table["digest"] for name, table in summary["tables"].items()}
    return {**tables, "model": summary["model"]["digest"]}


def main() -> None:
    """Run, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deployment", default="quick")
    parser.add_argument("--no-repeat", action="store_true", help="leave out the second empty home")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as other:
        first, first_seconds, peak = timed_run(chosen.deployment, home)
        again, again_seconds, _ = timed_run(chosen.deployment, home)
        result = {
            "deployment": chosen.deployment,
            "machine": f"{platform.machine()}, {os.cpu_count()} cores",
            "first_seconds": round(first_seconds, 1),
            "again_seconds": round(again_seconds, 1),
            "again_recomputed": again["recomputed"],
            "peak_memory_bytes": peak,
            "metrics": first["metrics"],
        }
        if not chosen.no_repeat:
            repeated, _, _ = timed_run(chosen.deployment, other)
            result["differing_digests"] = [
                name for name, digest in digests(first).items() if digests(repeated)[name] != digest
            ]
    print(json.dumps(result) if chosen.json else json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
