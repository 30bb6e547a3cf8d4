"""Which text a champion has seen, by the records of a store."""

from pathlib import Path

from data.book_schemas import SECTIONS
from data.model_schemas import WARM_START_SECTIONS
from data.store import Store
from tasks.promote import CompareSettings, training_text
from tasks.seams.learned_sections import learned_sections, tuned_sections
from tasks.seams.manifests import sealed
from tasks.seams.run_context import RunContext

SPLITS = {"a": "train", "b": "validation", "c": "test", "d": "train", "e": "validation"}


def test_what_was_learned_from_and_what_was_tuned_on(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    settings = CompareSettings(champion="models:/bookloom/1", digest="d1")
    context = RunContext(
        store=str(tmp_path),
        seed=1,
        num_threads=1,
        tracking_uri=None,
        mlflow_run_id=None,
        provenance={},
    )
    unknown = training_text(settings, context)
    assert (learned_sections(store, "d1"), tuned_sections(store, "d1")) == (None, None)
    assert {*unknown.values()} == {"unknown"}
    put_run(store, "d1", SPLITS)
    assert learned_sections(store, "d1") == ["a", "before", "d"]
    assert tuned_sections(store, "d1") == ["b", "e"], "what the model before saw was learned from"
    assert (learned_sections(store, "d2"), tuned_sections(store, "d2")) == (None, None)
    known = training_text(settings, context)
    put_run(store, "d1", {**SPLITS, "c": "validation"})
    assert tuned_sections(store, "d1") == ["b", "c", "e"]
    more = training_text(settings, context)
    changed = [name for name in known if known[name] != more[name]]
    assert changed == ["validation text of the champion"], "another comparison has another key"


def put_run(store: Store, digest: str, splits: dict[str, str]) -> None:
    """The record of a run that made a model of this digest from a book of such sections."""
    number = len(store.names("runs")) + 1
    columns = {
        "book_id": ["book"] * len(splits),
        "section_index": range(len(splits)),
        "heading": [""] * len(splits),
        "char_start": [0] * len(splits),
        "char_end": [9] * len(splits),
        "split": [*splits.values()],
        "sha256": [*splits],
    }
    tables = {}
    for table, content in ((SECTIONS, columns), (WARM_START_SECTIONS, {"sha256": ["before"]})):
        name = f"steps/read/{number}/{table.name}.parquet"
        with store.table_writer(name, table, {}) as writer:
            writer.write({key: [*values] for key, values in content.items()})
        tables[table.name] = {"path": store.path(name)}
    record = {
        "mlflow_run_id": None,
        "unix_seconds": float(number),
        "tables": tables,
        "files": {},
        "model": {"digest": digest},
    }
    store.write_json(f"runs/{number}-none.json", sealed(record))
