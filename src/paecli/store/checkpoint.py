"""Model files: safetensors with a JSON header; loading one runs no code."""

import errno
import hashlib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.model.model import Model
from paecli.model.pixel_table import is_pixel_table
from paecli.model.voices import LEVELS, STATEMENTS, Voices
from paecli.store.contents import (
    AUTOENCODER,
    ERRORS,
    REFERENCE,
    REFERENCE_SCORES,
    RETIRED,
    RETIRED_SCORES,
    read_header,
)
from paecli.store.header import (
    FORMAT_VERSION,
    HEADER_KEY,
    Header,
    check_header_length,
    parse_header,
    require_whole_images,
)
from paecli.store.value_ranges import SMALLEST_VARIANCE, is_possible
from paecli.store.voices_file import COMBINED, add_voices
from paecli.system.errors import CheckpointError, WriteError
from paecli.system.files import replacing
from paecli.system.names import is_utf8

__all__ = [
    "FORMAT_VERSION",
    "Header",
    "hash_tensors",
    "load_pae",
    "read_header",
    "save_pae",
    "save_tensors",
]

# of the model's own names, where files have others
STORED_PREFIXES = {"reference_images.": REFERENCE, "held_out_errors.": ERRORS}
LATENTS = REFERENCE + "latents"
REFERENCE_TENSORS = (LATENTS, REFERENCE + "features")
STATISTICS = REFERENCE + "statistics"
ERROR_IMAGES = ERRORS + "images"
PIXEL_TABLE = ERRORS + "quantiles"
STRATA_EDGES = ERRORS + "edges"
DESCRIBED = {"network", "image_shape", "latent_size"}  # what every header says of stage 1
TRIED = 2  # samples, when a model is read
SYSTEM_ERROR = re.compile(r"\(os error (\d+)\)")  # in what safetensors says
FLOAT_TYPES = ("F16", "BF16", "F32", "F64")
STORED_TYPES = {torch.float32: FLOAT_TYPES, torch.int64: ("I64",), torch.uint8: ("U8",)}


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Returns the SHA-256 of named tensors: names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def save_pae(path: Path, model: Model, header: Header, *, half: bool = False) -> None:
    """Writes a model atomically: the old file stays whole until the new one is.

    Args:
        path: the file.
        model: the model.
        header: what to say about it; the hash of the autoencoder is filled in.
        half: whether to store the autoencoder's weights as float16, which halves the file.
            The flow, whose densities need the digits, always stays float32.

    Raises:
        WriteError: the file cannot be written.
    """
    tensors = {name: _varying(name, tensor) for name, tensor in _stored_state(model).items()}
    if half:
        tensors = {
            name: _halved(tensor) if _may_be_halved(name) else tensor
            for name, tensor in tensors.items()
        }
    autoencoder = {
        name.removeprefix(AUTOENCODER): as_loaded(tensor)
        for name, tensor in tensors.items()
        if name.startswith(AUTOENCODER)
    }
    header = header.model_copy(update={"autoencoder_hash": hash_tensors(autoencoder)})
    tensors |= {REFERENCE_SCORES + name: values for name, values in model.reference_scores.items()}
    tensors[LATENTS] = _halved(tensors[LATENTS])  # `keep` has rounded them already
    # without the key of other kinds: earlier releases refuse keys they do not know
    save_tensors(path, tensors, {HEADER_KEY: header.model_dump_json(exclude={"patches"})})


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Writes tensors and text metadata to a safetensors file, atomically.

    Raises:
        WriteError: the file cannot be written.
    """
    if not is_utf8(path):
        raise WriteError(f"cannot write {path}: its name is not UTF-8; choose another")
    plain = _unshared(tensors)
    with replacing(path) as temporary:
        try:
            # writes from where the tensors are: large models need no second copy in memory
            save_file(plain, temporary, metadata)
        except SafetensorError as error:
            code = SYSTEM_ERROR.search(str(error))
            number = int(code[1]) if code else errno.EIO
            raise OSError(number, os.strerror(number) if code else f"{error}") from error


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies the tensors that safetensors refuses: strided ones, and views of a shared storage."""
    plain: dict[str, Tensor] = {}
    storages: set[int] = set()
    for name, value in tensors.items():
        tensor = value.detach().cpu().contiguous()
        storage = tensor.untyped_storage()
        if storage.data_ptr() in storages or storage.nbytes() != tensor.nbytes:
            tensor = tensor.clone()
        storages.add(tensor.untyped_storage().data_ptr())
        plain[name] = tensor
    return plain


