"""What a data set is: two splits of 8-bit images, in memory or mapped from disk."""

import hashlib
from dataclasses import dataclass, replace

from torch import Tensor

from paecli.data.memory import gather

HASH_CHUNK = 1 << 24  # bytes hashed at once, so that a mapped file never fills the memory


@dataclass(frozen=True, eq=False)
class ImageSplit:
    """Images of one kind, train or test.

    Attributes:
        images: `(n, channels, height, width)` uint8 in [0, 255].
        labels: `(n,)` int64, indices into `classes`, or None.
        classes: the names of the classes; empty without labels.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Returns the number of images."""
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """`(channels, height, width)` of an image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def take(self, count: int) -> "ImageSplit":
        """Returns the first `count` images, or all when there are fewer."""
        labels = None if self.labels is None else self.labels[:count]
        return ImageSplit(self.images[:count], labels, self.classes)

    def select(self, index: Tensor) -> "ImageSplit":
        """Returns the images at `index`, `(k,)` int64 or a mask `(n,)` bool, as a copy."""
        labels = None if self.labels is None else self.labels[index]
        return ImageSplit(gather(self.images, index), labels, self.classes)


@dataclass(frozen=True, eq=False)
class ImageDataset:
    """A named data set with its training and test images.

    Attributes:
        name: what the user asked for, or the folder's name.
        train: images to learn from.
        test: images to report on, never to tune on.
        source: where the images came from, for people.
        content_hash: SHA-256 of the shapes and pixels of all splits.
        validation: images to tune on, where the user set some apart.
    """

    name: str
    train: ImageSplit
    test: ImageSplit
    source: str
    content_hash: str
    validation: ImageSplit | None = None


def without_training_pixels(data: ImageDataset) -> ImageDataset:
    """Returns a set that still tells number, shape and labels of its training images."""
    train = replace(data.train, images=data.train.images.to("meta"))
    return replace(data, train=train)


def hash_images(*image_sets: Tensor) -> str:
    """Returns the SHA-256 of the shapes and pixels of uint8 images `(n, c, h, w)`."""
    digest = hashlib.sha256()
    for images in image_sets:
        digest.update(f"{tuple(images.shape)}\n".encode())
        pixels = images.contiguous().flatten()
        for chunk in pixels.split(HASH_CHUNK):
            digest.update(chunk.numpy().data)
    return digest.hexdigest()


def make_dataset(
    name: str,
    train: ImageSplit,
    test: ImageSplit,
    *,
    source: str,
    validation: ImageSplit | None = None,
) -> ImageDataset:
    """Joins splits and computes their hash."""
    splits = (train, test) if validation is None else (train, test, validation)
    content_hash = hash_images(*(split.images for split in splits))
    return ImageDataset(name, train, test, source, content_hash, validation)
