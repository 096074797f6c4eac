"""`pae info`: what a model file holds."""

from dataclasses import dataclass
from pathlib import Path

from paecli.model.requirements import scores_among
from paecli.store.contents import AUTOENCODER, FLOW, read_contents
from paecli.store.header import Header
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
    """Describes a model file; what it holds is not loaded, and so not checked.

    Raises:
        CheckpointError: it is no model file, or its header or its table of tensors is damaged.
    """
    contents = read_contents(path)
    if contents.header.patches is None:
        _ = contents.image_shape  # raises where the header does not say so
    return ModelDescription(
        path=path,
        header=contents.header,
        size=path.stat().st_size,
        sha256=hash_file(path),
        autoencoder_parameters=contents.parameters(AUTOENCODER),
        flow_parameters=contents.parameters(FLOW),
        scores=scores_among(contents.reference_scores),
    )
