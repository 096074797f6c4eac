"""The page that `pae demo` ends with: every step's pictures and figures, and what they mean."""

from pathlib import Path

from paecli.report.evaluation_tables import FIGURE_COLUMNS, figure_rows
from paecli.report.html import Page
from paecli.report.ood_plots import (
    COMPARISON_COLUMNS,
    comparison_row,
    roc_picture,
    unusual_picture,
)
from paecli.report.pictures import image_grid, path_picture, reconstructions
from paecli.report.plots import loss_curves
from paecli.workflows.demo import DemoReport

PAGE_FILE = "report.html"
SHOWN = 10  # images beside their reconstructions


def write_demo(report: DemoReport, folder: Path) -> Path:
    """Writes the page; returns its path.

    Raises:
        CheckpointError: the folder cannot be written.
    """
    page = Page("pae demo: a model of clothes, made in minutes")
    images = report.evaluation.images
    page.add_text(
        "Everything here was computed by this run, from the images that ship with the tool: a "
        f"small part of Fashion-MNIST. All figures are on {images:,} test images that the model "
        "was not trained on. A model trained on the whole set is better."
    )
    rows = [(name, f"{seconds:.1f}") for name, seconds in report.seconds.items()]
    rows.append(("together", f"{sum(report.seconds.values()):.1f}"))
    page.add_table(("step", "seconds"), rows)
    _add_reconstructions(page, report)
    _add_samples(page, report)
    _add_outliers(page, report)
    _add_inbox(page, report)
    _add_training(page, report)
    page.add_heading("All figures")
    page.add_table(FIGURE_COLUMNS, figure_rows(report.evaluation))
    path = folder / PAGE_FILE
    page.save(path)
    return path


def _add_reconstructions(page: Page, report: DemoReport) -> None:
    mse = report.evaluation.reconstruction.mse
    examples = report.evaluation.examples
    page.add_heading("Reconstruction")
    page.add_text(
        "The autoencoder squeezes each image into a few numbers, its latent, and draws it again "
        f"from them. The mean squared error of a pixel is {mse:.5f}, pixels in [0, 1]."
    )
    page.add_picture(
        reconstructions(examples.originals[:SHOWN], examples.reconstructions[:SHOWN]),
        f"{SHOWN} pieces of clothing, their reconstructions and the differences",
    )


def _add_samples(page: Page, report: DemoReport) -> None:
    page.add_heading("New images")
    page.add_text(
        "The flow learned which latents occur. Latents drawn from it give images that "
        "nobody photographed."
    )
    page.add_picture(image_grid(report.samples.images), "A grid of images drawn from the model")
    page.add_picture(
        path_picture(report.interpolation.ends, report.interpolation.frames),
        "One piece of clothing that changes into another step by step",
        "From one test image to another, through images that the model finds as typical.",
    )


def _add_outliers(page: Page, report: DemoReport) -> None:
    page.add_heading("Whole sets of outliers")
    page.add_text(
        "An image is unusual when its latent has a low density under the flow (log_prob), when "
        "it is reconstructed badly, or for both reasons (combined). The area under the ROC curve "
        "(AUROC) is 1 when every outlier scores higher than every normal image, and 0.5 for "
        "guessing. hflip and vflip are the test images mirrored sideways and turned upside down."
    )
    rows = [comparison_row(result) for result in report.comparison.results]
    page.add_table(COMPARISON_COLUMNS, rows)
    score = report.comparison.results[0].score
    page.add_picture(
        roc_picture(report.comparison, score), f"ROC curves of the score {score}, one for each set"
    )


def _add_training(page: Page, report: DemoReport) -> None:
    page.add_heading("Training")
    for training, name, unit in (
        (report.autoencoder, "autoencoder", "squared error of a pixel"),
        (report.flow, "flow", "nats"),
    ):
        picture = loss_curves(training.history, f"Loss of the {name}", unit=unit)
        page.add_picture(picture, f"Loss and learning rate of the {name} against the epoch")


def _add_inbox(page: Page, report: DemoReport) -> None:
    images = report.inbox.images
    digits = [image for image in images if image.path.name.startswith("digit")]
    found = sum(image.outlier for image in digits)
    alarms = sum(image.outlier for image in images) - found
    page.add_heading("Outliers in a folder")
    page.add_text(
        f"A folder holds {len(images) - len(digits)} images of clothes and {len(digits)} digits. "
        "Each image gets a p-value: the share of normal images at least as unusual. Flagging "
        f"those up to 0.05 found {found} of the {len(digits)} digits and raised {alarms} false "
        f"alarms; {0.05 * (len(images) - len(digits)):.0f} are expected."
    )
    page.add_picture(
        unusual_picture(report.inbox),
        "The most unusual images of the folder, their reconstructions and the differences",
    )
