"""Files that belong to images by their names: masks, noise maps and undamaged images in folders."""

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from paecli.data.images.listing import image_endings

ARRAY_ENDING = ".npy"  # of noise maps that are no pictures
NAMED = 5  # images without a partner that are named


def as_read(name: str) -> str:
    """Returns a name by which those that read the same are equal."""
    return unicodedata.normalize("NFC", name)


class Partners:
    """Finds for an image the file of the same name in another folder."""

    def __init__(self, source: Path, given: Path, *, also: tuple[str, ...] = ()) -> None:
        """Takes the folders.

        Args:
            source: the image, or the folder that the images are listed from.
            given: the folder of partners; or a file, the partner of all.
            also: endings of partners that are no images.
        """
        self.source, self.given = source, given
        self.endings = {*image_endings(), *also}

    def of(self, path: Path) -> Path | None:
        """Returns the partner of an image, None if there is none.

        It has the same path below its folder as the image has below its own; the ending may be
        another one if just one file is called so. Names that read the same are the same, whichever
        way a system writes its accents.
        """
        if not self.given.is_dir():
            return self.given
        below = path.relative_to(self.source) if self.source.is_dir() else Path(path.name)
        same = self.given / below
        if same.is_file():
            return same
        if not same.parent.is_dir():
            return None
        others = [
            file
            for file in same.parent.iterdir()
            if as_read(file.stem) == as_read(same.stem)
            and file.suffix.lower() in self.endings
            and file.is_file()
        ]
        return others[0] if len(others) == 1 else None

    def missing(self, paths: Sequence[Path]) -> list[Path]:
        """Returns the images that have no partner."""
        return [path for path in paths if self.of(path) is None]

    def complaint(self, lacking: Sequence[Path], count: int, what: str) -> str:
        """Returns a sentence that names images without a partner.

        Args:
            lacking: these images.
            count: all images.
            what: what the partners are, such as `mask`.
        """
        named = ", ".join(path.name for path in lacking[:NAMED])
        more = f" and {len(lacking) - NAMED} more" if len(lacking) > NAMED else ""
        return (
            f"{len(lacking)} of {count} images have no {what} of their name in {self.given}: "
            f"{named}{more}"
        )
