"""Model files of PAEs of patches: the same format as others, of kinds of their own."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor

from paecli.model.flow import LatentFlow
from paecli.model.patches.autoencoder import PatchAutoencoder
from paecli.model.patches.discriminator import Discriminator
from paecli.model.patches.model import PEAK, PIXEL, TOP, PatchPAE
from paecli.store.checkpoint import (
    as_loaded,
    check_shapes,
    hash_tensors,
    opened,
    save_tensors,
    unfit,
)
from paecli.store.contents import REFERENCE_SCORES
from paecli.store.feature_weights import open_patch_features
from paecli.store.header import HEADER_KEY, Header, parse_header
from paecli.store.value_ranges import is_possible
from paecli.system.errors import CheckpointError


def save_patch_pae(path: Path, model: PatchPAE, header: Header) -> None:
    """Writes a model atomically.

    Raises:
        WriteError: the file cannot be written.
    """
    digest = hash_tensors(model.autoencoder.state_dict())
    header = header.model_copy(update={"autoencoder_hash": digest})
    tensors = dict(model.state_dict())
    tensors |= {REFERENCE_SCORES + name: values for name, values in model.reference_scores.items()}
    save_tensors(path, tensors, {HEADER_KEY: header.model_dump_json()})


def load_patch_pae(path: Path) -> tuple[PatchPAE, Header]:
    """Reads a model file into a model in evaluation mode, on the CPU.

    Raises:
        CheckpointError: not a model of patches, damaged, or its features are not installed.
    """
    with opened(path) as file:
        header = parse_header(path, file.metadata())
        if header.patches is None:
            raise unfit(path, "it is no model of patches")
        model = _build_without_memory(path, header)
        check_shapes(path, file, model)
        try:
            tensors = {name: as_loaded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, RuntimeError) as error:
            raise unfit(path, "a tensor cannot be read") from error
    _check_values(path, tensors)
    scores = {
        name: tensors.pop(name) for name in list(tensors) if name.startswith(REFERENCE_SCORES)
    }
    model.reference_scores = {
        name.removeprefix(REFERENCE_SCORES): values for name, values in scores.items()
    }
    if model.flow is not None and model.reference_scores.keys() != {TOP, PEAK, PIXEL}:
        raise unfit(path, "it lacks the scores of reference images")
    model.load_state_dict(tensors, assign=True)
    if hash_tensors(model.autoencoder.state_dict()) != header.autoencoder_hash:
        raise unfit(path, "its flow belongs to another autoencoder, or weights were changed")
    return model.eval(), header


def _build_without_memory(path: Path, header: Header) -> PatchPAE:
    settings = header.patches
    assert settings is not None
    features = open_patch_features(settings.features)
    if features.identity != settings.identity:
        raise CheckpointError(
            f"{path} was trained on features of other weights than are installed; train it again"
        )
    try:
        with torch.device("meta"):
            autoencoder = PatchAutoencoder(**header.autoencoder)
            flow = LatentFlow(**header.flow) if header.flow else None
            model = PatchPAE(features, autoencoder, flow, area=settings.area)
            if settings.discriminator is not None:
                model.discriminator = Discriminator(**settings.discriminator)
    except Exception as error:  # whatever a hostile description makes torch or FrEIA raise
        raise unfit(path, "it describes no network that this pae can build") from error
    sizes = {part.size for part in (autoencoder, model.discriminator) if part is not None}
    if sizes != {features.size}:
        raise unfit(path, "its networks do not fit its features")
    return model


def _check_values(path: Path, tensors: dict[str, Tensor]) -> None:
    """Refuses values that no training leaves behind and that would crash or mislead later."""
    for name, tensor in tensors.items():
        if not is_possible(name, tensor):
            raise unfit(path, f"{name!r:.100} holds impossible values")
