"""The commands on the map of the texts: cluster, place."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from data.errors import UserMistake
from flows.command_tools import AsJson, check_sources, examples, print_answer
from flows.environment import home, home_store

CLUSTER_EXAMPLES = examples(
    "bookloom cluster",
    "bookloom cluster --books austen.epub bronte.epub --clusters auto",
    "bookloom cluster --books shelf --folder-label author --purpose style --level passage",
    "bookloom cluster --books shelf.toml --features states --model models:/bookloom/1",
)
PLACE_EXAMPLES = examples(
    "bookloom place my-story.txt",
    "bookloom place drafts/*.md --out placed",
)

Features = Literal["words", "characters", "function_words", "embeddings", "states"]


def cluster(
    *,
    deployment: str = "cluster",
    books: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    level: Literal["section", "book", "passage"] | None = None,
    passage_words: int | None = None,
    purpose: Literal["topic", "style"] | None = None,
    features: Features | None = None,
    clusters: str | None = None,
    clusterer: Literal["kmeans", "gaussian_mixture", "hdbscan", "dec", "idec"] | None = None,
    label: Literal["genre", "author"] | None = None,
    folder_label: Literal["genre", "author"] | None = None,
    model: str | None = None,
    seed: int | None = None,
    as_json: AsJson = False,
) -> None:
    """Cluster texts, draw their map, and say how far to believe it. No language model is trained.

    Args:
        deployment: whose settings in prefect.yaml to use.
        books: what to read in place of the deployment's books: see bookloom books --help.
        level: what a text is: a section (chapter, scene, letter), a whole book, or a passage.
        passage_words: words of a passage, about.
        purpose: whether to tell texts apart by what they are about or by how they speak.
        features: what texts are weighed by, in place of what the purpose chooses: their words,
            pieces of words, function words, or the means of a language model's word vectors or
            states.
        clusters: how many, or auto, which tries many and shows its evidence; by default as many as
            there are labels, and auto without labels.
        clusterer: what groups the autoencoders' codes.
        label: what clusters are held against.
        folder_label: what the name of a book's folder says of it.
        model: the language model for embeddings and states; by default the champion.
        seed: of everything that draws random numbers.
        as_json: print one JSON object.
    """
    from flows.deployments import MAP_ENTRYPOINT, deployment_settings
    from flows.running import run_texts_map

    check_sources(books or ())
    is_dense = features in ("embeddings", "states")
    changes: dict[str, dict[str, Any]] = {
        "read": {"books": books},
        "weigh": {
            "level": level,
            "passage_words": passage_words,
            "purpose": purpose,
            "features": None if is_dense else features,
            "label": label,
        },
        "average": {"of": features if is_dense else None},
        "cluster": {"num_clusters": _number(clusters)},
    }
    settings = deployment_settings(deployment, MAP_ENTRYPOINT)
    for step, values in changes.items():
        given = {name: value for name, value in values.items() if value is not None}
        if given:
            settings = {**settings, step: {**settings.get(step, {}), **given}}
    if clusterer is not None:
        own = settings.get("cluster", {})
        recipe = {**own.get("recipe", {}), "clusterer": clusterer}
        settings = {**settings, "cluster": {**own, "recipe": recipe}}
    if folder_label is not None:
        read = settings.get("read", {})
        finding = {**read.get("finding", {}), "folder_label": folder_label}
        settings = {**settings, "read": {**read, "finding": finding}}
    for name, value in (("model", model), ("seed", seed)):
        if value is not None:
            settings = {**settings, name: value}
    print_answer(run_texts_map(settings), as_json, _map_text)


def place(
    *sources: str, out: str | None = None, run: str | None = None, as_json: AsJson = False
) -> None:
    """Place new texts on the map of the newest run: their cluster, and the texts nearest to them.

    They are cut as the map's texts were; a book whose sections are too short is placed whole.

    Args:
        sources: files, folders or other sources: see bookloom books --help.
        out: draw the map with the new texts as stars, to this name with .html and .png.
        run: the MLflow run id of another run that made a map.
        as_json: print one JSON object.
    """
    from tasks.place import place as place_texts

    if not sources:
        raise UserMistake("There is nothing to place.", "Name a file: bookloom place my-story.txt.")
    found = place_texts(home_store(), sources, str(home() / "downloads"), run, out)
    print_answer(found, as_json, _placed_text)


def _number(clusters: str | None) -> int | Literal["auto"] | None:
    if clusters is None:
        return None
    if clusters == "auto":
        return "auto"
    with suppress(ValueError):
        if (number := int(clusters)) > 0:
            return number
    raise UserMistake(
        f"--clusters {clusters} is no number of clusters.", "Give a number from 1 on, or auto."
    )


def _map_text(summary: Mapping[str, Any]) -> str:
    from flows.summary import map_lines

    return "\n".join(map_lines(summary))


def _placed_text(found: Mapping[str, Any]) -> str:
    from tasks.seams.report import visible

    lines = []
    for text in found["texts"]:
        terms = ", ".join(text["cluster_terms"][:6])
        lines += [
            f"{visible(text['title'])}: {visible(text['heading'])}",
            f"  cluster {text['cluster']}  {terms}",
            f"  membership {text['membership']:.2f}, error {text['reconstruction_error']:.2f} "
            "(0 fits well, 1 fits nowhere)",
            "  nearest",
            *(
                f"    {visible(near['title'])}: {visible(near['heading'])}"
                for near in text["nearest"]
            ),
            "",
        ]
    lines += [f"refused  {one['source']}: {one['reason']}" for one in found["refusals"]]
    lines += [f"{kind}  {path}" for kind, path in found["files"].items()]
    return "\n".join(lines).rstrip()
