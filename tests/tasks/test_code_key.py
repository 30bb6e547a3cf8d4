import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from data import schemas
from tasks.seams import code_key
from tasks.seams.code_key import code_digests

Write = Callable[..., None]

MODEL = '''
"""A made-up module of models."""
import math
from data.made_up_schemas import VOCABULARY

SIZE = 3
UNUSED = 4

def helper(x):
    """Doubles."""
    return 2 * x + SIZE  # the size matters

def other(x):
    return math.sqrt(x)

class Decoder:
    """Decodes."""
    def decode(self, x):
        return other(x)
'''
STEPS = """
from data.made_up_schemas import VOCABULARY
from models import made_up_helpers
from models.made_up_helpers import Decoder, helper
from tasks.seams.step_cache import step

@step(writes=(VOCABULARY,))
def first(run, settings):
    return helper(run)

@step(writes=())
def second(run, settings):
    return Decoder().decode(run)

@step(writes=())
def third(run, settings):
    return made_up_helpers.other(run)

@step(writes=())
def fourth(run, settings):
    return 4
"""
SCHEMAS = """
def table(name): return name
VOCABULARY = table("vocabulary")
SENTENCES = table("sentences")
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes made-up modules of the project, which are found beside its real ones."""
    real_origin = code_key._origin

    def origin(name: str) -> str | None:
        made_up = tmp_path / f"{name}.py"
        return str(made_up) if made_up.exists() else real_origin(name)

    monkeypatch.setattr(code_key, "_origin", origin)

    def write(**texts: str) -> None:
        for name, text in texts.items():
            path = tmp_path / f"{name.replace('__', '.')}.py"
            path.write_text(textwrap.dedent(text), encoding="utf-8")

    write(
        models__made_up_helpers=MODEL,
        tasks__made_up_steps=STEPS,
        data__made_up_schemas=SCHEMAS,
    )
    return write


def keys() -> dict[str, dict[str, str]]:
    return {
        name: code_digests("tasks.made_up_steps", name)
        for name in ("first", "second", "third", "fourth")
    }


def changes(before: dict[str, dict[str, str]]) -> dict[str, set[str]]:
    """The definitions whose digests are not what they were, for each step that has some."""
    changed = {
        step: {
            name.removeprefix("models.made_up_helpers.")
            for name in {*digests, *before[step]}
            if digests.get(name) != before[step].get(name)
        }
        for step, digests in keys().items()
    }
    return {step: names for step, names in changed.items() if names}


def test_a_step_reaches_what_it_names_and_no_more(write: Write) -> None:
    helpers = "models.made_up_helpers"
    assert {step: set(digests) for step, digests in keys().items()} == {
        "first": {
            "tasks.made_up_steps.first",
            f"{helpers}.helper",
            f"{helpers}.SIZE",
            "data.made_up_schemas.VOCABULARY",
            "data.made_up_schemas.table",
        },
        "second": {"tasks.made_up_steps.second", f"{helpers}.Decoder", f"{helpers}.other"},
        "third": {"tasks.made_up_steps.third", f"{helpers}.other"},
        "fourth": {"tasks.made_up_steps.fourth"},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("  # the size matters", ""),
        ('"""Doubles."""', '"""Doubles, and adds."""'),
        ('    """Doubles."""\n', ""),
        ('"""Decodes."""', '"""Turns codes into text."""'),
        ('"""A made-up module of models."""', "# Nothing is said of it."),
        ("2 * x + SIZE", "(2*x  +\n        SIZE)"),
        ("UNUSED = 4", "UNUSED = 5"),
        ("def other(x):", "\n\n\n# far below\ndef other(x):"),
        ("import math\n", "import math, json\n"),
    ],
)
def test_comments_docstrings_and_layout_change_nothing(write: Write, old: str, new: str) -> None:
    before = keys()
    assert MODEL.count(old) == 1
    write(models__made_up_helpers=MODEL.replace(old, new))
    assert changes(before) == {}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("2 * x", "3 * x", {"first": {"helper"}}),
        ("SIZE = 3", "SIZE = 4", {"first": {"SIZE"}}),
        ("SIZE = 3", "SIZE: int = 3", {"first": {"SIZE"}}),
        ("math.sqrt(x)", "math.exp(x)", {"second": {"other"}, "third": {"other"}}),
        ("return other(x)", "return helper(x)", {"second": {"Decoder", "other", "helper", "SIZE"}}),
    ],
)
def test_an_edited_helper_counts_in_the_steps_that_reach_it(
    write: Write, old: str, new: str, expected: dict[str, set[str]]
) -> None:
    before = keys()
    write(models__made_up_helpers=MODEL.replace(old, new))
    assert changes(before) == expected
    write(models__made_up_helpers=MODEL)
    assert changes(before) == {}


