"""Which sub-folders of a folder are its splits: train, test and validation by their usual names."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from paecli.system.errors import DataError

ROLES = {
    "train": "train",
    "training": "train",
    "test": "test",
    "testing": "test",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
}
ADDITION = re.compile(r"[-_ ]?(set|data|images|split)$")  # as in `training_set`
# Names that may as well be those of classes: splits where they play two roles.
LIKELY = ROLES | {
    **dict.fromkeys(("trains", "trn", "trainval", "trainingval"), "train"),
    **dict.fromkeys(("tests", "tst", "eval", "evaluation", "holdout", "heldout"), "test"),
    **dict.fromkeys(("vali", "validate", "development"), "val"),
    # French, Spanish, Italian, Portuguese, German and Dutch, without accents
    **dict.fromkeys(
        ("entrainement", "apprentissage", "entrenamiento", "addestramento", "treino",
         "treinamento"), "train"
    ),
    **dict.fromkeys(("prueba", "pruebas", "teste", "testes"), "test"),
    **dict.fromkeys(("validacion", "convalida", "validacao", "validierung", "validatie"), "val"),
}  # fmt: skip
# as in `images_train`, `2_test`, `train2017`, `TestImgs`
BESIDE = re.compile(
    r"^(\d+|images?|imgs?|data(set)?|photos?|pictures?)[-_ .]+"
    r"|[-_ .]*(sets?|data|datasets?|images?|imgs?|splits?|photos?|pictures?|files|v?\d+(\.\d+)*)$"
)
BREAKS = re.compile(r"[-_ ]+")


@dataclass(frozen=True)
class Part:
    """Images of one split.

    Attributes:
        root: the folder whose sub-folders are the classes.
        files: its images, sorted.
        labels: the classes of the files, where a list names them; else the sub-folders do.
    """

    root: Path
    files: tuple[Path, ...]
    labels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Parts:
    """The splits of a folder.

    Attributes:
        train: what is trained on; without `test` a part of it becomes the test images.
        test: the test images, or None.
        validation: the images to tune on, or None.
        notes: sentences on what was taken for what.
    """

    train: Part
    test: Part | None = None
    validation: Part | None = None
    notes: tuple[str, ...] = ()


def role_of(name: str) -> str | None:
    """Returns `train`, `test` or `val` for a folder so called (`Train`, `valid`, `test_set`)."""
    return ROLES.get(ADDITION.sub("", name.lower()))


def likely_role(name: str) -> str | None:
    """Returns the role of a name that may also be a class's, such as `train2017` or `holdout`."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter)).strip()
    return role_of(name) or LIKELY.get(BREAKS.sub("", BESIDE.sub("", plain)))


def _roles(names: Iterable[str]) -> dict[str, str]:
    """Returns the roles of the folders that are splits, by their names."""
    likely = {name: role for name in names if (role := likely_role(name))}
    if len(set(likely.values())) > 1:
        return likely
    return {name: role for name in likely if (role := role_of(name))}


def find_parts(folder: Path, files: Sequence[Path]) -> Parts:
    """Sorts the images of a folder into splits.

    A name that may as well be a class's counts only where there are folders of two roles.
    With a folder for training and one for testing or validation, what lies beside them is left
    out. With validation and no test images, the validation images are the test images. Without
    one for training, everything else is trained on. `train` beside other folders is a class.

    Args:
        folder: with the images.
        files: its images, at any depth, sorted; at least one.

    Raises:
        DataError: two folders for one split, or none to train on.
    """
    folder = _inner(folder, files)
    named: dict[str, Path] = {}
    tops = sorted({top for file in files if (top := _top(folder, file))})
    for name, role in _roles(tops).items():
        if role in named:
            raise DataError(
                f"{folder} has both {named[role].name} and {name}; keep one of them, or give "
                "a folder of links to those that are meant"
            )
        named[role] = folder / name
    taken = {root.name for root in named.values()}
    beside = tuple(file for file in files if _top(folder, file) not in taken)
    parts = {role: _part(root, files) for role, root in named.items()}
    if not parts or (set(parts) == {"train"} and beside):
        notes = _deeper(folder, files)
        if parts:
            name = parts["train"].root.name
            notes = (f"{folder}: {name} is a class as no folder is for testing", *notes)
        return Parts(_part(folder, files), notes=notes)
    if len(parts) == 1 and not beside:
        only = next(iter(parts.values()))
        return Parts(only, notes=_deeper(only.root, only.files))
    return _arrange(folder, parts, beside)


def _arrange(folder: Path, parts: dict[str, Part], beside: tuple[Path, ...]) -> Parts:
    notes = []
    train, test, validation = (parts.get(role) for role in ("train", "test", "val"))
    if train and beside:
        names = ", ".join(part.root.name for part in parts.values())
        notes.append(f"{len(beside):,} images of {folder} are not used: they are not in {names}")
    if train is None:
        if not beside:
            raise DataError(f"{folder} has test and validation images but none to train on")
        names = " and ".join(part.root.name for part in parts.values())
        notes.append(f"{folder}: everything but {names} is trained on")
        train = Part(folder, beside)
    if test is None and validation is not None:
        notes.append(f"{validation.root} serves as test images")
        test, validation = validation, None
    return Parts(train, test, validation, tuple(notes))


def _inner(folder: Path, files: Sequence[Path]) -> Path:
    """Goes into a lone sub-folder if the splits lie in there."""
    tops = {_top(folder, file) for file in files}
    if len(tops) != 1 or not (name := tops.pop()) or role_of(name):
        return folder
    inner = folder / name
    roles = _roles({top for file in files if (top := _top(inner, file))})
    return inner if len(set(roles.values())) > 1 else folder


def _top(folder: Path, file: Path) -> str:
    """Returns the sub-folder that a file is in, empty for a file right in the folder."""
    parts = _below(folder, file)
    return parts[0] if len(parts) > 1 else ""


def _below(folder: Path, file: Path) -> tuple[str, ...]:
    # much quicker than `relative_to`, for files that are known to be in the folder
    return file.parts[len(folder.parts) :]


def _part(root: Path, files: Sequence[Path]) -> Part:
    length = len(root.parts)
    return Part(root, tuple(file for file in files if file.parts[:length] == root.parts))


def _deeper(root: Path, files: Sequence[Path]) -> tuple[str, ...]:
    """Says so when folders called like splits lie deeper, where they are classes or nothing."""
    roles = _roles({part for file in files for part in _below(root, file)[1:-1]})
    if len(set(roles.values())) < 2:
        return ()
    names = " and ".join(sorted(roles))
    return (f"{root}: folders called {names} inside the classes are not taken for splits",)
