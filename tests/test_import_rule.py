"""Which room may import what (docs: the README's tree), held by reading every import."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("flows", "tasks", "models", "data")
FORBIDDEN = {
    "models": {"flows", "tasks", "data", "prefect", "mlflow", "nltk", "pyarrow", "fsspec"},
    "data": {"flows", "tasks", "models", "prefect", "mlflow", "torch", "sklearn"},
    "tasks": {"flows"},
    "flows": {"models", "torch", "mlflow", "nltk", "sklearn"},
}
HOMES = {
    "mlflow": {"tasks/seams/tracking.py", "tasks/seams/served_model.py"},
    "nltk": {"tasks/seams/tokeniser.py"},
}
NEVER_CALLED = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve"}
TAKEN_NAMES = {"tasks.py", "models.py", "data.py", "tokenize.py", "prefect.py", "torch.py"}


def violations(path: str, source: str) -> list[str]:
    """What a file of the project, by its path from the root, does against the rule."""
    room = path.split("/")[0]
    found = []
    for module in imported(ast.parse(source)):
        top = module.split(".")[0]
        if top in FORBIDDEN[room]:
            found.append(f"{path} imports {module}: {room}/ may not")
        if top in HOMES and path not in HOMES[top]:
            found.append(f"{path} imports {module}, whose home is {sorted(HOMES[top])}")
        if top in NEVER_CALLED:
            found.append(f"{path} imports {module}: nothing is ever unpickled")
        is_step = room == "tasks" and not path.startswith("tasks/seams/")
        if top == "tasks" and is_step and not module.startswith("tasks.seams"):
            found.append(f"{path} imports {module}: a task never imports another")
        if (
            path.startswith("tasks/seams/")
            and f"{module}.".startswith("tasks.")
            and not (module.startswith("tasks.seams"))
        ):
            found.append(f"{path} imports {module}: a seam holds no step")
    for call in ("torch.load(", "allow_pickle=True", "yaml.load("):
        if call in source:
            found.append(f"{path} calls {call}")
    return found


def imported(tree: ast.Module) -> list[str]:
    """Every module that is imported, wherever in the file."""
    modules = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            # `from tasks.seams import report` names a module too
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
    return modules


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_keep_the_rule(room: str) -> None:
    files = sorted((ROOT / room).rglob("*.py"))
    assert files
    found = [
        violation
        for file in files
        for violation in violations(str(file.relative_to(ROOT)), file.read_text())
    ]
    assert found == []


def test_flow_files_hide_no_module() -> None:
    assert not {file.name for file in (ROOT / "flows").iterdir()} & TAKEN_NAMES


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("models/lstm.py", "import prefect"),
        ("models/lstm.py", "def f():\n    from data.store import Store"),
        ("data/store.py", "import torch.nn as nn"),
        ("tasks/train.py", "from tasks.count import count"),
        ("tasks/train.py", "from tasks import count"),
        ("tasks/train.py", "import mlflow"),
        ("tasks/seams/report.py", "from tasks.count import count"),
        ("flows/pipeline.py", "from models.training import evaluate"),
        ("tasks/read.py", "import pickle"),
        ("tasks/read.py", "x = torch.load(path)"),
    ],
)
def test_the_rule_catches(path: str, source: str) -> None:
    assert violations(path, source)


def test_the_rule_lets_pass() -> None:
    source = "from tasks.seams.report import say\nfrom models.batching import START\nimport prefect"
    assert violations("tasks/train.py", source) == []