def load_pae(path: Path) -> tuple[Model, Header]:
    """Reads a model file into a model in evaluation mode, on the CPU.

    The networks are first built without memory and compared with the sizes in the file, so
    a hostile header can make this allocate no more than a small multiple of the file.

    Raises:
        CheckpointError: as `read_header`, or the tensors do not fit the header.
    """
    with opened(path) as file:
        header = parse_header(path, file.metadata())
        require_whole_images(path, header)
        model = _build_without_memory(path, header)
        check_shapes(path, file, model)
        try:
            tensors = {name: as_loaded(file.get_tensor(name)) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, RuntimeError) as error:
            raise unfit(path, "a tensor cannot be read") from error
    _drop_retired(tensors)
    scores = {
        name: tensors.pop(name) for name in list(tensors) if name.startswith(REFERENCE_SCORES)
    }
    _fill(tensors, model)
    _check_values(path, tensors, scores)
    try:
        model.load_state_dict({_own_name(name): tensors[name] for name in tensors}, assign=True)
    except RuntimeError as error:
        raise unfit(path, "its tensors do not fit together") from error
    if hash_tensors(model.autoencoder.state_dict()) != header.autoencoder_hash:
        raise unfit(path, "its flow belongs to another autoencoder, or weights were changed")
    model.reference_scores = {
        name.removeprefix(REFERENCE_SCORES): values for name, values in scores.items()
    }
    _check_errors(path, model)
    _drop_other_voices(model)
    if COMBINED in model.reference_scores and not model.voices.fitted:
        add_voices(model, hash_tensors({COMBINED: model.reference_scores[COMBINED]}))
    _try(path, model.eval())
    return model, header


def as_loaded(tensor: Tensor) -> Tensor:
    """Returns the tensor in the type that a loaded model computes with, in memory of its own.

    Memory mapped from the file is not aligned as torch's own is, which changes the order of
    sums in matrix products and so the last digit of results.
    """
    return tensor.to(torch.float32 if tensor.is_floating_point() else tensor.dtype, copy=True)


def _stored_state(model: nn.Module) -> dict[str, Tensor]:
    """Returns the tensors of a model by their names in files."""
    return {_stored_name(name): tensor for name, tensor in model.state_dict().items()}


def _stored_name(name: str) -> str:
    own, dot, rest = name.partition(".")
    return STORED_PREFIXES.get(own + dot, own + dot) + rest


def _own_name(stored: str) -> str:
    return next(
        (
            own + stored.removeprefix(prefix)
            for own, prefix in STORED_PREFIXES.items()
            if stored.startswith(prefix)
        ),
        stored,
    )


def _may_be_halved(name: str) -> bool:
    # small variances would become 0
    return name.startswith(AUTOENCODER) and not name.endswith(".running_var")


def _varying(name: str, tensor: Tensor) -> Tensor:
    """Gives units that never varied in training a variance, which changes nothing beside eps."""
    return tensor.clamp_min(SMALLEST_VARIANCE) if name.endswith(".running_var") else tensor


def _halved(tensor: Tensor) -> Tensor:
    """Rounds to float16 unless the tensor holds integers or values beyond float16."""
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    return half if half.isfinite().all() else tensor


def opened(path: Path) -> Any:
    check_header_length(path)
    try:
        return safe_open(path, framework="pt")
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"{path} is not a readable model file ({reason:.200}); download or train it again"
        ) from error


def _build_without_memory(path: Path, header: Header) -> Model:
    try:
        with torch.device("meta"):
            if not header.autoencoder.keys() >= DESCRIBED:
                raise KeyError("an option is missing")
            autoencoder = Autoencoder(**header.autoencoder)
            return Model(autoencoder, LatentFlow(**header.flow) if header.flow else None)
    except Exception as error:  # whatever a hostile description makes torch or FrEIA raise
        raise unfit(path, "it describes no network that this pae can build") from error


