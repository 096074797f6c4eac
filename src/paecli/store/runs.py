"""Loads the model that MODEL on the command line names."""

from pathlib import Path

from paecli.model.model import Model
from paecli.model.patches.model import PatchPAE
from paecli.store.checkpoint import Header, load_pae, read_header
from paecli.store.find_model import find_model
from paecli.store.patch_checkpoint import load_patch_pae


def load_with_header(model: str | Path | None = None) -> tuple[Model, Header]:
    """Loads a trained model, in evaluation mode on the CPU, and what its file says about it.

    Args:
        model: a registry name (`fmnist-32`), a run folder (`runs/fmnist`) or a
            `.safetensors` file; None is the bundled default model.

    Raises:
        CheckpointError: there is no such model, or its file is damaged.
    """
    return load_pae(find_model(model))


def load_scorer(model: str | Path | None = None) -> tuple[Model | PatchPAE, Header]:
    """Loads a model that scores images, of whole images or of patches; see `load`."""
    path = find_model(model)
    if read_header(path).patches is None:
        return load_pae(path)
    return load_patch_pae(path)
