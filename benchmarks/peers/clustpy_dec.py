"""ClustPy's deep clusterers at their defaults, on features that benchmarks/clustering.py made."""

import argparse
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types

import numpy as np
import torch
import torch._dynamo  # else torch imports it at the first step of training
from scipy.sparse import load_npz


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """For torchvision, which ClustPy imports for sets of images, of which there are none here."""

    def find_spec(self, name, path=None, target=None):
        """Its modules, and those within them."""
        if name.split(".")[0] == "torchvision":
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec):
        """A module in which every name is a class."""
        module = types.ModuleType(spec.name)
        module.__getattr__ = _class_named
        return module

    def exec_module(self, module):
        """Nothing: it is whole."""


def _class_named(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def methods():
    """ClustPy's classes by the names that our table has for them."""
    sys.meta_path.insert(0, _StandIn())
    from clustpy.deep import DEC, IDEC

    return {"ClustPy DEC": DEC, "ClustPy IDEC": IDEC}


def peak_memory_bytes():
    """Of this process since it was started."""
    with open("/proc/self/status") as status:
        [line] = [line for line in status if "VmHWM" in line]
    return 1024 * int(line.split()[1])


def main():
    """Cluster, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--method", nargs=4, required=True)
    name, features, num_clusters, seeds = parser.parse_args().method
    torch.set_num_threads(1)
    features_NV = load_npz(features).toarray().astype(np.float32)
    clusterer = methods()[name]
    clusters = []
    started = time.perf_counter()
    for seed in range(int(seeds)):
        model = clusterer(n_clusters=int(num_clusters), random_state=seed)
        clusters.append(model.fit(features_NV).labels_.tolist())
    print(
        json.dumps(
            {
                "clusters": clusters,
                "seconds": (time.perf_counter() - started) / int(seeds),
                "peak_memory_bytes": peak_memory_bytes(),
            }
        )
    )


if __name__ == "__main__":
    main()
