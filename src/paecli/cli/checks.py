"""What is wrong with a command line, told before torch is imported: at once, not after seconds.

The library checks the same again, by the same functions where they need no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import typer

from paecli.cli.console import say
from paecli.data.dataset_names import holds_images, is_named
from paecli.data.images.listing import find_images
from paecli.data.images.lists import ENDINGS, Row, is_list, missing_files, read_list
from paecli.data.images.opening import open_image, oriented_size
from paecli.data.images.partners import ARRAY_ENDING, Partners
from paecli.data.images.tiling import tile_corners
from paecli.data.sets.locations import require_dataset
from paecli.model.requirements import (
    require_comparable,
    require_flow,
    require_noise_of_file,
    require_rate,
    typed_rate,
)
from paecli.restoration.masks.shapes import is_mask_folder, parse_mask
from paecli.store.contents import ModelContents, read_contents
from paecli.store.find_model import find_model
from paecli.store.header import Header, require_whole_images
from paecli.system.errors import CheckpointError, DataError, ImageError, UsageError

# the packages that each brings
EXTRAS = {
    "onnx": ("onnx", "onnxruntime"),
    "watch": ("watchfiles",),
    "web": ("starlette", "uvicorn"),
}
ANY_SIZE = 2**31  # pixels a side


def check_model(
    name: str | None, *, registry: str | None = None, flow: bool = True, patches: bool = False
) -> ModelContents:
    """Finds the model that MODEL names, and reads what its file contains.

    Args:
        name: what the user typed.
        registry: what the user typed after `--registry`.
        flow: whether the command needs stage 2.
        patches: whether it takes models of patches.

    Raises:
        CheckpointError: there is no such model, its header is damaged, or a stage is missing.
        RegistryError: no model of that name, or it cannot be had.
        UsageError: a registry, but no name to look for in it.
    """
    contents = read_contents(find_model(name, registry=registry))
    if not patches:
        require_whole_images(contents.path, contents.header)
    if flow:
        require_flow(contents.header.flow is not None)
    return contents


def check_images(paths: Sequence[Path], *, leave_out: Path | None = None) -> list[Path]:
    """Lists the images that files and folders stand for; opens one that is alone.

    Args:
        paths: what the user named.
        leave_out: a folder that is about to be written to.

    Raises:
        DataError: a path does not exist, or there is no image.
        ImageError: the only image is none, or cannot be read.
    """
    images = find_images(paths, leave_out=leave_out)
    if len(images) == 1:
        check_image(images[0])
    return images


def check_image(path: Path) -> None:
    """Opens an image without decoding it.

    Raises:
        ImageError: missing, empty, or not an image.
    """
    with open_image(path):
        pass


def check_folder(dataset: str, *, leave_out: Path | None = None) -> None:
    """Refuses a folder without images in the place of a data set.

    Args:
        dataset: what the user named; names and lists are not looked at.
        leave_out: a folder that is about to be written to.

    Raises:
        DataError: there is none.
    """
    if not is_named(dataset) and Path(dataset).is_dir():
        find_images([Path(dataset)], leave_out=leave_out)


def check_image_set(path: Path) -> None:
    """Refuses what is neither a folder with images nor a file of statistics.

    Raises:
        DataError: it does not exist, is another file, or holds no more than one image.
    """
    if path.is_dir():
        require_comparable(str(path), len(find_images([path])))
    elif not path.exists():
        raise DataError(f"{path} does not exist; give a folder of images or an .npz file")
    elif path.suffix.lower() != ".npz" or not path.is_file():
        raise DataError(f"{path} is neither a folder of images nor an .npz file of statistics")


def check_list(path: Path) -> list[Row]:
    """Reads a list of image files.

    Raises:
        DataError: it is none, called otherwise, or not one of its files is there.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a list of image files")
    if not is_list(path):
        raise DataError(f"{path} is not called {', '.join(ENDINGS)}; give a list by one of these")
    rows = read_list(path)
    lost = missing_files(rows)
    if len(lost) == len(rows):
        raise DataError(
            f"none of the {len(rows):,} files of {path} is there; {lost[0][1]}. Paths are "
            "relative to the list"
        )
    return rows


def flagging_rate(
    context: typer.Context, contents: ModelContents, rate: float, count: int
) -> float:
    """Returns the rate of flags: the usual one may be finer than few images can tell.

    Raises:
        UsageError: the user named a rate that is.
    """
    finest = 1 / (count + 1)
    source = context.get_parameter_source("fpr")
    typed = source is None or source.name != "DEFAULT"
    if typed or rate >= finest:
        require_rate(rate, count)
        return rate
    say(
        f"{contents.path} holds {count} held-out images, too few for a rate of {rate:g}: "
        f"flagging at {typed_rate(finest)}, its smallest p-value"
    )
    return finest


