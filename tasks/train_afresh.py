"""Train afresh: token_ids, vocabulary, input_vectors -> a model to hold a warm start against.

in    what `train` reads, but for the model to go on from; its log, where it trained by the clock
does  trains a model of the same size and vocabulary in as many steps, from nothing
out   its weights, and the log of its training
"""

from data.book_schemas import TOKEN_IDS, VOCABULARY
from data.model_schemas import AFRESH_LOG, AFRESH_MODEL_FILE, INPUT_VECTORS, TRAINING_LOG
from models.bundle import Bundle
from models.vocabulary import Vocabulary
from tasks.seams.step_cache import StepRun, step
from tasks.seams.training_loop import machine_facts, new_model, trained_rows
from tasks.seams.training_settings import TrainSettings


@step(
    reads=(TOKEN_IDS, VOCABULARY, INPUT_VECTORS),
    may_read=(TRAINING_LOG,),
    writes=(AFRESH_LOG,),
    libraries=("torch", "numpy"),
    seeded=True,
    outside=machine_facts,
)
def train_afresh(run: StepRun, settings: TrainSettings) -> None:
    """Train a model as if there were none to go on from."""
    vocabulary = Vocabulary.from_columns(run.read(VOCABULARY).to_pydict())
    model = new_model(run, settings, vocabulary)
    num_steps = None
    if run.has(TRAINING_LOG):
        num_steps = run.read(TRAINING_LOG, ["step"])["step"].to_pylist()[-1]
    rows = trained_rows(run, settings, model, vocabulary, "training afresh", num_steps)
    run.write(AFRESH_LOG, {name: [row[name] for row in rows] for name in rows[0]})
    bundle = Bundle(model, vocabulary, "_end_", {}, sections_open=settings.sections_open)
    run.write_file(AFRESH_MODEL_FILE, bundle.to_bytes(), bundle.digest())
