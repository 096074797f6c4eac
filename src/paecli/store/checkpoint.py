"""Model files: safetensors with a JSON header; loading one runs no code."""

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from paecli.core.autoencoder import Autoencoder
from paecli.core.flow import LatentFlow
from paecli.core.pae import PAE
from paecli.errors import CheckpointError
from paecli.store.files import write_atomically as write_atomically  # also under this name

FORMAT_VERSION = 1
HEADER_KEY = "pae"  # the one metadata entry; its value is the header as JSON
NORMAL_SCORES = "normal_scores."  # prefix of the calibration tensors


class Header(BaseModel):
    """What a checkpoint says about itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    kind: Literal["autoencoder", "pae"]
    autoencoder: dict[str, Any]  # keyword arguments of Autoencoder
    flow: dict[str, Any] | None = None  # keyword arguments of LatentFlow
    autoencoder_hash: str  # SHA-256 of the autoencoder's weights
    config: dict[str, Any] = {}  # resolved training configuration, by stage
    data: dict[str, Any] = {}  # name, content hash, split seed, classes
    versions: dict[str, str] = {}
    metrics: dict[str, float] = {}


def hash_tensors(tensors: dict[str, Tensor]) -> str:
    """Returns the SHA-256 of named tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_pae(path: Path, model: PAE, header: Header) -> None:
    """Writes a model atomically: the old file stays whole until the new one is.

    Raises:
        CheckpointError: the file cannot be written.
    """
    tensors = dict(model.state_dict())
    tensors |= {NORMAL_SCORES + name: values for name, values in model.normal_scores.items()}
    save_tensors(path, tensors, {HEADER_KEY: header.model_dump_json()})


def save_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors and text metadata to a safetensors file, atomically.

    Raises:
        CheckpointError: the file cannot be written.
    """
    # safetensors refuses strided and shared tensors
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata))


def read_header(path: Path) -> Header:
    """Reads and checks what a model file says about itself.

    Raises:
        CheckpointError: not a model file, damaged, or of an unknown format version.
    """
    with _opened(path) as file:
        return _parse_header(path, file.metadata())


def load_pae(path: Path) -> tuple[PAE, Header]:
    """Reads a model file into a model in evaluation mode, on the CPU.

    Raises:
        CheckpointError: as `read_header`, or the tensors do not fit the header.
    """
    with _opened(path) as file:
        header = _parse_header(path, file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    scores = {
        name.removeprefix(NORMAL_SCORES): tensors.pop(name)
        for name in list(tensors)
        if name.startswith(NORMAL_SCORES)
    }
    try:
        autoencoder = Autoencoder(**header.autoencoder)
        model = PAE(autoencoder, LatentFlow(**header.flow) if header.flow else None)
        model.load_state_dict(
            {
                name: tensor.float() if tensor.is_floating_point() else tensor
                for name, tensor in tensors.items()
            }
        )
    except (TypeError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} does not fit its own description; download or train it again"
        ) from error
    model.normal_scores = scores
    return model.eval(), header


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(
            f"{path} is not a readable model file ({error}); download or train it again"
        ) from error


def _parse_header(path: Path, metadata: dict[str, str] | None) -> Header:
    try:
        fields = json.loads((metadata or {})[HEADER_KEY])
        version = fields["format_version"]
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise CheckpointError(f"{path} is a safetensors file, but not one of pae's") from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this pae reads {FORMAT_VERSION}; "
            "upgrade with `pipx upgrade paecli`"
        )
    try:
        return Header.model_validate(fields)
    except ValidationError as error:
        raise CheckpointError(f"{path} has a damaged header; download or train it again") from error
