"""Parts that die, or won't stop: small commands in place of servers and workers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows import serve_supervisor
from flows.serve_health import Health
from flows.serve_parts import Part
from flows.serve_supervisor import ILL_SECONDS, KeptPart, Supervisor
from tests.flows.test_keeper import is_running, soon

ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, os, sys
from pathlib import Path
from data.errors import UserMistake
from flows import serve_supervisor
from flows.serve_health import Health
from flows.serve_parts import Part
serve_supervisor.MOST_DEATHS, serve_supervisor.ILL_SECONDS = 2, 2.0
serve_supervisor.LOOK_AGAIN_EVERY_SECONDS, serve_supervisor.LONGEST_WAIT_SECONDS = 0.2, 1.0
folder, *stages = json.loads(sys.argv[1])
def part(name, program, seconds, spare=False):
    log = Path(folder, f"{name}.log")
    return Part(name, (sys.executable, "-c", program), dict(os.environ), log, seconds, spare)
def say(name, what):
    print(name, what, flush=True)
def new(processes, is_complete, is_up):
    if is_complete:
        print("complete", *processes.values(), flush=True)
parts = [[part(*one) for one in stage] for stage in stages]
try:
    def look(name):
        is_ill = Path(folder, f"{name} is ill").exists()
        return Health(not is_ill, "does not answer" if is_ill else "runs")
    serve_supervisor.Supervisor(parts, look, say).run(new)
except UserMistake as mistake:
    print(mistake.message)
    sys.exit(2)
"""
SLEEP = "import time; time.sleep(600)"
BAD = "print('no licence'); raise SystemExit(3)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
# A worker's run: in a session of its own, so that it outlives who started it.
RUN = f"""
import subprocess, sys, time
print(subprocess.Popen([sys.executable, "-c", {SLEEP!r}], start_new_session=True).pid, flush=True)
time.sleep(600)
"""


