"""The command line: it parses, calls flows and task cores, and prints.

With --json a command prints one JSON object on standard output and nothing else there.
"""

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import App, Parameter

from data.errors import UserMistake
from flows import (
    answers,
    bag_commands,
    deploy_commands,
    map_commands,
    model_commands,
    serve_commands,
    store_commands,
)
from flows.command_tools import (
    MISTAKE_EXIT_CODE,
    AsJson,
    check_sources,
    examples,
    print_answer,
    validated,
)
from flows.environment import home, home_store, prepare, tracking_uri, with_shelf

app = App(
    name="bookloom",
    help="Books in; a language model, sentences picked from bags of words, and a map out.",
    version="0.1.0",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # main says that what was finished is kept
)
FolderLabel = Literal["genre", "author"] | None


@app.command(
    help_epilogue=examples(
        "bookloom run",
        "bookloom run --deployment standard",
        'bookloom run --books my-novel.epub "shelf/*.txt"',
        "bookloom run --books shelf --folder-label author",
        "bookloom run --books gutenberg:105 gutenberg:1342 gutenberg:158",
        "bookloom run --unit character --minutes 10",
        "bookloom run --books my-novel.txt --warm-start newest",
    )
)
def run(
    *,
    deployment: str = "quick",
    books: Annotated[list[str] | None, Parameter(consume_multiple=True, negative="")] = None,
    unit: Literal["word", "character"] | None = None,
    minutes: float | None = None,
    warm_start: str | None = None,
    folder_label: FolderLabel = None,
    force_promotion: Annotated[bool, Parameter(negative="")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the pipeline: read, tokenise, train, pick sentences from bags, draw the map.

    Args:
        deployment: whose settings in prefect.yaml to use: a deployment's, or quick or standard.
        books: what to read in place of the deployment's books: see bookloom books --help.
        unit: what a token is, in place of the deployment's choice.
        minutes: how long to train the language model, in place of the deployment's epochs.
        warm_start: a model to go on training from, such as models:/bookloom/1, or champion, or
            newest.
        folder_label: what the name of a book's folder says of it.
        force_promotion: make the new model champion, whether or not it beats the one that is.
        as_json: print one JSON object.
    """
    from flows.deployments import deployment_settings
    from flows.running import run_pipeline
    from flows.summary import summary_text

    check_sources(books or ())
    settings = deployment_settings(deployment)
    for step, name, value in (
        ("read", "books", books),
        ("tokenise", "unit", unit),
        ("train", "minutes", minutes),
        ("warm_start", "model", warm_start),
        ("promote", "force", force_promotion or None),
    ):
        if value is not None:
            settings = {**settings, step: {**settings.get(step, {}), name: value}}
    if folder_label is not None:
        read = settings.get("read", {})
        finding = {**read.get("finding", {}), "folder_label": folder_label}
        settings = {**settings, "read": {**read, "finding": finding}}
    summary = run_pipeline(settings)
    print_answer(summary, as_json, summary_text)


@app.command(
    help_epilogue=examples(
        "bookloom books",
        'bookloom books my-novel.epub "shelf/*.txt"',
        "bookloom books gutenberg:1342 https://example.org/novel.html",
        "bookloom books shelf --folder-label author",
        "bookloom books shelf.toml --json",
        "bookloom books --deployment standard",
    )
)
def books(
    *sources: str,
    deployment: str | None = None,
    folder_label: FolderLabel = None,
    as_json: AsJson = False,
) -> None:
    """What sources hold: which books would be read, what would be removed, what refused.

    Args:
        sources: files (.txt, .md, .html, .epub, .zip), folders, patterns, gutenberg:NUMBER,
            https://…, nltk:CORPUS/FILE, parquet:PATH, a catalogue (.toml), or watched, the watched
            folder; by default the packaged plays, or the deployment's.
        deployment: whose settings of reading to use, as bookloom run does; by default none.
        folder_label: what the name of a book's folder says of it.
        as_json: print one JSON object.
    """
    from data.reading import Reading
    from data.sources import Finding
    from flows.deployments import deployment_settings
    from tasks.books import books as look_at_books

    read = deployment_settings(deployment).get("read", {}) if deployment else {}
    given = {"downloads": str(home() / "downloads"), **read.get("finding", {})}
    if folder_label is not None:
        given["folder_label"] = folder_label
    finding = validated(Finding, given, "read.finding.")
    reading = validated(Reading, read.get("reading", {}), "read.reading.")
    held = look_at_books(
        list(with_shelf(sources or read.get("books", ["plays"]))), finding, reading
    )
    print_answer(held, as_json, answers.books_text)


@app.command(
    help_epilogue=examples(
        'bookloom score --text "To be, or not to be."',
    )
)
def score(*, text: str, model: str | None = None, as_json: AsJson = False) -> None:
    """Log-probability, in nats, of each token of a text.

    Args:
        text: the text; it is cut into sentences and tokens as books were.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
        as_json: print one JSON object.
    """
    from tasks.score import score as score_text

    print_answer(score_text(tracking_uri(), model, text), as_json, _score_text)


@app.command(
    help_epilogue=examples(
        'bookloom trace --text "To be, or not to be."',
        'bookloom trace --text "Now is the winter of our discontent." --out winter --json',
    )
)
def trace(
    *, text: str, out: str = "trace", model: str | None = None, as_json: AsJson = False
) -> None:
    """What the language model expects, and what it carries along, at each token of a text.

    By itself: where sentences are scored by a mixture with other models, `score` tells that.

    Writes a table, one row a step with the whole state, and a picture of it.

    Args:
        text: the text; it is cut into sentences and words as books are.
        out: the files' name, to which .parquet and .png are added.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
        as_json: print one JSON object.
    """
    from tasks.trace import trace as trace_text

    print_answer(trace_text(tracking_uri(), model, text, out), as_json, answers.trace_text)


@app.command(
    help_epilogue=examples(
        "bookloom write",
        'bookloom write --prompt "My lord, the king" --num-tokens 60 --nucleus 0.9 --seed 7',
    )
)
def write(
    *,
    prompt: str = "",
    num_tokens: int = 100,
    temperature: float = 1.0,
    top_k: int | None = None,
    nucleus: float | None = None,
    seed: int = 1,
    model: str | None = None,
    as_json: AsJson = False,
) -> None:
    """Go on in the author's style, and say what of it is copied word for word.

    Args:
        prompt: the text to go on from; its last sentence is left open.
        num_tokens: tokens to write: words, punctuation and sentence ends.
        temperature: below 1 keeps to what is probable, above 1 dares more.
        top_k: choose among so many of the most probable tokens.
        nucleus: choose among the fewest tokens that hold so much of the probability, 0 to 1.
        seed: the same seed writes the same text.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
        as_json: print one JSON object.
    """
    from tasks.write import WriteSettings
    from tasks.write import write as write_text

    settings = validated(
        WriteSettings,
        {
            "prompt": prompt,
            "num_tokens": num_tokens,
            "temperature": temperature,
            "top_k": top_k,
            "nucleus": nucleus,
            "seed": seed,
        },
    )
    result = write_text(tracking_uri(), home_store(), model, settings)
    print_answer(result, as_json, answers.written_text)


@app.command(
    help_epilogue=examples(
        "bookloom export --out bookloom.onnx",
    )
)
def export(*, out: str, model: str | None = None, as_json: AsJson = False) -> None:
    """Write the model as an ONNX file: tokens and state in, log-probabilities and state out.

    Args:
        out: the file to write.
        model: an MLflow model URI, such as models:/bookloom/1; by default the champion.
        as_json: print one JSON object.
    """
    from tasks.export import export as export_model

    print_answer(export_model(tracking_uri(), model, out), as_json, answers.export_text)


@app.command(
    help_epilogue=examples(
        "bookloom lineage bag_sentences",
    )
)
def lineage(table: str, /, *, as_json: AsJson = False) -> None:
    """What a table came from, back to the books.

    Args:
        table: a table's name, meaning that of the newest run, or a path in the store.
        as_json: print one JSON object.
    """
    from tasks.lineage import lineage as trace_lineage

    print_answer(
        trace_lineage(home_store(), table), as_json, lambda tree: "\n".join(_tree_lines(tree))
    )


app.command(map_commands.cluster, help_epilogue=map_commands.CLUSTER_EXAMPLES)
app.command(map_commands.place, help_epilogue=map_commands.PLACE_EXAMPLES)
app.command(bag_commands.generate, help_epilogue=bag_commands.GENERATE_EXAMPLES)
app.command(bag_commands.play, help_epilogue=bag_commands.PLAY_EXAMPLES)
app.command(bag_commands.serve_model, help_epilogue=bag_commands.SERVE_MODEL_EXAMPLES)
app.command(serve_commands.serve, help_epilogue=serve_commands.SERVE_EXAMPLES)
app.command(serve_commands.watch, help_epilogue=serve_commands.WATCH_EXAMPLES)
app.command(deploy_commands.deploy, help_epilogue=deploy_commands.DEPLOY_EXAMPLES)
app.command(model_commands.models, help_epilogue=model_commands.MODELS_EXAMPLES)
app.command(model_commands.rollback, help_epilogue=model_commands.ROLLBACK_EXAMPLES)
app.command(store_commands.why, help_epilogue=store_commands.WHY_EXAMPLES)
app.command(store_commands.verify, help_epilogue=store_commands.VERIFY_EXAMPLES)
app.command(store_commands.prune, help_epilogue=store_commands.PRUNE_EXAMPLES)
app.command(store_commands.reproduce, help_epilogue=store_commands.REPRODUCE_EXAMPLES)


def main() -> None:
    """The `bookloom` command. Exit codes: 0 done, 2 a mistake that the message says how to mend."""
    prepare()
    # Ours alone: Prefect leaves its own handlers out where the root logger has one.
    logger = logging.getLogger("bookloom")
    logger.addHandler(logging.StreamHandler(sys.stderr))
    logger.setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
    arguments = sys.argv[1:]
    try:
        app(arguments, exit_on_error=False, print_error=False)
    except cyclopts.CycloptsError as error:
        _fail(str(error).strip(), "See bookloom --help, or bookloom COMMAND --help.", arguments)
    except UserMistake as error:
        _fail(error.message, error.remedy, arguments)
    except BrokenPipeError:  # whoever read the answer has read enough: `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        _fail("Stopped.", "What was finished is kept: run again to go on.", arguments)


def _fail(message: str, remedy: str, arguments: list[str]) -> None:
    if "--json" in arguments:
        print(json.dumps({"error": {"message": message, "remedy": remedy}}, ensure_ascii=False))
    else:
        print(f"bookloom: {message}\n  {remedy}", file=sys.stderr)
    sys.exit(MISTAKE_EXIT_CODE)


def _score_text(result: Mapping[str, Any]) -> str:
    from tasks.seams.report import visible

    lines = [f"model {result['model']}"]
    lines += [f"{token['nats']:10.3f}  {visible(token['token'])}" for token in result["tokens"]]
    return "\n".join([*lines, f"{result['total_nats']:10.3f}  total nats"])


def _tree_lines(tree: Mapping[str, Any], depth: int = 0) -> list[str]:
    pad = "  " * depth
    lines = [
        f"{pad}{tree['table']}  {tree['digest'][:16]}  made by {tree['step']}",
        f"{pad}    {tree['path']}",
        f"{pad}    settings {json.dumps(tree['settings'], ensure_ascii=False)}",
        f"{pad}    code {tree['code_digest'][:16]}  lock {tree['lock_digest'][:16]}"
        f"  commit {tree['git_commit'][:12]}  MLflow run {tree['mlflow_run_id']}",
    ]
    lines += [f"{pad}    source {name}  {digest[:16]}" for name, digest in tree["sources"].items()]
    for parent in tree["inputs"]:
        lines += _tree_lines(parent, depth + 1)
    return lines
