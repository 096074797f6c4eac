"""The figures of `pae eval` as rows of text, for the terminal and for the page."""

from paecli.evaluation.memorisation import Memorisation
from paecli.evaluation.precision_recall import PrecisionRecall
from paecli.evaluation.reconstruction import ReconstructionQuality
from paecli.evaluation.result import Evaluation, FlowQuality
from paecli.evaluation.sample_quality import Distances
from paecli.evaluation.smoothness import Interpolation

Row = tuple[str, str, str, str]
FIGURE_COLUMNS = ("quantity", "value", "95 % interval", "ideal")
DISTANCE_COLUMNS = ("set", "distance", "95 % interval")
PRECISION_RECALL_COLUMNS = ("set", "precision", "recall", "density", "coverage")
CLASS_COLUMNS = ("class", "mean squared error")


def figure_rows(evaluation: Evaluation) -> list[Row]:
    """Returns the main figures under `FIGURE_COLUMNS`."""
    rows = _reconstruction_rows(evaluation.reconstruction)
    if evaluation.flow is not None:
        rows += _flow_rows(evaluation.flow)
    if evaluation.memorisation is not None:
        rows += _memorisation_rows(evaluation.memorisation)
    if evaluation.interpolation is not None:
        rows += _interpolation_rows(evaluation.interpolation)
    return rows


def distance_rows(distances: Distances) -> list[tuple[str, str, str]]:
    """Returns each set's distance under `DISTANCE_COLUMNS`, nearest first."""
    values = {name: getattr(distances, name) for name in distances.intervals}
    return [
        (name.replace("_", " "), f"{values[name]:.5g}", _interval(distances.intervals[name]))
        for name in sorted(values, key=lambda name: values[name])
    ]


def precision_recall_rows(precision_recall: dict[str, PrecisionRecall]) -> list[tuple[str, ...]]:
    """Returns precision, recall, density and coverage under `PRECISION_RECALL_COLUMNS`."""
    return [
        (
            name.replace("_", " "),
            *(f"{getattr(values, column):.3f}" for column in PRECISION_RECALL_COLUMNS[1:]),
        )
        for name, values in precision_recall.items()
    ]


def class_rows(quality: ReconstructionQuality) -> list[tuple[str, str]]:
    """Returns each class's reconstruction error under `CLASS_COLUMNS`, worst first."""
    worst_first = sorted(quality.per_class.items(), key=lambda item: -item[1])
    return [(name, f"{value:.6f}") for name, value in worst_first]


def _reconstruction_rows(quality: ReconstructionQuality) -> list[Row]:
    percentiles = quality.mse_percentiles
    linear = (
        []
        if quality.pca_mse is None
        else [("MSE of PCA, same size", f"{quality.pca_mse:.6f}", "", "")]
    )
    return [
        ("reconstruction MSE", f"{quality.mse:.6f}", _interval(quality.mse_ci), "0"),
        *linear,
        ("MSE, median image", f"{percentiles['50']:.6f}", "", "0"),
        ("MSE, 99th percentile", f"{percentiles['99']:.6f}", "", "0"),
        ("PSNR (dB)", f"{quality.psnr:.2f}", "", "high"),
        ("SSIM", f"{quality.ssim:.4f}", "", "1"),
    ]


def _flow_rows(flow: FlowQuality) -> list[Row]:
    test, base = flow.two_sample, flow.base_fit
    return [
        ("flow NLL (nats)", f"{flow.nll:.3f}", _interval(flow.nll_ci), "low"),
        ("two-sample AUROC", f"{test.auroc:.4f}", _interval(test.auroc_ci), "0.5"),
        ("two-sample accuracy", f"{test.accuracy:.4f}", _interval(test.accuracy_ci), "0.5"),
        ("base: smallest std", f"{base.smallest_std:.3f}", "", "1"),
        ("base: largest std", f"{base.largest_std:.3f}", "", "1"),
        ("base: largest mean", f"{base.largest_mean:.3f}", "", "0"),
        ("base: largest correlation", f"{base.largest_correlation:.3f}", "", "0"),
        ("base: largest KS", f"{base.largest_ks:.3f}", "", "0"),
        ("base: |u|^2 / latent size", f"{base.radius_mean:.3f}", "", "1"),
    ]


def _memorisation_rows(memorisation: Memorisation) -> list[Row]:
    return [
        ("copying z", f"{memorisation.copying_z:.2f}", "", "above -3"),
        ("very close samples", f"{memorisation.very_close:.4f}", "", "0.01 or less"),
    ]


def _interpolation_rows(interpolation: Interpolation) -> list[Row]:
    return [
        ("interpolation step ratio", f"{interpolation.largest_step:.2f}", "", "1"),
        ("interpolation detour", f"{interpolation.detour:.2f}", "", "low"),
    ]


def _interval(ends: tuple[float, float]) -> str:
    return f"{ends[0]:.5g} to {ends[1]:.5g}"
