"""What a user would pick instead, beside bookloom, on the same text in one go.

    python benchmarks/peers.py --train F --valid F --test F --json

takes three whitespace-tokenised files, one sentence a line. Each peer trains for one epoch in an
environment of its own, which is made on the first call (PIP_EXTRA_INDEX_URL chooses torch's CPU
build, as in the README): a plain full-softmax PyTorch LSTM and a stateful Keras LSTM on JAX, both
of 2 layers of 200 units, 20 lanes x 35 tokens. Then benchmarks/language_model.py trains on the same
text: once for one epoch, and once for each peer until its validation perplexity is that of the peer
or lower. All of them run one after the other on the same processor cores, and count every token and
every line end. Nothing else should run meanwhile. Arguments after `--` go to language_model.py:

    python benchmarks/peers.py --train F --valid F --test F --peers pytorch -- --seed 2

A peer's seconds are those of its training (Keras's with compilation), its tokens/s without.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = HERE / "peers_requirements.txt"
SCRIPTS = {"pytorch": HERE / "peers/plain_pytorch.py", "keras": HERE / "peers/keras_jax.py"}
BOOKLOOM = HERE / "language_model.py"

Figures = dict[str, Any]


def environment(folder: Path, requirements: Path, *options: str) -> str:
    """The Python of the peers' environment, made anew where the requirements have changed.

    `options` are pip's.
    """
    python, installed = folder / "bin/python", folder / "installed.txt"
    wanted = requirements.read_text()
    if not installed.exists() or installed.read_text() != wanted:
        print(f"installing the peers into {folder}", file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        install = [python, "-m", "pip", "install", "-q", *options, "-r", requirements]
        subprocess.run(install, check=True)
        installed.write_text(wanted)
    return str(python)


def keep_to_cores(num_threads: int) -> None:
    """Bind this process, and so all that it starts, to so many cores: JAX has no other bound."""
    cores = sorted(os.sched_getaffinity(0))
    if num_threads > len(cores):
        sys.exit(f"--threads {num_threads}: this machine lends {len(cores)} cores")
    os.sched_setaffinity(0, cores[:num_threads])
    os.environ["OMP_NUM_THREADS"] = str(num_threads)


def run(python: str, script: Path, arguments: list[str], **variables: str) -> Figures:
    """The JSON object on the last line that a script prints."""
    done = subprocess.run(
        [python, script, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
    )
    if done.returncode:
        sys.exit(f"{script.name} failed with exit code {done.returncode}: {done.stdout}")
    figures: Figures = json.loads(done.stdout.splitlines()[-1])
    return figures


def comparison(peer: Figures, epoch: Figures, until: Figures) -> Figures:
    """How many times faster than a peer bookloom is, and in what share of its seconds it gets
    there; null where it did not get there.
    """
    seconds = until.get("seconds_to_perplexity")
    return {
        "tokens_per_second_ratio": epoch["tokens_per_second"] / peer["tokens_per_second"],
        "validation_perplexity_ratio": (
            epoch["validation_perplexity"] / peer["validation_perplexity"]
        ),
        "seconds_to_peers_perplexity": seconds,
        "seconds_ratio": None if seconds is None else seconds / peer["seconds"],
    }


def table(result: Figures) -> str:
    """The result as Markdown: a row a program, then a row a comparison."""
    lines = [
        "| | tokens/s | seconds | validation perplexity | test perplexity | memory, GB |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in [*_peers(result), ("bookloom, one epoch", result["bookloom_one_epoch"])]:
        part = "" if row.get("whole_epoch", True) else ", epoch not finished"
        lines.append(
            f"| {name}{part} | {row['tokens_per_second']:,.0f} | {row['seconds']:,.0f} "
            f"| {row['validation_perplexity']:.1f} | {row['test_perplexity']:.1f} "
            f"| {row['peak_memory_bytes'] / 1e9:.2f} |"
        )
    lines += [
        "",
        "| bookloom beside | tokens/s | validation perplexity | seconds to its perplexity |",
        "|---|---|---|---|",
    ]
    for name, peer in _peers(result):
        beside = peer["bookloom_beside"]
        seconds, ratio = beside["seconds_to_peers_perplexity"], beside["seconds_ratio"]
        reached = "not reached" if ratio is None else f"{seconds:,.0f}, {ratio:.3f} of its own"
        lines.append(
            f"| {name} | {beside['tokens_per_second_ratio']:.2f} times "
            f"| {beside['validation_perplexity_ratio']:.3f} times | {reached} |"
        )
    return "\n".join(lines)


def _peers(result: Figures) -> list[tuple[str, Figures]]:
    return [(f"{peer['peer']} {peer['version']}", peer) for peer in result["peers"].values()]


def main() -> None:
    """Install, run, compare, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("--train", "--valid", "--test"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--peers", default="pytorch,keras", help="which, with commas between")
    parser.add_argument("--minutes", type=float, help="stop each training after so many")
    parser.add_argument("--threads", type=int, default=2, help="cores, for all of them")
    parser.add_argument("--environment", type=Path, default=HERE.parent / ".venv-peers")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    ours, for_bookloom = _split(sys.argv[1:])
    chosen = parser.parse_args(ours)
    names = chosen.peers.split(",")
    if unknown := set(names) - set(SCRIPTS):
        parser.error(f"--peers {','.join(sorted(unknown))}: the peers are {', '.join(SCRIPTS)}")
    keep_to_cores(chosen.threads)
    python = environment(chosen.environment, REQUIREMENTS)

    text = ["--train", chosen.train, "--valid", chosen.valid, "--test", chosen.test]
    threads = ["--threads", str(chosen.threads)]
    limit = [] if chosen.minutes is None else ["--minutes", str(chosen.minutes)]
    peers = {
        name: run(
            python,
            SCRIPTS[name],
            [*text, *limit, *threads],
            KERAS_BACKEND="jax",
            KERAS_HOME=str(chosen.environment / "keras"),  # not the user's own settings
        )
        for name in names
    }
    bookloom = [*text, *threads, "--json", *for_bookloom]
    epoch = run(sys.executable, BOOKLOOM, [*bookloom, "--epochs", "1"])
    for peer in peers.values():
        target = str(peer["validation_perplexity"])
        until = run(sys.executable, BOOKLOOM, [*bookloom, *limit, "--until-perplexity", target])
        peer["bookloom_beside"] = comparison(peer, epoch, until)
    result = {"threads": chosen.threads, "peers": peers, "bookloom_one_epoch": epoch}
    print(json.dumps(result) if chosen.json else table(result))


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    """What stands before `--`, and what after."""
    edge = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:edge], arguments[edge + 1 :]


if __name__ == "__main__":
    main()
