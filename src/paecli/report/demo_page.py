"""The page that `pae demo` ends with: every step's pictures and figures, and what they mean."""

from pathlib import Path

import torch
from scipy.stats import betabinom

from paecli.demo import HIDDEN, DemoReport
from paecli.report.evaluation_tables import FIGURE_COLUMNS, figure_rows
from paecli.report.grid import image_grid
from paecli.report.html import PAGE_FILE, Page
from paecli.report.ood_plots import roc_picture, unusual_picture
from paecli.report.ood_tables import COMPARISON_COLUMNS, comparison_rows
from paecli.report.pictures import Row, comparison, path_picture, reconstructions
from paecli.report.plots import loss_curves
from paecli.system.files import write_atomically

OVERVIEW_FILE = "overview.png"
SHOWN = 10  # images beside their reconstructions
LEVEL = 0.8  # of the intervals whose coverage is told
COLUMNS = 8  # of the overview
UNITS = {"autoencoder": "squared error of a pixel", "flow": "nats"}  # of the held-out metric


def write_demo(report: DemoReport, folder: Path) -> Path:
    """Writes the page; returns its path.

    Raises:
        WriteError: the folder cannot be written.
    """
    page = Page("pae demo: what a model of clothes can do")
    page.add_text(
        "Everything here was computed by this run, from the images that ship with the tool: a "
        f"small part of Fashion-MNIST. The figures are on {report.evaluation.images:,} test images."
    )
    if report.trainings:
        page.add_text(
            "The model was trained for this page, in minutes, on a tenth of Fashion-MNIST; one "
            "trained longer on all of it is better."
        )
    rows = [(name, f"{seconds:.1f}") for name, seconds in report.seconds.items()]
    rows.append(("together", f"{sum(report.seconds.values()):.1f}"))
    page.add_table(("step", "seconds"), rows)
    _add_reconstructions(page, report)
    _add_samples(page, report)
    _add_outliers(page, report)
    _add_inbox(page, report)
    _add_restorations(page, report)
    if report.trainings:
        _add_training(page, report)
    page.add_heading("All figures")
    page.add_table(FIGURE_COLUMNS, figure_rows(report.evaluation))
    path = folder / PAGE_FILE
    page.save(path)
    write_atomically(folder / OVERVIEW_FILE, overview_picture(report))
    return path


def overview_picture(report: DemoReport) -> bytes:
    """Shows what the model does in one picture: a row for each use; returns a PNG file."""
    examples = report.evaluation.examples
    return comparison(
        [
            Row("test images", examples.originals[:COLUMNS]),
            Row("reconstructed", examples.reconstructions[:COLUMNS]),
            Row("new images", report.samples.images[:COLUMNS]),
            *_restoration_rows(report),
            Row("most unusual\nin a folder", report.inbox.unusual_pixels[:COLUMNS]),
        ]
    )


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
        "(AUROC) is 1 when every outlier scores higher than every reference image, and 0.5 for "
        "guessing. hflip and vflip are the test images mirrored sideways and turned upside down."
    )
    page.add_table(COMPARISON_COLUMNS, comparison_rows(report.comparison.results))
    score = report.comparison.results[0].score
    page.add_picture(
        roc_picture(report.comparison, score), f"ROC curves of the score {score}, one for each set"
    )


def _add_restorations(page: Page, report: DemoReport) -> None:
    covered = [each.coverage[LEVEL] for each in report.restored if each.coverage]
    page.add_heading("Restoration")
    page.add_text(
        f"The {HIDDEN} half of some test images was hidden. Several images may fit what is left: "
        "the draws differ where the data leave room, and the standard deviation says how much. "
        f"{sum(covered) / len(covered):.0%} of the hidden pixels lie in the intervals that are "
        f"meant to hold {LEVEL:.0%}. The quick method was used here, importance sampling; "
        "`pae inpaint` checks it and takes chains where it fails."
    )
    rows = [Row("test images", report.evaluation.examples.originals[: len(report.restored)])]
    page.add_picture(
        comparison([*rows, *_restoration_rows(report)]),
        "Images with a hidden half, their restorations and the uncertainty of every pixel",
        "Blue: hidden. Standard deviation: of pixel values in [0, 1].",
    )


def _restoration_rows(report: DemoReport) -> list[Row]:
    results = [each.restoration for each in report.restored]
    # draws far apart in the list, since neighbours may come from one chain
    draws = [torch.stack([each.samples[place] for each in results]) for place in (0, -1)]
    return [
        Row("half hidden", torch.stack([each.damaged for each in report.restored])),
        Row("most probable", torch.stack([each.map for each in results])),
        *(Row(f"draw {number}", images) for number, images in enumerate(draws, start=1)),
        Row("standard\ndeviation", torch.stack([each.std for each in results]), "positive"),
    ]


def _add_training(page: Page, report: DemoReport) -> None:
    page.add_heading("Training")
    for training in report.trainings:
        name = training.stage
        picture = loss_curves(training.history, f"Loss of the {name}", unit=UNITS[name])
        page.add_picture(picture, f"Loss and learning rate of the {name} against the epoch")


def _usual_alarms(images: int, references: int) -> tuple[float, float]:
    """Returns between which numbers of false alarms 95 % of folders lie, at a rate of 0.05.

    The rank of a fresh image among the reference images is uniform, so the number of alarms is
    beta-binomial: chance acts on the folder and on the reference images (Vovk, ACML 2012).
    """
    rank = int(0.05 * (references + 1))
    low, high = betabinom(images, max(rank, 1), references + 1 - rank).ppf([0.025, 0.975])
    return float(low), float(high)


def _add_inbox(page: Page, report: DemoReport) -> None:
    images = report.inbox.images
    digits = [image for image in images if image.path.name.startswith("digit")]
    found = sum(image.outlier for image in digits)
    alarms = sum(image.outlier for image in images) - found
    clothes = len(images) - len(digits)
    low, high = _usual_alarms(clothes, report.inbox.reference_count)
    page.add_heading("Outliers in a folder")
    page.add_text(
        f"A folder holds {len(images) - len(digits)} images of clothes and {len(digits)} digits. "
        "Each image gets a p-value: the share of reference images at least as unusual. Flagging "
        f"those up to 0.05 found {found} of the {len(digits)} digits and raised {alarms} false "
        f"alarms. {0.05 * clothes:.0f} are expected; chance makes it {low:.0f} to {high:.0f} in "
        "95 % of such folders."
    )
    page.add_picture(
        unusual_picture(report.inbox),
        "The most unusual images of the folder, their reconstructions and the differences",
    )
