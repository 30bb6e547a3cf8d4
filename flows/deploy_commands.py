"""The command that makes deployments: bookloom deploy."""

import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserMistake, installing
from flows.command_tools import AsJson, Flag, examples, print_answer
from flows.deployments import Pool, as_yaml, job_template, pool_section, rendered
from flows.environment import PROJECT_ROOT

DEPLOY_EXAMPLES = examples(
    "bookloom deploy",
    "bookloom deploy retrain-nightly retrain-shelf",
    "bookloom deploy --pool docker --image bookloom:0.1.0",
    "bookloom deploy --pool kubernetes --image registry.example.org/books/bookloom:0.1.0",
    "bookloom deploy --pool kubernetes --show",
)


def deploy(
    *names: str,
    pool: Pool = "process",
    image: str | None = None,
    show: Flag = False,
    as_json: AsJson = False,
) -> None:
    """Make the deployments of prefect.yaml, and the work pool that they run in where there is none.

    Deployments that are there already are brought up to date; so are schedules and automations.

    Args:
        names: which deployments; by default all.
        pool: where runs happen: in processes of a worker's machine, in Docker containers, or as
            Kubernetes jobs.
        image: name and tag of the image to build, push where its name has a registry in it, and
            run; by default that of prefect.yaml.
        show: only print what would be deployed, as prefect deploy reads it, and the pool's template
            of jobs.
        as_json: print one JSON object.
    """
    content = rendered(pool, image, names)
    section = pool_section(pool)
    template = job_template(section, _worker_class(section["type"]).get_default_base_job_template())
    answer = {
        "pool": section["work_pool"]["name"],
        "type": section["type"],
        "image": content["deployments"][0]["work_pool"].get("job_variables", {}).get("image"),
        "deployments": [entry["name"] for entry in content["deployments"]],
    }
    if show:
        shown = {**answer, "prefect_yaml": content, "job_template": template}
        print_answer(shown, as_json, _shown_text)
        return
    from flows.unanswered import silence_told

    with silence_told():
        _make_pool(section, template)
    _prefect_deploy(as_yaml(content))
    print_answer(answer, as_json, _deployed_text)


def _worker_class(type_name: str) -> Any:
    from prefect.workers.base import BaseWorker

    found = BaseWorker.get_worker_class_from_type(type_name)
    if found is None:
        raise UserMistake(
            f"Prefect's worker for {type_name} is not installed.",
            f"{installing(type_name)}.",
        )
    return found


def _make_pool(section: Mapping[str, Any], template: dict[str, Any]) -> None:
    """Make a work pool where there is none; bring it up to date where its jobs have our template.

    Raises:
        UserMistake: there is one of this name of another type.
    """
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
    from prefect.exceptions import ObjectNotFound

    name, type_name = section["work_pool"]["name"], section["type"]
    with get_client(sync_client=True) as client:
        try:
            there = client.read_work_pool(name)
        except ObjectNotFound:
            new = WorkPoolCreate(name=name, type=type_name, base_job_template=template)
            client.create_work_pool(new)
            return
        if there.type != type_name:
            raise UserMistake(
                f"The work pool {name} is there already, and is of type {there.type}.",
                f"Delete it, or give definitions.work_pools another name for {type_name}.",
            )
        if "pod" in section:
            client.update_work_pool(name, WorkPoolUpdate(base_job_template=template))


def _prefect_deploy(content: str) -> None:
    """Have Prefect's own command do the work, in the checkout, whose Dockerfile it builds.

    Raises:
        UserMistake: it ended with an error, which it has told.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(content, encoding="utf-8")
        command = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all"]
        done = subprocess.run(
            [*command, "--prefect-file", str(file)],
            cwd=PROJECT_ROOT,
            stdout=sys.stderr,
            check=False,
        )
    if done.returncode:
        raise UserMistake(
            f"prefect deploy has ended with exit code {done.returncode}.",
            "What it has said stands above.",
        )


def _shown_text(answer: Mapping[str, Any]) -> str:
    template = as_yaml({"job_configuration": answer["job_template"]["job_configuration"]})
    head = f"# Work pool {answer['pool']} of type {answer['type']}; its template of jobs:"
    lines = [head, *(f"#   {line}" for line in template.splitlines())]
    return "\n".join([*lines, as_yaml(answer["prefect_yaml"])])


def _deployed_text(answer: Mapping[str, Any]) -> str:
    lines = [f"deployed to {answer['pool']}: {', '.join(answer['deployments'])}"]
    if answer["image"]:
        lines.append(f"image        {answer['image']}")
    lines.append(f"worker       prefect worker start --pool {answer['pool']}")
    return "\n".join(lines)
