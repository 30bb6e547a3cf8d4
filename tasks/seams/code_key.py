"""Which code a step's result depends on: a digest for every definition that the step reaches.

Starting from the step's function, names are followed through the syntax tree: functions, classes
and constants of its own module, and what it imports from this project's other modules. Comments,
docstrings and layout do not count, and neither does plumbing, which moves values without making
them.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from data.errors import UserMistake

PROJECT = ("flows", "tasks", "models", "data")
# A change here moves no value of any table; what the store means by a table is STORE_FORMAT's job.
PLUMBING = frozenset(
    [
        "data.digest",
        "data.errors",
        "data.store",
        "tasks.seams.champions",
        "tasks.seams.checkpoints",
        "tasks.seams.end_with_parent",
        "tasks.seams.making_again",
        "tasks.seams.manifests",
        "tasks.seams.memory",
        "tasks.seams.registry",
        "tasks.seams.registry_lock",
        "tasks.seams.report",
        "tasks.seams.run_context",
        "data.settings",
        "tasks.seams.shards",
        "tasks.seams.step_cache",
        "tasks.seams.step_run",
        "tasks.seams.surroundings",
        "tasks.seams.tracking",
    ]
)


def code_digests(module: str, name: str) -> dict[str, str]:
    """Digests of all definitions that `module.name` reaches, by `module.name`, itself included.

    Raises:
        KeyError: the module does not define the name.
    """
    project = _Project()
    if name not in project.module(module).definitions:
        raise KeyError(f"{module} does not define {name}")
    found: dict[str, str] = {}
    waiting = [(module, name)]
    while waiting:
        module, name = waiting.pop()
        if f"{module}.{name}" in found or module in PLUMBING:
            continue
        source = project.module(module)
        if name in source.definitions:
            found[f"{module}.{name}"] = source.digest(name)
            for chain in source.chains(name):
                waiting += project.meant(source, chain)
        elif name in source.imports:  # re-exported from elsewhere
            waiting += project.meant(source, (name,))
    return found


def must_be_code_of_start(digests: Iterable[str]) -> None:
    """Make sure that what a step reaches is still what this process began with.

    Functions stay as they were imported while their files change: results of old code would stand
    under the key of new code, for good.

    Args:
        digests: of `code_digests`, the names.

    Raises:
        UserMistake: a file was changed meanwhile.
    """
    modules = sorted({name.rsplit(".", 1)[0] for name in digests})
    paths = {module: path for module in modules if (path := str(_origin(module))) in _AT_START}
    changed = [module for module, path in paths.items() if _digest_of_file(path) != _AT_START[path]]
    if changed:
        raise UserMistake(
            f"The code has changed since this run began: {', '.join(changed)}.",
            "Nothing was made by a mixture of both. Run again: what was finished before is kept.",
        )


def _digest_of_file(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""


class _Project:
    """The project's modules, each read once, as one who looks at a step's code finds them."""

    def __init__(self) -> None:
        self._modules: dict[str, _Module] = {}

    def module(self, name: str) -> "_Module":
        """A module.

        Raises:
            KeyError: there is none.
        """
        if name not in self._modules:
            origin = _origin(name)
            if origin is None:
                raise KeyError(f"there is no module {name}")
            self._modules[name] = _parsed(name, Path(origin).read_text(encoding="utf-8"))
        return self._modules[name]

    def meant(self, source: "_Module", chain: tuple[str, ...]) -> list[tuple[str, str]]:
        """Definitions that a dotted name may mean: in a module, or in another of the project's."""
        head, *rest = chain
        if head in source.definitions:
            return [(source.name, head)]
        if head not in source.imports:
            return []
        module, attribute = source.imports[head]
        if module.split(".")[0] not in PROJECT:
            return []
        path = ([attribute] if attribute else []) + rest
        while path and _origin(f"{module}.{path[0]}"):
            module = f"{module}.{path.pop(0)}"
        if path:
            return [(module, path[0])]
        # The module itself is handed about: all of it counts.
        names = [] if module in PLUMBING else self.module(module).definitions
        return [(module, name) for name in names]


class _Module:
    """A parsed module: its top-level definitions and what its imports bind."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.definitions: dict[str, list[ast.stmt]] = {}
        self.imports: dict[str, tuple[str, str | None]] = {}  # bound name -> (module, attribute)
        tree = ast.parse(text)
        for node in ast.walk(tree):
            _take_docstring(node)
            self._bind(node)  # imports inside functions too
        self._collect(tree.body)
        self._digests: dict[str, str] = {}
        self._chains: dict[str, set[tuple[str, ...]]] = {}

    def digest(self, name: str) -> str:
        """Of a definition."""
        if name not in self._digests:
            dump = "\n".join(ast.dump(node) for node in self.definitions[name])
            self._digests[name] = hashlib.sha256(dump.encode()).hexdigest()
        return self._digests[name]

    def chains(self, name: str) -> set[tuple[str, ...]]:
        """The dotted names that a definition reads."""
        if name not in self._chains:
            nodes = self.definitions[name]
            self._chains[name] = {chain for node in nodes for chain in _names_in(node)}
        return self._chains[name]

    def _collect(self, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                self.definitions.setdefault(node.name, []).append(node)
            elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    for leaf in ast.walk(target):
                        if isinstance(leaf, ast.Name):
                            self.definitions.setdefault(leaf.id, []).append(node)
            elif isinstance(node, ast.If | ast.Try | ast.With):
                for field in ("body", "orelse", "finalbody"):
                    self._collect(getattr(node, field, []))
                for handler in getattr(node, "handlers", []):
                    self._collect(handler.body)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                bound = alias.asname or alias.name.split(".")[0]
                self.imports[bound] = (alias.name if alias.asname else bound, None)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                self.imports[alias.asname or alias.name] = (node.module, alias.name)


def _names_in(root: ast.AST) -> Iterator[tuple[str, ...]]:
    """Every name that is read, with the attributes that follow it: `a.b.c` as (a, b, c)."""
    waiting = [root]
    while waiting:
        node = waiting.pop()
        chain: list[str] = []
        inner = node
        while isinstance(inner, ast.Attribute):
            chain.insert(0, inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name):
            yield (inner.id, *chain)
        else:
            waiting += ast.iter_child_nodes(node)


def _take_docstring(node: ast.AST) -> None:
    body = getattr(node, "body", None)
    if isinstance(body, list):
        node.body = [  # type: ignore[attr-defined]
            s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        ]


@lru_cache
def _origin(name: str) -> str | None:
    """A module's file. Found without importing anything: some of ours import PyTorch."""
    top, *inner = name.split(".")
    package = importlib.util.find_spec(top)
    if package is None or not inner:
        return package.origin if package else None
    for folder in package.submodule_search_locations or ():
        place = Path(folder, *inner)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return str(file)
    return None


def _at_start() -> dict[str, str]:
    """Digests of the project's files, as this process began: 250 of them take 10 ms."""
    tops = (importlib.util.find_spec(top) for top in PROJECT)
    folders = [Path(top.origin).parent for top in tops if top and top.origin]
    files = [str(path) for folder in folders for path in folder.rglob("*.py")]
    return {path: _digest_of_file(path) for path in files}


_AT_START = _at_start()


@lru_cache(maxsize=256)
def _parsed(name: str, text: str) -> _Module:
    return _Module(name, text)
