"""The folder of heat maps: a picture an image, their scale, and a table of all regions."""

from collections.abc import Sequence
from pathlib import Path

from paecli.outliers.map_images import ImageMap
from paecli.report.heat_maps import heat_map, map_names, scale_picture
from paecli.system.csv_text import csv_text
from paecli.system.files import write_atomically

COLUMNS = ("path", "left", "top", "right", "bottom", "area", "p_value")
TABLE, SCALE = "regions.csv", "scale.png"


class MapFolder:
    """Writes heat maps as they come, and the table of regions at the end."""

    def __init__(self, folder: Path, images: Sequence[Path]) -> None:
        """Takes the folder and all images that may come."""
        self.folder = folder
        self.names = map_names(images)
        self.rows: list[tuple[object, ...]] = []

    def write(self, found: ImageMap) -> None:
        """Writes the heat map of an image.

        Raises:
            WriteError: the folder cannot be written.
        """
        write_atomically(self.folder / self.names[found.path], heat_map(found))
        for region in found.regions:
            self.rows.append((found.path, *region.box, region.area, region.p_value))

    def close(self) -> None:
        """Writes the scale and the table."""
        write_atomically(self.folder / SCALE, scale_picture())
        write_atomically(self.folder / TABLE, csv_text(COLUMNS, self.rows))
