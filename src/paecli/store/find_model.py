"""Run folders: which file is where, and how MODEL on the command line finds one."""

import logging
from pathlib import Path

from paecli.store.contents import read_header
from paecli.store.registry import fetch_model
from paecli.system.errors import CheckpointError
from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE

logger = logging.getLogger(__name__)


def find_model(model: str | Path | None) -> Path:
    """Finds the file that MODEL names: a `.safetensors` file, a run folder or a registry name.

    Args:
        model: what the user typed; None means the bundled default model.

    Raises:
        CheckpointError: nothing there, or a run without a trained stage.
    """
    path = _find(model)
    logger.debug("the model is %s", path)
    return path


def _find(model: str | Path | None) -> Path:
    if model is None:
        return fetch_model(None)
    path = Path(model)
    if path.is_file():
        return path
    if path.is_dir():
        return _newest_stage(path)
    return fetch_model(str(model))  # registry names come last


def _newest_stage(folder: Path) -> Path:
    both, first = folder / MODEL_FILE, folder / AUTOENCODER_FILE
    if not first.is_file() and not both.is_file():
        raise CheckpointError(
            f"{folder} holds no trained model; start with `pae train-ae DATASET --out {folder}`"
        )
    if not both.is_file():
        return first
    if (
        first.is_file()
        and read_header(first).autoencoder_hash != read_header(both).autoencoder_hash
    ):
        raise CheckpointError(
            f"the flow in {folder} belongs to an older autoencoder; "
            f"run `pae train-flow {folder}` again"
        )
    return both
