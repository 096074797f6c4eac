"""Which files of a folder are images, and what is said of the others."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from PIL import Image
from PIL.ImageFile import StubImageFile

from paecli.system.errors import DataError
from paecli.system.outputs import is_own_picture, is_run_folder
from paecli.system.progress import NullProgress, Progress

# Pillow starts another program to read EPS, and knows of a film no more than its size
NOT_DECODED = frozenset({"EPS", "MPEG"})
# by content only what is not also the container of camera raws and documents
BY_CONTENT = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "JPEG2000", "AVIF")
ENDINGS_NAMED = 4  # of files that are no images

OWN = "pictures that pae wrote"
HIDDEN = "hidden"
LINKED_TWICE = "links to what is here already"
NO_FILE = "neither files nor folders"
SINGULAR = {
    OWN: "picture that pae wrote",
    LINKED_TWICE: "link to what is here already",
    NO_FILE: "neither file nor folder",
}


@dataclass
class Listing:
    """What a folder holds.

    Attributes:
        images: image files, sorted; links are followed, and each file comes once.
        unreadable: path and reason of what should have been looked at and could not.
        passed_over: for each reason how many files or folders were left out.
        folders_left_out: run folders, and the output folder that was to be left out.
        own: pictures this tool wrote, sorted.
        other_endings: endings of the files that are no images.
    """

    images: list[Path] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    passed_over: Counter[str] = field(default_factory=Counter)
    folders_left_out: list[Path] = field(default_factory=list)
    own: list[Path] = field(default_factory=list)
    other_endings: Counter[str] = field(default_factory=Counter)

    def summary(self) -> str:
        """Says in one line what was passed over and why; empty if nothing was."""
        counts = dict(self.passed_over)
        if self.other_endings:
            endings = [ending for ending, _ in self.other_endings.most_common(ENDINGS_NAMED)]
            more = ", ..." if len(self.other_endings) > ENDINGS_NAMED else ""
            reason = f"no images ({', '.join(endings)}{more})"
            counts[reason] = self.other_endings.total()
        parts = [
            f"{count:,} {SINGULAR.get(reason, reason) if count == 1 else reason}"
            for reason, count in counts.items()
        ]
        parts += [f"the output folder {folder}" for folder in self.folders_left_out]
        return ", ".join(parts)


def is_called_image(path: Path) -> bool:
    """Tells whether a name ends as images' names do; the usual endings are known at once."""
    Image.preinit()  # a few formats; all of them take a twentieth of a second
    ending = path.suffix.lower()
    return ending in Image.EXTENSION or ending in image_endings()


@cache
def image_endings() -> frozenset[str]:
    """Returns the endings, `.png` and the like, of all formats that Pillow decodes itself."""
    Image.init()
    stubs = {
        name for name, (factory, _) in Image.OPEN.items()
        if isinstance(factory, type) and issubclass(factory, StubImageFile)
    }  # fmt: skip
    decoded = set(Image.OPEN) - stubs - NOT_DECODED
    return frozenset(
        ending for ending, name in Image.registered_extensions().items() if name in decoded
    )


def list_images(folder: Path, *, leave_out: Path | None = None) -> Listing:
    """Lists the images in a folder and its sub-folders, to any depth.

    What Pillow decodes is an image, by ending, or by content where the ending says nothing. Links
    are followed. What is linked twice counts once, under its own name where that is in the folder;
    that ends loops, too. Pictures that this tool wrote, and its run folders, are left out; only a
    folder that holds nothing else gives its own pictures.

    Args:
        folder: where to look.
        leave_out: a folder below it that is about to be written to.
    """
    walk = _Walk(folder, leave_out)
    listing = walk.run()
    if listing.own and not listing.images:
        listing.images, listing.own = listing.own, []
    if listing.own:
        listing.passed_over[OWN] = len(listing.own)
    listing.images.sort()
    return listing


