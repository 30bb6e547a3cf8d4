"""Export: a language model -> an ONNX file, for programs that have no PyTorch."""

from typing import Any

from models.bundle import Bundle
from models.onnx_export import INPUTS, OUTPUTS, to_onnx
from tasks.seams.registry import read_bundle
from tasks.seams.user_files import beside


def export(tracking_uri: str, model_uri: str | None, out: str) -> dict[str, Any]:
    """Write a registered model as an ONNX file: `bookloom export`.

    Gives `model`, `file`, `num_bytes`, `inputs` and `outputs` (their names), `num_types` and
    `num_parameters`.

    Raises:
        UserMistake: no such model, or a place that cannot be written to.
    """
    uri, content = read_bundle(tracking_uri, model_uri)
    bundle = Bundle.from_bytes(content)
    graph = to_onnx(bundle)
    with beside(out) as (store, name):
        store.write_bytes(name, graph)
        path = store.path(name)
    return {
        "model": uri,
        "file": path,
        "num_bytes": len(graph),
        "inputs": INPUTS,
        "outputs": OUTPUTS,
        "num_types": len(bundle.vocabulary),
        "num_parameters": sum(weights.numel() for weights in bundle.model.parameters()),
    }