def supervisor(folder: Path, *stages: list[tuple[Any, ...]]) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", PROGRAM, json.dumps([str(folder), *stages])]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def keepers(process: "subprocess.Popen[str]") -> list[int]:
    """The processes that keep the parts, once all are at work."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("complete "):
            return [int(number) for number in line.split()[1:]]
    raise AssertionError("it has ended")


def test_a_part_that_dies_again_and_again_stops_all_and_its_log_is_shown(tmp_path: Path) -> None:
    serving = supervisor(tmp_path, [("good", SLEEP, 5)], [("bad", BAD, 5)])
    told = serving.communicate(timeout=60)[0]
    assert serving.returncode == 2
    assert "bad ended with exit code 3; it is started again in 1 s" in told
    assert "bad ended with exit code 3, 2 times in a row. All is stopped." in told
    assert f"The last lines of {tmp_path / 'bad.log'}:\n    no licence\n    no licence" in told
    assert "stopping good" in told


def test_a_part_that_is_killed_again_and_again_is_always_started_again(tmp_path: Path) -> None:
    serving = supervisor(tmp_path, [("server", SLEEP, 5)])
    processes = []
    for _ in range(5):
        processes += keepers(serving)
        keeper = psutil.Process(processes[-1])
        assert soon(lambda: keeper.children())  # noqa: B023
        keeper.children()[0].kill()
    assert len(set(processes)) == 5
    keepers(serving)
    serving.terminate()
    assert serving.wait(timeout=60) == 0


def test_what_is_killed_a_thousand_times_is_waited_for_ever_longer_up_to_a_bound() -> None:
    part = KeptPart(Part("server", (), {}, Path(), 5))
    told: list[str] = []
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for _ in range(1_100):
        part._process = ended
        part._bury(128 + signal.SIGKILL, 0.0, lambda _, what: told.append(what))
    waits = [what.rpartition(" in ")[2] for what in told]
    assert waits[:7] == ["1 s", "2 s", "4 s", "8 s", "16 s", "30 s", "30 s"]
    assert waits[-1] == "30 s"


def test_a_part_that_does_not_come_to_its_work_stops_all(tmp_path: Path) -> None:
    (tmp_path / "hung is ill").touch()
    serving = supervisor(tmp_path, [("good", SLEEP, 5), ("hung", SLEEP, 5)])
    told = serving.communicate(timeout=60)[0]
    assert serving.returncode == 2
    assert "hung does not answer after 2 s. All is stopped." in told


def test_a_part_that_hangs_later_is_started_again(tmp_path: Path) -> None:
    serving = supervisor(tmp_path, [("server", SLEEP, 5)])
    [before] = keepers(serving)
    (tmp_path / "server is ill").touch()
    assert soon(lambda: not is_running(before))
    (tmp_path / "server is ill").unlink()
    [after] = keepers(serving)
    assert after != before and is_running(after)
    serving.terminate()
    assert serving.wait(timeout=60) == 0


def test_a_worker_that_hangs_is_started_again_and_its_runs_go_on(tmp_path: Path) -> None:
    serving = supervisor(tmp_path, [("worker", RUN, 5, True)])
    keepers(serving)
    log = tmp_path / "worker.log"
    assert soon(lambda: log.read_text() != "")
    run = int(log.read_text())
    (tmp_path / "worker is ill").touch()
    assert soon(lambda: len(log.read_text().split()) == 2), "the worker is started again"
    (tmp_path / "worker is ill").unlink()
    assert is_running(run)
    serving.terminate()
    assert serving.wait(timeout=60) == 0
    assert not is_running(run)


def test_a_worker_is_not_blamed_for_a_server_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    worker = KeptPart(Part("worker", (), {}, Path(), 5, spare=True))
    ended_at: list[float] = []
    monkeypatch.setattr(worker, "_end_what_hangs", lambda: ended_at.append(now))
    well, away = Health(True, "works"), Health(False, "Prefect is away", is_own_fault=False)
    told = []
    for now in (0.0, 1.0, ILL_SECONDS + 2, 10 * ILL_SECONDS):
        worker._look(well if now == 0.0 else away, now, lambda _, what: told.append(what))
    assert (told, ended_at) == (["works, after 0 s", "Prefect is away"], [])
    for later in (1.0, ILL_SECONDS, ILL_SECONDS + 1):
        now = 10 * ILL_SECONDS + later
        worker._look(Health(False, "is not heard of"), now, lambda *_: None)
    assert ended_at == [now], "then it is its own fault"


def test_one_that_has_yet_to_come_to_its_work_is_not_given_up_for_a_server_either() -> None:
    worker = KeptPart(Part("worker", (), {}, Path(), 5, spare=True))
    away = Health(False, "Prefect is away", is_own_fault=False)
    for now in (0.0, ILL_SECONDS + 1, 10 * ILL_SECONDS):
        worker._look(away, now, lambda *_: None)
    assert not worker.is_well


def test_what_cannot_be_noted_is_said_once_and_noted_later(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    serving = Supervisor([], lambda _: Health(True, "runs"), lambda _, what: said.append(what))
    noted: list[dict[str, int]] = []
    is_full = True

    def note(processes: dict[str, int], is_complete: bool, is_up: bool) -> None:
        if is_full:
            raise OSError(28, "No space left on device")
        noted.append(processes)
        serving._times_asked = 1

    monkeypatch.setattr(serve_supervisor, "TELL_AGAIN_EVERY_SECONDS", 0.0)
    monkeypatch.setattr(serve_supervisor, "TICK_SECONDS", 0.0)
    num_ticks = 0

    def tick(_: float) -> None:
        nonlocal is_full, num_ticks
        num_ticks += 1
        is_full = num_ticks < 5

    monkeypatch.setattr(time, "sleep", tick)
    serving._serve(note)
    assert (noted, num_ticks) == ([{}], 6)
    [line] = said
    assert "No space left on device" in line


def test_the_last_stage_is_stopped_first(tmp_path: Path) -> None:
    stages = [[("first", SLEEP, 5)], [("second", SLEEP, 5), ("third", SLEEP, 5)]]
    serving = supervisor(tmp_path, *stages)
    running = keepers(serving)
    assert len(running) == 3
    serving.terminate()
    told = serving.communicate(timeout=60)[0]
    assert serving.returncode == 0
    assert told.splitlines()[-2:] == ["stopping second, third", "stopping first"]
    assert not any(is_running(one) for one in running)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_request_kills_what_does_not_stop(tmp_path: Path, number: int) -> None:
    serving = supervisor(tmp_path, [("stubborn", STUBBORN, 600)])
    running = keepers(serving)
    time.sleep(0.5)  # until it minds no request
    serving.send_signal(number)
    time.sleep(1)
    assert is_running(running[0])
    serving.send_signal(number)
    assert serving.wait(timeout=30) == 0
    assert not is_running(running[0])


def test_runs_of_a_worker_that_was_killed_with_its_keeper_go_on_until_all_stops(
    tmp_path: Path,
) -> None:
    serving = supervisor(tmp_path, [("worker", RUN, 5)])
    [keeper] = keepers(serving)
    log = tmp_path / "worker.log"
    assert soon(lambda: log.read_text() != "")
    run = int(log.read_text())
    os.kill(keeper, signal.SIGKILL)
    assert soon(lambda: len(log.read_text().split()) == 2), "the worker is started again"
    assert is_running(run)
    serving.terminate()
    assert serving.wait(timeout=60) == 0
    assert not is_running(run)


def test_logs_are_bounded_while_they_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serve_supervisor, "MOST_LOG_BYTES", 100)
    log = tmp_path / "part.log"
    with log.open("a") as writer:
        for number in range(50):
            writer.write(f"line {number:04}\n")
            writer.flush()
            serve_supervisor._bound(tmp_path)
    old = (tmp_path / "part.log.1").read_text()
    assert len(old) <= 120 and len(log.read_text()) <= 100
    assert (old + log.read_text()).splitlines()[-1] == "line 0049"
    assert {path.name for path in tmp_path.iterdir()} == {"part.log", "part.log.1"}


def test_logs_are_bounded_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_space(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(serve_supervisor, "MOST_LOG_BYTES", 100)
    monkeypatch.setattr(shutil, "copyfile", no_space)
    (tmp_path / "one.log").write_text("x" * 101)
    (tmp_path / "two.log").write_text("x" * 99)
    serve_supervisor._bound(tmp_path)
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes == {"one.log": 0, "two.log": 99}
