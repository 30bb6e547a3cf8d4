"""The rooms: who may import whom, and what nobody may do; every import is read."""

import ast
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "models", "data")
FILES = [
    path.relative_to(ROOT).as_posix()
    for room in ROOMS
    for path in sorted((ROOT / room).rglob("*.py"))
]

MAY_IMPORT_ROOMS = {
    "flows": {"flows", "tasks", "data"},
    "tasks": {"tasks", "models", "data"},
    "models": {"models"},
    "data": {"data"},
}
# Each big library has one home, folders or files.
HOMES = {
    "prefect": ("flows/", "tasks/"),
    "torch": ("tasks/", "models/"),
    "sklearn": ("models/",),
    "mlflow": (
        "tasks/seams/machine_metrics.py",
        "tasks/seams/registry.py",
        "tasks/seams/tracking.py",
        "tasks/seams/served_model.py",
        "tasks/seams/scoring_server.py",
    ),
    "nltk": ("tasks/seams/tokeniser.py", "data/nltk_corpora.py"),
    "matplotlib": ("tasks/seams/",),
    "plotly": ("tasks/seams/",),
    "gensim": ("tasks/seams/word_vectors.py",),
    "onnx": ("models/onnx_export.py",),
}
MODELS_MAY_IMPORT = {
    "torch", "numpy", "scipy", "sklearn", "safetensors", "threadpoolctl", "onnx",
}  # fmt: skip
UNPICKLING_LIBRARIES = {"pickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
UNPICKLING_CALLS = {"torch.load", "yaml.unsafe_load", "yaml.full_load", "pandas.read_pickle"}
HIDDEN_IMPORTS = {"__import__", "importlib.import_module"}


def violations(path: str, source: str) -> list[str]:
    """What a file of the project, by its path from the root, does against the rule."""
    tree = ast.parse(source)
    room = path.split("/", 1)[0]
    found = []
    for module in imported(tree):
        library = module.split(".")[0]
        if library in (*ROOMS, "tests", "benchmarks"):
            if library not in MAY_IMPORT_ROOMS[room]:
                found.append(f"{room} may not import {module}")
            elif room == "tasks" and library == "tasks" and not is_seam(module):
                found.append(f"a task may not import the task {module}")
        elif room == "models" and library not in MODELS_MAY_IMPORT | sys.stdlib_module_names:
            found.append(f"models may not import {module}")
        elif library in HOMES and not path.startswith(HOMES[library]):
            found.append(f"{module} has its home elsewhere: {HOMES[library]}")
        if library in UNPICKLING_LIBRARIES:
            found.append(f"{module} unpickles")
    found += [f"relative import in line {line}" for line in relative_imports(tree)]
    found += forbidden_calls(tree)
    if path.startswith("tasks/seams/"):
        found += [f"a seam holds no step: {name}" for name in steps(tree)]
    return found


def is_seam(module: str) -> bool:
    return f"{module}.".startswith("tasks.seams.")


def imported(tree: ast.Module) -> Iterator[str]:
    """Whatever is imported anywhere in the file, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            if node.module in ROOMS:  # `from tasks import read` means the module tasks.read
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            else:
                yield node.module


def relative_imports(tree: ast.Module) -> list[int]:
    nodes = ast.walk(tree)
    return [node.lineno for node in nodes if isinstance(node, ast.ImportFrom) and node.level]


def forbidden_calls(tree: ast.Module) -> list[str]:
    full_names = {}  # what a name that an import bound means
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full_names |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom):
            full_names |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    found = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        head, *rest = ast.unparse(node.func).split(".")
        name = ".".join([full_names.get(head, head), *rest])
        arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
        is_safe = any(
            name in ast.unparse(argument)
            for argument in arguments
            for name in ("SafeLoader", "BaseLoader")  # the latter makes strings of all
        )
        if name in UNPICKLING_CALLS | HIDDEN_IMPORTS:
            found.append(f"{name} in line {node.lineno}")
        if name in ("yaml.load", "yaml.load_all") and not is_safe:
            found.append(f"{name} without a safe loader in line {node.lineno}")
        found += [
            f"allow_pickle in line {node.lineno}"
            for keyword in node.keywords
            if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False"
        ]
    return found


def steps(tree: ast.Module) -> list[str]:
    return [
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).split("(")[0].split(".")[-1] in ("step", "task", "flow")
    ]


def test_all_rooms_are_looked_at() -> None:
    assert {path.split("/")[0] for path in FILES} == set(ROOMS)
    assert {"flows/pipeline.py", "tasks/read.py", "tasks/seams/tracking.py"} <= set(FILES)
    assert {"models/batching.py", "data/schemas.py"} <= set(FILES)


@pytest.mark.parametrize("path", FILES)
def test_the_rule_holds(path: str) -> None:
    assert violations(path, (ROOT / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("path", "source", "complaint"),
    [
        ("flows/a.py", "from models.batching import END", "flows may not import models"),
        ("flows/a.py", "import torch", "torch has its home elsewhere"),
        ("flows/a.py", "def f():\n    import mlflow.pyfunc", "mlflow.pyfunc has its home"),
        ("tasks/a.py", "from tasks.read import read", "may not import the task tasks.read"),
        ("tasks/a.py", "from tasks import read", "may not import the task tasks.read"),
        ("tasks/a.py", "import tasks.read as r", "may not import the task tasks.read"),
        ("tasks/a.py", "from flows.pipeline import pipeline", "tasks may not import flows"),
        ("tasks/a.py", "import mlflow", "mlflow has its home elsewhere"),
        ("tasks/a.py", "from nltk.corpus import words", "nltk.corpus has its home elsewhere"),
        ("tasks/a.py", "import matplotlib.pyplot as plt", "matplotlib.pyplot has its home"),
        ("tasks/a.py", "from tests.models import x", "tasks may not import tests"),
        ("tasks/seams/a.py", "import nltk", "nltk has its home elsewhere"),
        ("tasks/seams/a.py", "import mlflow", "mlflow has its home elsewhere"),
        ("tasks/seams/a.py", "from tasks.read import read", "may not import the task"),
        ("tasks/seams/a.py", "@step(writes=())\ndef f(run): ...", "a seam holds no step: f"),
        ("tasks/seams/a.py", "@prefect.task\ndef f(): ...", "a seam holds no step: f"),
        ("tasks/seams/a.py", "import gensim.models", "gensim.models has its home elsewhere"),
        ("tasks/embed.py", "from gensim.models import Word2Vec", "gensim.models has its home"),
        ("models/a.py", "import prefect", "models may not import prefect"),
        ("models/a.py", "import pyarrow as pa", "models may not import pyarrow"),
        ("models/a.py", "from data.errors import UserMistake", "models may not import data"),
        ("models/a.py", "from onnx import helper", "onnx has its home elsewhere"),
        ("tasks/a.py", "import onnx", "onnx has its home elsewhere"),
        (
            "models/a.py",
            "class C:\n  def f(self):\n    from tasks import seams",
            "not import tasks",
        ),
        ("models/a.py", "from .batching import END", "relative import in line 1"),
        ("data/a.py", "from torch import nn", "torch has its home elsewhere"),
        ("data/a.py", "from sklearn import cluster", "sklearn has its home elsewhere"),
        ("data/a.py", "if True:\n    from prefect import task", "prefect has its home elsewhere"),
        ("data/a.py", "from tasks.seams.report import say", "data may not import tasks"),
        ("data/a.py", "from models import batching", "data may not import models"),
        ("data/a.py", "import pickle", "pickle unpickles"),
        ("tasks/a.py", "from joblib import load", "joblib unpickles"),
        ("tasks/a.py", "x = torch.load(path)", "torch.load in line 1"),
        ("tasks/a.py", "import torch as t\nx = t.load('f')", "torch.load in line 2"),
        ("models/a.py", "from torch import load\nx = load('f')", "torch.load in line 2"),
        ("models/a.py", "import numpy as np\nnp.load('f', allow_pickle=True)", "allow_pickle"),
        ("models/a.py", "import numpy as np\nnp.load('f', allow_pickle=flag)", "allow_pickle"),
        ("flows/a.py", "import yaml\nyaml.load('f', yaml.Loader)", "without a safe loader"),
        ("flows/a.py", "from yaml import load\nload('f', Loader=L)", "without a safe loader"),
        ("flows/a.py", "import yaml\nyaml.unsafe_load('f')", "yaml.unsafe_load in line 2"),
        ("data/a.py", "__import__('torch')", "__import__ in line 1"),
        ("data/a.py", "import importlib\nimportlib.import_module('torch')", "import_module"),
    ],
)
def test_the_rule_catches(path: str, source: str, complaint: str) -> None:
    (found,) = violations(path, source)
    assert complaint in found


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("flows/a.py", "from prefect import flow\nfrom tasks.read import read\nimport cyclopts"),
        ("flows/a.py", "import yaml\nyaml.load('f', yaml.SafeLoader)\nyaml.safe_load('f')"),
        ("flows/a.py", "from yaml import CSafeLoader, load\nload('f', Loader=CSafeLoader)"),
        ("tasks/a.py", "from tasks.seams.report import say\nfrom tasks.seams import run_report"),
        ("tasks/a.py", "import torch, prefect\nfrom models.batching import END"),
        ("tasks/seams/tracking.py", "def f():\n    import mlflow\n    mlflow.load('x')"),
        ("tasks/seams/tokeniser.py", "from nltk.tokenize import NLTKWordTokenizer"),
        ("tasks/seams/word_vectors.py", "def f():\n    from gensim.models import Word2Vec"),
        (
            "models/a.py",
            "import sklearn.cluster, math\nfrom safetensors.torch import load\nload(b)",
        ),
        ("models/a.py", "import numpy as np\nnp.load('f', allow_pickle=False)"),
        ("data/a.py", "import pyarrow\n'import torch'  # import torch; torch.load('f')"),
    ],
)
def test_the_rule_lets_pass(path: str, source: str) -> None:
    assert violations(path, source) == []


def test_flow_files_hide_no_room_and_no_library() -> None:
    """Prefect puts a flow file's own folder first on the import path."""
    taken = {*ROOMS, "tests", "benchmarks", *sys.stdlib_module_names, *packages_distributions()}
    assert {"prefect", "torch", "mlflow", "nltk", "tokenize"} <= taken
    names = {Path(path).stem for path in FILES if path.startswith("flows/")} - {"__init__"}
    assert names & taken == set()
