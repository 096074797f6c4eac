"""Pages of `pae ood`: curves and histograms of whole sets, or the most unusual images."""

from pathlib import Path

from paecli.outliers.compare_sets import SetComparison
from paecli.outliers.flag_images import FlagReport
from paecli.report.html import PAGE_FILE, Page
from paecli.report.ood_tables import (
    COMPARISON_COLUMNS,
    IMAGE_COLUMNS,
    common_folder,
    comparison_rows,
    image_row,
)
from paecli.report.pictures import Row, comparison, unusual_images
from paecli.report.plots import histograms, roc_curves
from paecli.system.files import write_atomically

SPREADS_SHOWN = 5  # right end of a histogram, in distances from median to 99th percentile
LISTED = 200  # images in the page's table; the CSV file has them all


def roc_picture(comparison: SetComparison, score: str) -> bytes:
    """Draws the characteristic of one score on every set; returns a PNG file."""
    curves = {
        f"{result.dataset} ({result.metrics.auroc:.3f})": result.metrics.curve
        for result in comparison.results
        if result.score == score
    }
    return roc_curves(curves, f"ROC of {score}")


def histogram_picture(comparison: SetComparison, score: str) -> bytes:
    """Draws how one score is distributed in every set; returns a PNG file.

    Scores of far outliers would squeeze all others into one bin; they go into the last one.
    """
    reference = comparison.scores[comparison.reference.name][score]
    median, high = reference.quantile(0.5).item(), reference.quantile(0.99).item()
    end = median + SPREADS_SHOWN * (high - median)
    groups = {
        name: values[score].clamp_max(end).numpy() for name, values in comparison.scores.items()
    }
    label = f"{score} (right = more unusual; {end:.3g} and more at the end)"
    return histograms(groups, f"{score} by data set", label=label)


def unusual_picture(report: FlagReport) -> bytes:
    """Shows the most unusual images, their reconstructions and residuals; returns a PNG file."""
    captions = [f"p = {image.p_value:.2g}" for image in report.unusual]
    if report.unusual_reconstructions is None:
        assert report.unusual_maps is not None
        rows = [
            Row("image", report.unusual_pixels),
            Row("pixels: minus\nlog10 of p", report.unusual_maps, "positive"),
        ]
        return comparison(rows, captions=captions, title="Most unusual first")
    return unusual_images(
        report.unusual_pixels, report.unusual_reconstructions, captions, "Most unusual first"
    )


def write_comparison(comparison: SetComparison, folder: Path) -> Path:
    """Writes the page of a comparison and its pictures; returns the page's path.

    Raises:
        WriteError: the folder cannot be written.
    """
    page = Page("Which data sets the model tells from its own")
    page.add_text(
        f"Reference images: {comparison.reference_count:,} test images of "
        f"{comparison.reference.name}. A score is higher the more unusual an image is."
    )
    caption = "Detection of the sets, with 95 % bootstrap margins"
    page.add_table(COMPARISON_COLUMNS, comparison_rows(comparison.results), caption=caption)
    for score in dict.fromkeys(result.score for result in comparison.results):
        page.add_heading(score)
        for kind, picture, alt in (
            ("roc", roc_picture(comparison, score), _describe_roc(comparison, score)),
            (
                "histogram",
                histogram_picture(comparison, score),
                _describe_histogram(comparison, score),
            ),
        ):
            write_atomically(folder / f"{kind}-{score}.png", picture)
            page.add_picture(picture, alt)
    return _save(page, folder)


def write_flags(report: FlagReport, folder: Path) -> Path:
    """Writes the page of scored images and its picture; returns the page's path.

    Raises:
        WriteError: the folder cannot be written.
    """
    page = Page("Which images are unusual")
    page.add_text(
        f"{report.flagged:,} of {len(report.images):,} images are flagged. A p-value is the share "
        f"of {report.reference_count:,} reference images that are at least as unusual by "
        f"{report.score}; MSE is the mean squared error of a pixel of the reconstruction."
    )
    picture = unusual_picture(report)
    write_atomically(folder / "unusual.png", picture)
    names = ", ".join(image.path.name for image in report.unusual)
    page.add_picture(
        picture,
        f"The most unusual images, their reconstructions and the differences: {names}",
        f"From left to right: {names}.",
    )
    ranked, above = report.ranked, common_folder(report.images)
    rows = [image_row(image, above) for image in ranked[:LISTED]]
    page.add_table(IMAGE_COLUMNS, rows, caption=f"Images in {above}, most unusual first")
    if len(ranked) > LISTED:
        page.add_text(f"{len(ranked) - LISTED:,} less unusual images are left out here.")
    return _save(page, folder)


def _describe_roc(comparison: SetComparison, score: str) -> str:
    areas = ", ".join(
        f"{result.dataset} {result.metrics.auroc:.3f}"
        for result in comparison.results
        if result.score == score
    )
    return f"ROC curves of {score}; the areas below them: {areas}"


def _describe_histogram(comparison: SetComparison, score: str) -> str:
    medians = ", ".join(
        f"{name} {values[score].median().item():.3g}" for name, values in comparison.scores.items()
    )
    return f"Histograms of {score}; the medians: {medians}"


def _save(page: Page, folder: Path) -> Path:
    page.save(folder / PAGE_FILE)
    return folder / PAGE_FILE
