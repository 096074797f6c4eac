"""Run folders: which file is where, and how MODEL on the command line finds one."""

import logging
from pathlib import Path

from paecli.store.contents import read_header
from paecli.store.registry import fetch, fetch_model
from paecli.store.sources import BUNDLED
from paecli.system.errors import CheckpointError, RegistryError, UsageError
from paecli.system.outputs import AUTOENCODER_FILE, MODEL_FILE, STATE_ENDING

logger = logging.getLogger(__name__)


def find_model(model: str | Path | None, *, registry: str | None = None) -> Path:
    """Finds the file that MODEL names: a `.safetensors` file, a run folder or a registry name.

    Args:
        model: what the user typed; None means the bundled default model.
        registry: address of the registry that has to have the name.

    Raises:
        CheckpointError: nothing there, or a run without a trained stage.
        RegistryError: no such name there.
        UsageError: a registry, but no name to look for in it.
    """
    path = _find(model) if registry is None else _find_in(registry, model)
    logger.debug("the model is %s", path)
    return path


def _find_in(registry: str, model: str | Path | None) -> Path:
    if model is None or Path(model).exists():
        what = "no model is named" if model is None else f"{model} is on this machine"
        raise UsageError(
            f"--registry would do nothing here: {what}, and a registry has models by their names"
        )
    fetched = fetch(str(model), kind="model", registry=registry)
    if fetched.origin == BUNDLED and registry != BUNDLED:
        raise RegistryError(
            f"{registry} has no model {str(model)!r:.200}; without --registry it is the bundled one"
        )
    return fetched.files[0]


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
        begun = any(folder.glob(f"*{STATE_ENDING}"))
        advice, resume = ("go on", " --resume") if begun else ("start", "")
        raise CheckpointError(
            f"{folder} holds no trained model{' yet' if begun else ''}; {advice} with "
            f"`pae train-ae DATASET --out {folder}{resume}`"
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
