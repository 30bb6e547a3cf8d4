"""What `prefect.yaml` says: the settings of real runs, deployments, and the pools they run in.

A file of one's own (`BOOKLOOM_DEPLOYMENTS`) need say only what is to be otherwise: named settings
and pools come beside bookloom's own; deployments, where it has any, take the place of all of those.
"""

import os
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import yaml

from data.errors import UserMistake
from data.spelling import nearest_words
from flows.environment import PROJECT_ROOT
from tasks.seams.surroundings import provenance

PIPELINE_ENTRYPOINT = "flows/pipeline.py:pipeline"
MAP_ENTRYPOINT = "flows/texts_map.py:texts_map"
OWN_FILE = PROJECT_ROOT / "prefect.yaml"
Pool = Literal["process", "docker", "kubernetes"]


def deployments_file() -> Path:
    """Where deployments are described first: `BOOKLOOM_DEPLOYMENTS`, or `prefect.yaml`."""
    return Path(os.environ.get("BOOKLOOM_DEPLOYMENTS") or OWN_FILE)


def deployment_settings(name: str, entrypoint: str = PIPELINE_ENTRYPOINT) -> dict[str, Any]:
    """Settings of a flow, by default of the pipeline, as plain values: those of a deployment, or,
    for the pipeline, those that have a name of their own.

    Raises:
        UserMistake: nothing has that name, or there is no such file.
    """
    content = _content()
    found = {
        entry["name"]: entry.get("parameters", {}).get("settings", {})
        for entry in content["deployments"]
        if entry.get("entrypoint") == entrypoint
    }
    if entrypoint == PIPELINE_ENTRYPOINT:
        found |= content["definitions"]["settings"]
    if name not in found:
        nearest = nearest_words(name, found) or sorted(found)
        raise UserMistake(
            f"{deployments_file().name} has no deployment {name!r} of {entrypoint}.",
            f"Choose one of: {', '.join(nearest)}."
            if nearest
            else f"Copy one of bookloom's own, {OWN_FILE}.",
        )
    settings: dict[str, Any] = found[name]
    return settings


def pool_section(pool: Pool) -> dict[str, Any]:
    """What a pool is: its type, its deployments' `work_pool`, and what its image is built by."""
    section: dict[str, Any] = _content()["definitions"]["work_pools"][pool]
    return section


def rendered(
    pool: Pool = "process", image: str | None = None, names: Sequence[str] = ()
) -> dict[str, Any]:
    """`prefect.yaml` as it is deployed to a pool: what `prefect deploy` reads.

    The image is built, and pushed where its name has a registry in it, before the first deployment.

    Args:
        pool: where runs happen.
        image: name and tag of the image, in place of the pool's own.
        names: of deployments; by default all.

    Raises:
        UserMistake: a pool of processes has no image; an image's name has no tag; no deployment
            has that name.
    """
    content = _content()
    section = pool_section(pool)
    words = _image_words(pool, image or section.get("image"))
    entries = {entry["name"]: entry for entry in content["deployments"]}
    for name in names:
        if name not in entries:
            raise UserMistake(
                f"{deployments_file().name} has no deployment {name!r}.",
                f"Choose among: {', '.join(nearest_words(name, entries) or entries)}.",
            )
    chosen = [
        {**entry, "work_pool": _filled(section["work_pool"], words)}
        for name, entry in entries.items()
        if name in (names or entries)
    ]
    if words and chosen:
        chosen[0]["build"] = _filled(section["build"], words)
        chosen[0]["push"] = _filled(section["push"], words) if _has_registry(words) else []
    return {"name": content["name"], "pull": content["pull"], "deployments": chosen}


def job_template(section: Mapping[str, Any], prefects: Mapping[str, Any]) -> dict[str, Any]:
    """A pool's template of jobs: Prefect's for its type, with the pool's `pod` and `container`."""
    template = deepcopy(dict(prefects))
    if "pod" in section:
        pod = template["job_configuration"]["job_manifest"]["spec"]["template"]["spec"]
        pod |= section["pod"]
        pod["containers"][0] |= section["container"]
    return template


def as_yaml(content: Mapping[str, Any]) -> str:
    """What `prefect deploy` reads, as text; what stands there twice is written twice."""
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _content() -> dict[str, Any]:
    """All of the file, and of bookloom's own what it leaves out."""
    path = deployments_file()
    usual: dict[str, Any] = yaml.safe_load(OWN_FILE.read_text(encoding="utf-8"))
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        definitions = content.get("definitions", {})
        merged = {
            name: {**usual["definitions"][name], **definitions.get(name, {})}
            for name in ("settings", "work_pools")
        }
        return {**usual, **content, "definitions": merged}
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, TypeError) as error:
        raise UserMistake(
            f"{path.absolute()} describes no deployments: {error}.",
            f"Copy bookloom's own, {OWN_FILE}, and change what is to be otherwise.",
        ) from error
    except FileNotFoundError as error:
        raise UserMistake(
            f"There is no file {path.absolute()} that describes deployments.",
            "Set BOOKLOOM_DEPLOYMENTS to one, or leave it unset for that of bookloom.",
        ) from error


def _image_words(pool: Pool, image: str | None) -> dict[str, str]:
    """What is meant by `{{ image }}` and the like in a pool's section."""
    if pool == "process":
        if image is not None:
            raise UserMistake(
                f"A pool of processes runs no image: {image}.",
                "Leave --image out, or pass --pool docker or --pool kubernetes.",
            )
        return {}
    name, _, tag = str(image).rpartition(":")
    if not name or "/" in tag:
        raise UserMistake(f"The image {image!r} has no tag.", f"Name it {image}:1, say.")
    commit = provenance()["git_commit"]
    return {"image": str(image), "image_name": name, "image_tag": tag, "git_commit": commit}


def _has_registry(words: Mapping[str, str]) -> bool:
    """As Docker tells it: `books/bookloom` has none, `localhost/…` and `example.org/…` have."""
    first, *rest = words["image_name"].split("/")
    return bool(rest) and ("." in first or ":" in first or first == "localhost")


def _filled(value: Any, words: Mapping[str, str]) -> Any:
    """A section with what is meant in place of `{{ image }}` and the like."""
    if isinstance(value, Mapping):
        return {name: _filled(inner, words) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, words) for inner in value]
    for word, meant in words.items():
        if value == f"{{{{ {word} }}}}":
            return meant
    return value