def check_shapes(path: Path, file: Any, model: nn.Module) -> None:
    """Compares the file's tensors with the model's, before any is read."""
    expected = _stored_state(model)
    # buffers that start without elements hold as many images as training kept
    open_ended = {name for name, tensor in expected.items() if tensor.numel() == 0}
    names = {name for name in file.keys() if not name.startswith(REFERENCE_SCORES)}  # noqa: SIM118
    for name in (set(expected) - open_ended) - names | names - set(expected) - RETIRED:
        raise unfit(path, f"{name!r:.100} is missing or too much")
    for name in file.keys():  # noqa: SIM118
        stored = file.get_slice(name)
        shape, dtype = stored.get_shape(), stored.get_dtype()
        if name.startswith(REFERENCE_SCORES) or name in RETIRED:
            fits = len(shape) == 1 and dtype in FLOAT_TYPES
        else:
            tensor = expected[name]
            fits = dtype in STORED_TYPES[tensor.dtype] and (
                len(shape) == tensor.ndim if name in open_ended else shape == list(tensor.shape)
            )
        if not fits:
            raise unfit(path, f"{name!r:.100} has another shape or type")


def _drop_retired(tensors: dict[str, Tensor]) -> None:
    """Takes from an older file the images and scores that are compared differently now."""
    if RETIRED & tensors.keys():
        for name in list(tensors):
            if name.startswith(REFERENCE) or name in RETIRED_SCORES:
                del tensors[name]


def _fill(tensors: dict[str, Tensor], model: Model) -> None:
    """Adds the buffers without elements that the file left out."""
    for name, tensor in _stored_state(model).items():
        if tensor.numel() == 0:
            tensors.setdefault(name, torch.zeros(tensor.shape, dtype=tensor.dtype))


def _check_values(path: Path, tensors: dict[str, Tensor], scores: dict[str, Tensor]) -> None:
    """Refuses values that no training leaves behind and that would crash or mislead later."""
    if len({len(tensors[name]) for name in REFERENCE_TENSORS}) > 1:
        raise unfit(path, f"{' and '.join(REFERENCE_TENSORS)} have different lengths")
    if len(tensors[STATISTICS]) != (2 if len(tensors[LATENTS]) else 0):
        raise unfit(path, f"{STATISTICS!r} does not fit the images")
    if not is_pixel_table(tensors[STRATA_EDGES], tensors[PIXEL_TABLE]):
        raise unfit(path, f"{PIXEL_TABLE!r} and {STRATA_EDGES!r} are no table")
    for name, tensor in (tensors | scores).items():
        if not is_possible(name, tensor):
            raise unfit(path, f"{name!r:.100} holds impossible values")


def _check_errors(path: Path, model: Model) -> None:
    """Refuses held-out images that are not of the model's kind."""
    u, images = model.held_out_errors.u, model.held_out_errors.images
    sizes = (model.latent_size, *model.image_shape)
    if len(u) != len(images) or (len(u) and (*u.shape[1:], *images.shape[1:]) != sizes):
        raise unfit(path, f"{ERROR_IMAGES!r} has images of another kind")


def _drop_other_voices(model: Model) -> None:
    """Takes away voices that state other things than this version's, and the scores made by them.

    Whoever asks for these is told how to have them measured anew.
    """
    voices, width = model.voices, len(STATEMENTS)
    shapes = (tuple(voices.tables.shape), tuple(voices.precision.shape))
    if voices.fitted and shapes != ((width + 2, LEVELS), (width, width)):
        model.voices = Voices()
        model.reference_scores.pop(COMBINED, None)


@torch.no_grad()
def _try(path: Path, model: Model) -> None:
    """Passes the plainest image and latent, and samples, through the networks.

    Weights alone do not tell.

    Raises:
        CheckpointError: something comes out that is no number.
    """
    grey = torch.full((1, *model.image_shape), 0.5)
    values = [
        model.autoencoder.encode(grey),
        model.autoencoder.decode(model.sigma.new_zeros(1, model.latent_size)),
    ]
    if model.flow is not None:
        u, log_determinant = model.flow.to_base(model.flow.mean[None])
        values += [u, log_determinant, model.flow.from_base(torch.zeros_like(u))]
        drawn = model.flow.sample(TRIED, generator=torch.Generator().manual_seed(0))
        images = model.autoencoder.decode(drawn)
        values += [images, model.flow.log_prob(model.autoencoder.encode(images))]
    if not all(value.isfinite().all() for value in values):
        raise unfit(path, "its networks give no numbers")


def unfit(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} does not fit its own description ({reason}); download or train it again"
    )
