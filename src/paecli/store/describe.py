"""`pae info`: what a model file holds."""

from dataclasses import dataclass
from pathlib import Path

from torch import nn

from paecli.store.checkpoint import Header, load_pae
from paecli.system.files import hash_file


@dataclass(frozen=True)
class ModelDescription:
    """What a model file holds.

    Attributes:
        path: the file.
        header: what it says about itself.
        size: in bytes.
        sha256: of the file.
        autoencoder_parameters: numbers that stage 1 learned.
        flow_parameters: numbers that stage 2 learned; 0 without it.
        scores: outlier scores that it can turn into p-values.
    """

    path: Path
    header: Header
    size: int
    sha256: str
    autoencoder_parameters: int
    flow_parameters: int
    scores: tuple[str, ...]


def describe_model(path: Path) -> ModelDescription:
    """Loads, and so checks, a model file, and describes it.

    Raises:
        CheckpointError: it is damaged.
    """
    model, header = load_pae(path)
    return ModelDescription(
        path=path,
        header=header,
        size=path.stat().st_size,
        sha256=hash_file(path),
        autoencoder_parameters=_count(model.autoencoder),
        flow_parameters=_count(model.flow) if model.flow is not None else 0,
        scores=tuple(model.normal_scores),
    )


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())
