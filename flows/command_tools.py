"""What the commands share: options, examples in their help, settings checked, answers printed."""

import json
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import pydantic
from cyclopts import Parameter

from data.addresses import without_login
from data.errors import UserMistake
from flows.environment import with_shelf

MISTAKE_EXIT_CODE = 2
AsJson = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def examples(*lines: str) -> str:
    """The end of a command's help. Every line stands by itself, as typed."""
    return "\n\n".join(["Examples:", *(f"    {line}" for line in lines)])


def validated(model: "type[pydantic.BaseModel]", values: Mapping[str, Any], place: str = "") -> Any:
    """Settings of a model made of values; `place` opens the names in errors.

    Raises:
        UserMistake: a value is out of range, or a name is no setting.
    """
    try:
        return model.model_validate(values)
    except pydantic.ValidationError as error:
        raise settings_mistake(error, model, place) from error


def check_sources(books: Sequence[str]) -> None:
    """Tell of books that are not there before anything is started for them.

    One that is missing among others is a run's own to refuse.

    Raises:
        UserMistake: none of them is there, or one has a password in it.
    """
    from data.books import escaped
    from data.sources import why_missing

    for source in books:
        if without_login(source) != source:
            raise UserMistake(
                f"{without_login(source)} was given with a user's name or password.",
                "Tables and logs would keep it: save the file and name its path.",
            )
    reasons = [(source, why_missing(source)) for source in with_shelf(books)]
    if reasons and all(reason for _, reason in reasons):
        told = " ".join(f"{escaped(source)}: {reason}" for source, reason in reasons)
        raise UserMistake(told, "Check the path; bookloom books --help lists what can be named.")


def settings_mistake(
    error: pydantic.ValidationError, model: "type[pydantic.BaseModel]", place: str
) -> UserMistake:
    """What is wrong with settings, in a user's words; an unknown name with its nearest ones."""
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    if first["type"] != "extra_forbidden":
        given = without_login(repr(first.get("input")))
        message = f"{place}{name} is {given}: {first['msg'].removeprefix('Value error, ')}."
        return UserMistake(message, "Correct the value.")
    owner: Any = model
    for part in path[:-1]:
        owner = owner.model_fields[part].annotation
    known = list(owner.model_fields)
    nearest = get_close_matches(path[-1], known, n=3) or known
    return UserMistake(f"{place}{name} is no setting.", f"Did you mean {', '.join(nearest)}?")


def print_answer(result: Mapping[str, Any], as_json: bool, as_text: Callable[[Any], str]) -> None:
    """Print what a command answers: as one JSON object, or as text for a person."""
    if as_json:
        print(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        print(as_text(result))
