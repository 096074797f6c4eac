"""The header of a model file: what it says about itself, and how far that is believed."""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from paecli.system.errors import CheckpointError
from paecli.system.limits import LARGEST, LARGEST_BLOCKS

FORMAT_VERSION = 1
HEADER_KEY = "pae"  # the one metadata entry; its value is the header as JSON
MAX_HEADER_BYTES = 4 * 2**20  # real ones take some 100 kB
LENGTH_BYTES = 8  # a safetensors file opens with its header's length, little-endian

# Nothing is allocated before the sizes are compared with the file's tensors, but even a network
# without weights takes time.
LARGEST_SIDE = 4_096
DEEPEST = 20  # levels of JSON; real ones have 6
STAGES = {"autoencoder", "flow"}  # of the settings
LONGEST_NAME = 4_096  # of a data set, which may be a path

Architecture = dict[str, Any]


class PatchSettings(BaseModel):
    """What a PAE of patches makes its data of.

    Attributes:
        features: `photo` or `pixels`.
        network: name of the network behind the features; empty without one.
        identity: SHA-256 of its weights.
        area: pixels that images are scaled to have.
        discriminator: keyword arguments of `Discriminator`; None in models without one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    features: Literal["photo", "pixels"]
    network: str = ""
    identity: str = ""
    area: int = Field(gt=0, le=LARGEST_SIDE**2)
    discriminator: Architecture | None = None

    @field_validator("discriminator")
    @classmethod
    def _within_limits(cls, architecture: Architecture | None) -> Architecture | None:
        return _checked_numbers(architecture)


class Header(BaseModel):
    """What a checkpoint says about itself.

    Attributes:
        format_version: version of this layout.
        kind: `autoencoder` (stage 1) or `pae` (both stages); of patches, `patch-autoencoder`
            or `patch-pae`.
        autoencoder: keyword arguments of `Autoencoder`, or of `PatchAutoencoder`.
        flow: keyword arguments of `LatentFlow`; None without stage 2.
        patches: what the patches are, of a PAE of patches; None for one of images.
        autoencoder_hash: SHA-256 of the autoencoder's weights that the flow belongs to;
            `save_pae` fills it in.
        config: resolved training settings, by stage.
        data: name, content hash, split seed, classes.
        preprocessing: what turns an image into the network's input.
        versions: of the libraries that trained it.
        metrics: measured at the end of training.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1
    kind: Literal["autoencoder", "pae", "patch-autoencoder", "patch-pae"]
    autoencoder: Architecture
    flow: Architecture | None = None
    patches: PatchSettings | None = None
    autoencoder_hash: str = ""
    config: dict[str, Any] = {}
    data: dict[str, Any] = {}
    preprocessing: dict[str, Any] = {"pixels": "uint8 / 255"}
    versions: dict[str, str] = {}
    metrics: dict[str, float] = {}

    @property
    def training_set(self) -> str:
        """Name or folder of the training data, empty when unknown."""
        settings = (self.config.get("autoencoder") or {}).get("data", {})
        return str(settings.get("dataset") or self.data.get("dataset", ""))

    @field_validator("autoencoder", "flow")
    @classmethod
    def _within_limits(cls, architecture: Architecture | None) -> Architecture | None:
        return _checked_numbers(architecture)

    @field_validator("config")
    @classmethod
    def _has_stages(cls, config: dict[str, Any]) -> dict[str, Any]:
        for name in STAGES & config.keys():
            stage = {} if config[name] is None else config[name]
            if not isinstance(stage, dict):
                raise ValueError(f"the settings of the {name} have no fields")
            _check_data(stage.get("data", {}))
        return config

    @field_validator("data")
    @classmethod
    def _is_a_data_set(cls, data: dict[str, Any]) -> dict[str, Any]:
        _check_data(data)
        return data


def require_whole_images(path: Path, header: Header) -> None:
    """Refuses a model of patches, which has no whole images.

    Raises:
        CheckpointError: it is one.
    """
    if header.patches is not None:
        raise CheckpointError(
            f"{path} is a model of patches: it finds defects, with `pae ood`, but has no whole "
            "images to draw, restore or measure; train one without --features for that"
        )


def check_header_length(path: Path) -> None:
    """Refuses a file whose header could not be a model's, before anything parses it.

    Raises:
        CheckpointError: missing, unreadable, cut short, or with a header of absurd length.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH_BYTES), "little")
        room = path.stat().st_size - LENGTH_BYTES
    except OSError as error:
        raise CheckpointError(
            f"cannot read the model file {path}: {error.strerror}; check the path"
        ) from error
    if not 0 < length <= min(room, MAX_HEADER_BYTES):
        raise CheckpointError(
            f"{path} is not a model file, or cut short; download or train it again"
        )


def parse_header(path: Path, metadata: dict[str, str] | None) -> Header:
    """Reads the header from a safetensors file's metadata.

    Args:
        path: the file, for messages.
        metadata: the file's text metadata.

    Raises:
        CheckpointError: not one of ours, another format version, or damaged.
    """
    try:
        fields = json.loads((metadata or {})[HEADER_KEY])
        version = fields["format_version"]
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is a safetensors file, but not one of pae's; choose another"
        ) from error
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version!r:.20}, this pae reads {FORMAT_VERSION}; "
            "upgrade with `pipx upgrade paecli`"
        )
    try:
        if _is_deeper(fields, DEEPEST):
            raise RecursionError("nested too deeply")
        json.dumps(fields, ensure_ascii=False).encode()  # half a character cannot be printed
        return Header.model_validate(fields)
    except (ValidationError, UnicodeEncodeError, RecursionError) as error:
        raise CheckpointError(f"{path} has a damaged header; download or train it again") from error


def _check_data(data: object) -> None:
    if not isinstance(data, dict):
        raise ValueError("the data set has no fields")
    name = data.get("dataset") or ""
    if not isinstance(name, str) or len(name) > LONGEST_NAME or "\0" in name:
        raise ValueError("the data set's name is none")


def _is_deeper(value: object, levels: int) -> bool:
    """Tells whether JSON is nested deeper than `levels`: what prints it takes it recursively."""
    if not isinstance(value, dict | list):
        return False
    inner = value.values() if isinstance(value, dict) else value
    return levels == 0 or any(_is_deeper(each, levels - 1) for each in inner)


def _checked_numbers(architecture: Architecture | None) -> Architecture | None:
    for name, value in (architecture or {}).items():
        for number in value if isinstance(value, list | tuple) else [value]:
            _check_number(name, number)
    return architecture


def _check_number(name: str, value: object) -> None:
    if isinstance(value, str):
        return
    if not isinstance(value, int | float):
        raise ValueError(f"{name} is neither a number nor a word")
    limits = {"blocks": LARGEST_BLOCKS, "image_shape": LARGEST_SIDE}
    if not 0 <= value <= limits.get(name, LARGEST):
        raise ValueError(f"{name} is out of range")
