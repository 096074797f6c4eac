"""Loads the model that MODEL on the command line names, and tells where it comes from."""

from pathlib import Path
from typing import Any

from paecli.model.model import Model
from paecli.model.origin import Origin
from paecli.model.patches.model import PatchPAE
from paecli.store.checkpoint import Header, load_pae, read_header
from paecli.store.find_model import find_model
from paecli.store.patch_checkpoint import load_patch_pae

RECORDED = {"split_seed": int, "split_by": str, "limit": int}


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


def origin_of(model: Model, header: Header) -> Origin:
    """Joins what header and tensors say; what they leave out has the values of version 0.1."""
    recorded = header.config.get("autoencoder", {}).get("data", {})
    known: dict[str, Any] = {
        name: recorded[name]
        for name, kind in RECORDED.items()
        if isinstance(recorded.get(name), kind)
    }
    part = header.data.get("held_out")  # the settings may have left it to the tool
    if isinstance(part, float) and 0 < part < 1:
        known["held_out"] = part
    return Origin(
        training_set=header.training_set,
        content_hash=str(header.data.get("content_hash", "")),
        image_shape=model.image_shape,
        training_keys=model.trained_on.keys,
        **known,
    )