def test_a_renamed_helper_is_another_one(write: Write) -> None:
    before = keys()
    write(models__made_up_helpers=MODEL.replace("SIZE", "WIDTH"))
    assert changes(before) == {"first": {"SIZE", "WIDTH", "helper"}}


def test_a_step_counts_only_the_schemas_that_it_names(write: Write) -> None:
    before = keys()
    write(data__made_up_schemas=SCHEMAS.replace('table("sentences")', 'table("s")'))
    assert changes(before) == {}
    write(data__made_up_schemas=SCHEMAS.replace('table("vocabulary")', 'table("v")'))
    assert changes(before) == {"first": {"data.made_up_schemas.VOCABULARY"}}


@pytest.mark.parametrize(
    "body",
    [
        "from models.made_up_helpers import helper\ndef f(): return helper",
        "from models.made_up_helpers import helper as h\ndef f(): return h(1)",
        "from models import made_up_helpers as m\ndef f(): return m.helper(1)",
        "import models.made_up_helpers\ndef f(): return models.made_up_helpers.helper(1)",
        "import models.made_up_helpers as m\ndef f(): return m.helper.__name__.upper()",
        "def f():\n    from models.made_up_helpers import helper\n    return helper(1)",
        "from models.made_up_helpers import helper\ndef f(x: helper): ...",
        "from models.made_up_helpers import helper\ndef f(x=helper): ...",
        "from models.made_up_helpers import helper\n@helper\ndef f(): ...",
        "from models.made_up_helpers import helper\ndef f(): return [lambda: helper(x) for x in y]",
        "from models.made_up_helpers import helper\nclass f(helper): ...",
        "from models.made_up_helpers import helper\nG = {1: helper}\ndef f(): return G[1]",
        "from models.made_up_helpers import helper\nG = {}\nG[1] = helper\ndef f(): return G",
        "from models.made_up_helpers import helper\nG, H = 1, helper\ndef f(): return G",
        "from models.made_up_helpers import helper\nif g:\n    def f(): return helper",
        "try:\n    pass\nexcept OSError:\n    from models.made_up_helpers import helper\n"
        "    def f(): return helper",
        "from models import made_up_helpers\ndef f(): return run(made_up_helpers)",
    ],
)
def test_a_helper_is_found_however_it_is_named(write: Write, body: str) -> None:
    write(tasks__made_up_other=body)
    found = code_digests("tasks.made_up_other", "f")
    assert {"tasks.made_up_other.f", "models.made_up_helpers.helper"} <= set(found)
    assert "models.made_up_helpers.SIZE" in found  # and what the helper reaches in turn


def test_names_that_are_handed_on_are_followed_to_their_home(write: Write) -> None:
    write(
        models__made_up_hall="from models.made_up_helpers import other",
        tasks__made_up_other="from models.made_up_hall import other\ndef f(): return other",
    )
    assert set(code_digests("tasks.made_up_other", "f")) == {
        "tasks.made_up_other.f",
        "models.made_up_helpers.other",
    }


def test_helpers_that_call_each_other_are_counted_once(write: Write) -> None:
    write(models__made_up_circle="def a(): return b()\ndef b(): return a()")
    assert set(code_digests("models.made_up_circle", "a")) == {
        "models.made_up_circle.a",
        "models.made_up_circle.b",
    }


@pytest.mark.parametrize("name", ["read", "tokenise", "count", "encode"])
def test_plumbing_is_not_followed(name: str) -> None:
    found = code_digests(f"tasks.{name}", name)
    assert f"tasks.{name}.{name}" in found
    assert not {full.rpartition(".")[0] for full in found} & code_key.PLUMBING


def test_plumbing_is_there() -> None:
    assert all(code_key._origin(module) for module in code_key.PLUMBING)


def test_real_steps_reach_their_real_helpers() -> None:
    found = set(code_digests("tasks.count", "count"))
    assert {
        "tasks.count.CountSettings",
        "tasks.count.training_rows",
        "tasks.seams.vocabulary_table.vocabulary_columns",
        "models.vocabulary.UNKNOWN_SPELLINGS",
        "models.special_tokens.SPECIAL_TOKENS",
        "data.book_schemas.VOCABULARY",
        "data.table.BOOK_ID",
    } <= found
    named = {full.rpartition(".")[2] for full in found if "_schemas." in full}
    assert {table.name.upper() for table in schemas.TABLES.values()} & named == {
        "SECTIONS",
        "SENTENCES",
        "VOCABULARY",
    }
    assert "tasks.seams.word_spans.WordCutter" not in found
    assert "tasks.seams.word_spans.WordCutter" in code_digests("tasks.tokenise", "tokenise")


def test_what_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match=r"tasks\.count does not define nothing"):
        code_digests("tasks.count", "nothing")
    with pytest.raises(KeyError, match=r"there is no module tasks\.nowhere"):
        code_digests("tasks.nowhere", "count")
    with pytest.raises(KeyError, match=r"there is no module nowhere\.at_all"):
        code_digests("nowhere.at_all", "count")
