"""Ways to cluster labelled texts, side by side: a folder for each label, a file for each text.

    python benchmarks/clustering.py shelf --seeds 5 --json        shelf/austen/emma-01.txt, ...
    python benchmarks/clustering.py shelf --purpose style
    python benchmarks/clustering.py shelf --peers                 ClustPy's DEC and IDEC too

Every method is given the same features and as many clusters as there are labels; none sees the
labels. Each runs in a process of its own, one after the other: its seconds are those of one seed,
without what it takes to import it; its peak memory is that of its process. The peers are installed
into an environment of their own, .venv-clustpy. Nothing else should run meanwhile.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix, load_npz, save_npz

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.peers import environment
from models.cluster_scores import DEFAULT_METHOD, scores_over_seeds

PEERS = ("ClustPy DEC", "ClustPy IDEC")
PEER_SCRIPT = Path(__file__).parent / "peers" / "clustpy_dec.py"
PEER_REQUIREMENTS = Path(__file__).parent / "clustpy_requirements.txt"
PEER_ENVIRONMENT = Path(__file__).parents[1] / ".venv-clustpy"


def features_of(folder: Path, purpose: str) -> tuple[csr_matrix, list[str]]:
    """The texts' weights as the pipeline makes them, and their labels.

    Raises:
        SystemExit: there are no two labels with texts, or one can't be read.
    """
    from data.documents import Unreadable
    from data.encodings import decode
    from data.languages import LanguageDetector, language_sample
    from data.stop_words import stop_words_of
    from tasks.seams.tokeniser import PunktModel, SentenceSplitter, cut
    from tasks.weigh import WeighSettings, weights_of

    splitter, detector = SentenceSplitter(PunktModel((), (), (), ())), LanguageDetector()
    tokens, labels, languages = [], [], []
    for path in sorted(folder.glob("*/*.txt")):
        try:
            text = decode(path.read_bytes()).text
        except Unreadable as error:
            raise SystemExit(f"{path}: {error}") from error
        sentences = cut(text, splitter.spans(text), "word").tokens
        tokens.append(sentences.flatten().to_pylist())
        labels.append(path.parent.name)
        languages.append(detector.detect(language_sample(text)))
    if len(set(labels)) < 2:
        raise SystemExit(f"{folder} has no two folders with .txt files: give label/text.txt files.")
    texts = zip(tokens, map(stop_words_of, languages), strict=True)
    weights = weights_of(texts, WeighSettings.model_validate({"purpose": purpose}))
    return weights.features_NV, labels


def peak_memory_bytes() -> int:
    """Of this process since it was started; what getrusage says has its parent's in it."""
    [line] = [x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x]
    return 1024 * int(line.split()[1])


def run_method(name: str, features: str, num_clusters: int, seeds: int) -> dict[str, Any]:
    """Clusters for each seed, seconds a seed, and this process's peak memory."""
    import torch
    import torch._dynamo  # else torch imports it at the first step of training

    from models.cluster_methods import METHODS

    torch.set_num_threads(1)
    features_NV = csr_matrix(load_npz(features))
    started = time.perf_counter()
    found = [METHODS[name](features_NV, num_clusters, seed).tolist() for seed in range(seeds)]
    return {
        "clusters": found,
        "seconds": (time.perf_counter() - started) / seeds,
        "peak_memory_bytes": peak_memory_bytes(),
    }


def measured(
    name: str, features: str, labels: list[str], seeds: int, program: Sequence[str]
) -> dict[str, Any]:
    """A method's scores, in a process of its own, which the program starts."""
    command = [*program, "--method", name, features, str(len(set(labels))), str(seeds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")
    found = json.loads(done.stdout.splitlines()[-1])
    clusters = [np.array(one, dtype=np.int32) for one in found["clusters"]]
    row: dict[str, Any] = {"method": name, "is_default": name == DEFAULT_METHOD}
    for figure, (mean, deviation) in scores_over_seeds(clusters, labels).items():
        row |= {f"{figure}_mean": mean, f"{figure}_sd": deviation}
    return row | {"seconds": found["seconds"], "peak_memory_bytes": found["peak_memory_bytes"]}


def main() -> None:
    """Measure, and print a table or one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--purpose", choices=["topic", "style"], default="topic")
    parser.add_argument("--methods", nargs="+", help="these only, by their names in the table")
    parser.add_argument("--peers", action="store_true", help="ClustPy's DEC and IDEC too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--method", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.method:
        name, features, num_clusters, seeds = options.method
        print(json.dumps(run_method(name, features, int(num_clusters), int(seeds))))
        return
    if options.seeds < 1:
        parser.error(f"--seeds {options.seeds} is no number of seeds: name 1 or more")
    if options.folder is None:
        parser.error("name a folder with a folder of .txt files for each label")
    from models.cluster_methods import METHODS

    if unknown := {*(options.methods or ())} - {*METHODS}:
        parser.error(f"{sorted(unknown)} are none of the methods {list(METHODS)}")
    programs = dict.fromkeys(options.methods or METHODS, (sys.executable, __file__))
    if options.peers:
        python = environment(PEER_ENVIRONMENT, PEER_REQUIREMENTS, "--no-deps")
        programs |= dict.fromkeys(PEERS, (python, str(PEER_SCRIPT)))
    features_NV, labels = features_of(options.folder, options.purpose)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        features = f"{scratch}/features.npz"
        save_npz(features, features_NV)
        for name, program in programs.items():
            results.append(measured(name, features, labels, options.seeds, program))
            print(_line(results[-1]), file=sys.stderr, flush=True)
    about = {
        "folder": str(options.folder),
        "purpose": options.purpose,
        "num_texts": len(labels),
        "num_labels": len(set(labels)),
        "num_terms": features_NV.shape[1],
        "seeds": options.seeds,
    }
    print(
        json.dumps({**about, "results": results})
        if options.json
        else "\n".join([str(about), *map(_line, results)])
    )


def _line(row: dict[str, Any]) -> str:
    figures = ", ".join(
        f"{name} {row[f'{figure}_mean']:.3f} ± {row[f'{figure}_sd']:.3f}"
        for figure, name in (("accuracy", "accuracy"), ("nmi", "NMI"), ("ari", "ARI"))
    )
    mark = "*" if row["is_default"] else " "
    return (
        f"{mark} {row['method']:<40} {figures}, {row['seconds']:.1f} s, "
        f"{row['peak_memory_bytes'] / 1e6:,.0f} MB"
    )


if __name__ == "__main__":
    main()