def check_training_set(
    header: Header, *, instead: str | None = None, data_dir: Path | None = None
) -> None:
    """Refuses a model whose data set is a folder that is gone, where that set is needed.

    Args:
        header: of the model.
        instead: another data set, if the user named one.
        data_dir: where the model's folder may be by now, which only its images tell.

    Raises:
        DataError: neither a folder nor a data set.
    """
    name = instead or header.training_set
    if not name or (instead is None and data_dir is not None):
        return
    if instead is None and Path(name).is_absolute() and not holds_images(Path(name)):
        raise DataError(
            f"{name!r} is neither a folder of images nor a data set by now, and the model was "
            "trained on it; tell with --data-dir where it is"
        )
    require_dataset(name)
    if instead is not None:
        check_folder(instead)


def check_tiles(image: Path, image_shape: tuple[int, int, int]) -> None:
    """Refuses an image that is smaller than a tile.

    Raises:
        UsageError: it is.
    """
    tile_corners(_size_of(image), (image_shape[1], image_shape[2]))


def check_readable(file: Path | None) -> None:
    """Opens a file that the user named, if any.

    Raises:
        CheckpointError: it cannot be opened.
    """
    if file is None:
        return
    if file.exists() and not file.is_file():  # a device would be read without end
        raise CheckpointError(f"{file} is not a regular file; give the weight file")
    try:
        file.open("rb").close()
    except OSError as error:
        raise CheckpointError(f"cannot read {file}: {error.strerror}; check the path") from error


def check_mask(spec: str, image_shape: tuple[int, int, int], image: Path) -> None:
    """Reads the description of a mask, or opens its file.

    Args:
        spec: what the user typed.
        image_shape: `(channels, height, width)` of what is seen of the model's images.
        image: the user's image, whose pixels the corners of a box count, or a folder of images.

    Raises:
        ImageError: a file that is no image, or a folder without a mask of the image's name.
        UsageError: neither a file nor a shape that fits the model's images.
    """
    if is_mask_folder(spec):
        _check_partner(Path(spec), image, "mask")
    elif Path(spec).is_file():
        check_image(Path(spec))
    else:
        height, width = image_shape[1:]
        if spec.startswith("box:"):
            height, width = _size_of(image)
        parse_mask(spec, height=height, width=width)


def check_noise(given: str, image: Path) -> float | Path:
    """Reads a standard deviation, or finds the file or folder of noise maps.

    Args:
        given: what the user typed.
        image: the user's image, or a folder of images.

    Raises:
        ImageError: a folder without a map of the image's name, or a file that is no image.
        UsageError: neither a file nor a standard deviation of pixels in [0, 1].
    """
    try:
        number = float(given)
    except ValueError:
        path = Path(given)
        if path.is_dir():
            _check_partner(path, image, "noise map")
        elif not path.exists():
            raise UsageError(
                f"--noise {given} is no number and no file; give a standard deviation of pixels "
                "in [0, 1], such as 0.1, or a picture or .npy file with one a pixel"
            ) from None
        elif path.suffix.lower() != ARRAY_ENDING:
            check_image(path)
        return path
    require_noise_of_file(number, "--noise")
    return number


def _check_partner(folder: Path, image: Path, what: str) -> None:
    """Refuses a folder that holds no partner of the only image."""
    partners = Partners(image, folder, also=(ARRAY_ENDING,))
    if not image.is_dir() and (lacking := partners.missing([image])):
        raise ImageError(partners.complaint(lacking, 1, what))


def _size_of(image: Path) -> tuple[int, int]:
    """Returns the `(height, width)` of an image; images of a folder are looked at one by one."""
    if image.is_dir():
        return ANY_SIZE, ANY_SIZE
    with open_image(image) as opened:
        return oriented_size(opened)


def check_truth(truth: Path | None, image: Path) -> None:
    """Refuses an undamaged image, or folder of them, that does not exist.

    Args:
        truth: what the user named, if anything.
        image: the user's image, or a folder of images.

    Raises:
        ImageError: it does not, the file is no image, or the folder has none of the image's name.
    """
    if truth is None:
        return
    if truth.is_dir():
        _check_partner(truth, image, "truth")
    else:
        check_image(truth)


def require_extra(extra: str) -> None:
    """Refuses a command whose extra is not installed.

    Args:
        extra: a key of `EXTRAS`.

    Raises:
        UsageError: names the first package that is missing, and how to install it.
    """
    for package in EXTRAS[extra]:
        if find_spec(package) is None:
            raise UsageError(
                f"this needs {package}, which is not installed; install it with "
                f"`pip install 'paecli[{extra}]'`, or `pipx inject paecli 'paecli[{extra}]'`"
            )
