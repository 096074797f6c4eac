"""Draws the samples of Fashion-MNIST and MNIST that ship with the package.

    python benchmarks/make_bundled_samples.py --data-dir FOLDER

Training images come from the training split, test images from the test split, the same
number of each class, in the order of a seeded permutation. A sheet is a PNG of tiles, 100 in
a row; tile number k (row by row) is of class k mod 10. The pixels are those of the originals.
"""

import argparse
from pathlib import Path

import torch
from PIL import Image

from paecli.data import ImageSplit, load_dataset
from paecli.data.sets.named_sets import BUNDLED
from paecli.data.sets.readers import TILES_PER_ROW, sheet_path

SEED = 0


def draw(split: ImageSplit, count: int) -> torch.Tensor:
    """Returns the indices of `count` images whose classes go 0, 1, ..., 9, 0, 1, ..."""
    assert split.labels is not None
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(SEED))
    classes = range(len(split.classes))
    of_class = [order[split.labels[order] == label][: count // len(classes)] for label in classes]
    return torch.stack(of_class, dim=1).flatten()


def write_sheet(images: torch.Tensor, path: Path) -> None:
    """Writes images `(n, 1, h, w)` as one PNG of tiles."""
    count, _, height, width = images.shape
    rows = count // TILES_PER_ROW
    tiles = images.reshape(rows, TILES_PER_ROW, height, width).permute(0, 2, 1, 3)
    sheet = Image.fromarray(tiles.reshape(rows * height, TILES_PER_ROW * width).numpy())
    sheet.save(path, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    data_dir = parser.parse_args().data_dir
    for name, bundle in BUNDLED.items():
        dataset = load_dataset(bundle.original, data_dir=data_dir, download=False)
        for part, split, count in (
            ("train", dataset.train, bundle.train_count),
            ("test", dataset.test, bundle.test_count),
        ):
            write_sheet(split.select(draw(split, count)).images, Path(str(sheet_path(name, part))))


if __name__ == "__main__":
    main()