class _Walk:
    """One pass over a folder: what is really there first, what is linked to afterwards."""

    def __init__(self, folder: Path, leave_out: Path | None) -> None:
        self.folder = folder
        self.listing = Listing()
        self._leave_out = None if leave_out is None else os.path.realpath(leave_out)
        self._seen: set[str] = set()
        self._links: list[Path] = []

    def run(self) -> Listing:
        self._visit(self.folder)
        while self._links:
            links, self._links = sorted(self._links), []
            for link in links:
                self._follow(link)
        return self.listing

    def _visit(self, folder: Path) -> None:
        pending = [folder]
        while pending:
            here = pending.pop()
            real = os.path.realpath(here)
            self._seen.add(real)
            try:
                with os.scandir(here) as found:
                    entries = sorted(found, key=lambda entry: entry.name)
            except OSError as error:
                reason = f"the folder {here} cannot be opened: {error.strerror}"
                self.listing.unreadable.append((here, reason))
                continue
            if here != self.folder and is_run_folder(frozenset(e.name for e in entries)):
                self.listing.folders_left_out.append(here)
                continue
            pending += [path for entry in entries if (path := self._sort_entry(here, real, entry))]

    def _sort_entry(self, here: Path, real: str, entry: os.DirEntry[str]) -> Path | None:
        """Deals with an entry of `here`, which really is `real`; returns a folder to go into."""
        path = here / entry.name
        if entry.name.startswith("."):
            self.listing.passed_over[HIDDEN] += 1
        elif entry.is_symlink():
            self._links.append(path)
        elif entry.is_dir(follow_symlinks=False):
            return self._enter(path)
        elif entry.is_file(follow_symlinks=False):
            self._seen.add(f"{real}{os.sep}{entry.name}")
            self._take(path)
        else:
            self.listing.passed_over[NO_FILE] += 1
        return None

    def _enter(self, folder: Path) -> Path | None:
        real = os.path.realpath(folder)
        if real == self._leave_out:
            self.listing.folders_left_out.append(folder)
            return None
        if real in self._seen:
            self.listing.passed_over[LINKED_TWICE] += 1
            return None
        return folder

    def _follow(self, link: Path) -> None:
        if not link.exists():
            reason = f"{link} is a link to {link.readlink()}, which is not there"
            self.listing.unreadable.append((link, reason))
        elif link.is_dir():
            if self._enter(link):
                self._visit(link)
        elif os.path.realpath(link) in self._seen:
            self.listing.passed_over[LINKED_TWICE] += 1
        elif link.is_file():
            self._seen.add(os.path.realpath(link))
            self._take(link)
        else:
            self.listing.passed_over[NO_FILE] += 1

    def _take(self, path: Path) -> None:
        ending = path.suffix.lower()
        if ending not in image_endings() and not _is_image_by_content(path):
            self.listing.other_endings[ending or "no ending"] += 1
        elif ending in (".png", "") and is_own_picture(path):
            self.listing.own.append(path)
        else:
            self.listing.images.append(path)


def _is_image_by_content(path: Path) -> bool:
    try:
        with Image.open(path, formats=BY_CONTENT):
            return True
    except Exception:  # Pillow's readers fail in many ways
        return False


def summary_of(listings: Sequence[Listing]) -> str:
    """Says in one line what several folders' listings passed over; empty if nothing."""
    total = Listing()
    for listing in listings:
        total.passed_over += listing.passed_over
        total.other_endings += listing.other_endings
        total.folders_left_out += listing.folders_left_out
    return total.summary()


def find_images(
    paths: Sequence[Path],
    *,
    leave_out: Path | None = None,
    progress: Progress = NullProgress(),
) -> list[Path]:
    """Lists the images that files and folders (searched to any depth) stand for.

    Args:
        paths: files are taken whatever they are called, folders give what `list_images` finds.
        leave_out: a folder that is about to be written to.
        progress: told what in folders was passed over and why, and what cannot be looked at.

    Returns:
        Sorted paths, each once.

    Raises:
        DataError: a path does not exist, or there is no image at all.
    """
    images, unreadable = find_all(paths, leave_out=leave_out, progress=progress)
    for _, reason in unreadable:
        progress.say(f"Skipped: {reason}")
    return images


def find_all(
    paths: Sequence[Path],
    *,
    leave_out: Path | None = None,
    progress: Progress = NullProgress(),
) -> tuple[list[Path], list[tuple[Path, str]]]:
    """Lists images as `find_images` does, and what cannot be looked at with the reason."""
    files = {path for path in paths if not path.is_dir()}
    for path in files:
        # a dangling link is no reason to leave the other paths alone, a misspelt name is
        if not path.exists() and not path.is_symlink():
            raise DataError(f"{path} does not exist; give image files or folders")
    listings = {path: list_images(path, leave_out=leave_out) for path in paths if path.is_dir()}
    for path, listing in listings.items():
        if len(paths) > 1 and not listing.images and not listing.unreadable:
            progress.say(f"Warning: no images in {path}")
    summary = summary_of(list(listings.values()))
    if summary:
        progress.say(f"passed over in folders: {summary}")
    found = files.union(*(listing.images for listing in listings.values()))
    unreadable = [each for listing in listings.values() for each in listing.unreadable]
    if not found:
        raise nothing_found(", ".join(map(str, paths)) or "nothing", summary, unreadable)
    return sorted(found), unreadable


def nothing_found(place: str, summary: str, unreadable: Sequence[tuple[Path, str]]) -> DataError:
    """Returns the error that says why a place gives no image."""
    reasons = [summary, *(reason for _, reason in unreadable[:1])]
    why = "; ".join(reason for reason in reasons if reason)
    return DataError(
        f"no images in {place}{f' ({why})' if why else ''}; give PNG, JPEG, TIFF, WebP or BMP files"
    )


def images_below(folder: Path) -> list[Path]:
    """Lists the images in a folder and its sub-folders, sorted; see `list_images`."""
    return list_images(folder).images
