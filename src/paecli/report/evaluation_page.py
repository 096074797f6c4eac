"""The page of `pae eval --report`: figures, and pictures of what the model makes."""

from pathlib import Path

from paecli.evaluation.result import Evaluation, Examples
from paecli.evaluation.sample_quality import SampleQuality
from paecli.report.evaluation_tables import (
    CLASS_COLUMNS,
    DISTANCE_COLUMNS,
    FIGURE_COLUMNS,
    PRECISION_RECALL_COLUMNS,
    class_rows,
    distance_rows,
    figure_rows,
    precision_recall_rows,
)
from paecli.report.grid import image_grid
from paecli.report.html import PAGE_FILE, Page
from paecli.report.pictures import reconstructions

COMPARED = 10  # originals beside their reconstructions
LINES = 8  # interpolations


def write_evaluation(evaluation: Evaluation, folder: Path) -> Path:
    """Writes the page; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    page = Page(f"Evaluation of {evaluation.model}")
    page.add_text(f"{evaluation.images:,} test images of {evaluation.dataset}.")
    if evaluation.substitute_for:
        page.add_text(
            f"These are a bundled sample: {evaluation.substitute_for} itself was not found."
        )
    page.add_table(FIGURE_COLUMNS, figure_rows(evaluation), caption="Figures")
    if evaluation.sample_quality is not None:
        _add_sample_quality(page, evaluation.sample_quality)
    _add_pictures(page, evaluation.examples)
    if evaluation.reconstruction.per_class:
        page.add_heading("Reconstruction error by class")
        page.add_table(CLASS_COLUMNS, class_rows(evaluation.reconstruction))
    path = folder / PAGE_FILE
    page.save(path)
    return path


def _add_sample_quality(page: Page, quality: SampleQuality) -> None:
    page.add_heading(f"Distance to test images, {quality.features} features")
    for caption, distances in (
        ("Frechet", quality.frechet),
        ("Kernel", quality.kernel),
    ):
        if distances is not None:
            page.add_table(DISTANCE_COLUMNS, distance_rows(distances), caption=caption)
            page.add_text(f"Protocol: {distances.protocol}.")
    page.add_table(
        PRECISION_RECALL_COLUMNS, precision_recall_rows(quality.precision_recall), caption="Overlap"
    )


def _add_pictures(page: Page, examples: Examples) -> None:
    page.add_heading("Reconstructions")
    page.add_picture(
        reconstructions(examples.originals[:COMPARED], examples.reconstructions[:COMPARED]),
        "Test images, their reconstructions and the differences",
    )
    if examples.samples is not None:
        page.add_heading("Samples")
        page.add_picture(image_grid(examples.samples), "Images drawn from the model")
    page.add_heading("Without the flow")
    page.add_picture(
        image_grid(examples.decoded_gaussian),
        "Decoded standard Gaussian latents",
        "Decoded N(0, I) latents: what samples would be without a flow.",
    )
    if examples.lines is not None:
        page.add_heading("Interpolation")
        lines = examples.lines[:LINES]
        page.add_picture(
            image_grid(lines.flatten(0, 1), columns=lines.shape[1]),
            "Rows of images that change step by step from one test image to another",
        )
