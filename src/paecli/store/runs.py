"""Loads the model that MODEL on the command line names."""

from pathlib import Path

from paecli.model.model import Model
from paecli.store.checkpoint import Header, load_pae
from paecli.store.find_model import find_model


def load_with_header(model: str | Path | None = None) -> tuple[Model, Header]:
    """Loads a trained model, in evaluation mode on the CPU, and what its file says about it.

    Args:
        model: a registry name (`fmnist-32`), a run folder (`runs/fmnist`) or a
            `.safetensors` file; None is the bundled default model.

    Raises:
        CheckpointError: there is no such model, or its file is damaged.
    """
    return load_pae(find_model(model))
