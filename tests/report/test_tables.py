"""The tables that commands print, from figures that are given: every cell."""

from pathlib import Path

import numpy as np
import pytest
import torch

from paecli.evaluation.flow_fit import BaseFit, TwoSampleTest
from paecli.evaluation.memorisation import Memorisation
from paecli.evaluation.precision_recall import PrecisionRecall
from paecli.evaluation.reconstruction import ReconstructionQuality
from paecli.evaluation.result import Evaluation, Examples, FlowQuality
from paecli.evaluation.sample_quality import Distances
from paecli.evaluation.smoothness import Interpolation
from paecli.outliers.compare_sets import SetResult
from paecli.outliers.detection_metrics import DetectionMetrics
from paecli.outliers.flag_images import ScoredImage
from paecli.report.evaluation_tables import (
    class_rows,
    distance_rows,
    figure_rows,
    precision_recall_rows,
)
from paecli.report.map_places import ENDING, LONGEST_NAME, map_files, map_names
from paecli.report.model_summary import summary_rows
from paecli.report.ood_tables import common_folder, comparison_rows, image_row
from paecli.store.describe import ModelDescription
from paecli.store.header import Header, PatchSettings

RECONSTRUCTION = ReconstructionQuality(
    mse=0.0123456, mse_ci=(0.01, 0.015), psnr=21.456, ssim=0.87654,
    mse_percentiles={"1": 0.001, "50": 0.0112, "99": 0.0456}, per_class={"a": 0.1, "b": 0.3},
    pca_mse=0.0234567,
)  # fmt: skip
FLOW = FlowQuality(
    nll=12.34567, nll_ci=(12.1, 12.6),
    two_sample=TwoSampleTest(0.5123, (0.49, 0.53), 0.5011, (0.48, 0.52), 400),
    base_fit=BaseFit(0.11111, 0.9, 1.1, 0.2, 0.3, 0.05, 0.04, 0.5, 0.06, 1.2345),
)  # fmt: skip
PART = torch.zeros(1, 1, 2, 2)


def evaluation(**parts: object) -> Evaluation:
    fields = {
        "model": "runs/x", "dataset": "d", "content_hash": "", "substitute_for": None,
        "seen_images": 0, "images": 1234, "seed": 0, "reconstruction": RECONSTRUCTION,
        "flow": FLOW, "memorisation": Memorisation(0.1, 0.11, -1.234, 0.0123, 50, 60),
        "interpolation": Interpolation(1.456, 2.345, 10, 8), "sample_quality": None,
        "examples": Examples(PART, PART, PART, None, None),
    }  # fmt: skip
    return Evaluation(**fields | parts)  # type: ignore[arg-type]


def test_figures_of_an_evaluation() -> None:
    assert figure_rows(evaluation()) == [
        ("reconstruction MSE", "0.012346", "0.01 to 0.015", "0"),
        ("MSE of PCA, same size", "0.023457", "", ""),
        ("MSE, median image", "0.011200", "", "0"),
        ("MSE, 99th percentile", "0.045600", "", "0"),
        ("PSNR (dB)", "21.46", "", "high"),
        ("SSIM", "0.8765", "", "1"),
        ("flow NLL (nats)", "12.346", "12.1 to 12.6", "low"),
        ("two-sample AUROC", "0.5123", "0.49 to 0.53", "0.5"),
        ("two-sample accuracy", "0.5011", "0.48 to 0.52", "0.5"),
        ("base: smallest std", "0.900", "", "1"),
        ("base: largest std", "1.100", "", "1"),
        ("base: largest mean", "0.111", "", "0"),
        ("base: largest correlation", "0.050", "", "0"),
        ("base: largest KS", "0.040", "", "0"),
        ("base: |u|^2 / latent size", "1.234", "", "1"),
        ("copying z", "-1.23", "", "above -3"),
        ("very close samples", "0.0123", "", "0.01 or less"),
        ("interpolation step ratio", "1.46", "", "1"),
        ("interpolation detour", "2.35", "", "low"),
    ]


def test_figures_of_stage_1_alone() -> None:
    plain = ReconstructionQuality(**vars(RECONSTRUCTION) | {"pca_mse": None})
    rows = figure_rows(
        evaluation(reconstruction=plain, flow=None, memorisation=None, interpolation=None)
    )
    assert [row[0] for row in rows] == [
        "reconstruction MSE", "MSE, median image", "MSE, 99th percentile", "PSNR (dB)", "SSIM",
    ]  # fmt: skip


def test_the_written_names_are_contract() -> None:
    written = evaluation().as_dict()
    assert written["flow"]["base"]["radius_mean"] == 1.2345
    assert "base_fit" not in written["flow"]
    assert not {"examples", "sample_quality", "fid", "kid", "coverage"} & written.keys()


def test_distances_come_nearest_first() -> None:
    distances = Distances(
        samples=3.5, reconstructions=1.25, decoded_gaussian=10.123456, train=0.5, noise=25.0,
        intervals={"samples": (3, 4), "reconstructions": (1, 1.5),
                   "decoded_gaussian": (9.5, 11), "train": (0.25, 0.75), "noise": (24, 26)},
        protocol="p",
    )  # fmt: skip
    assert distance_rows(distances) == [
        ("train", "0.5", "0.25 to 0.75"),
        ("reconstructions", "1.25", "1 to 1.5"),
        ("samples", "3.5", "3 to 4"),
        ("decoded gaussian", "10.123", "9.5 to 11"),
        ("noise", "25", "24 to 26"),
    ]


def test_overlap_and_classes() -> None:
    ends = (0.0, 1.0)
    overlap = PrecisionRecall(0.9, ends, 0.8, ends, 1.1, ends, 0.7, ends)
    assert precision_recall_rows({"decoded_gaussian": overlap}) == [
        ("decoded gaussian", "0.900", "0.800", "1.100", "0.700")
    ]
    assert class_rows(RECONSTRUCTION) == [("b", "0.300000"), ("a", "0.100000")]


def test_a_set_is_named_once_and_its_margin_is_the_wider_side() -> None:
    curve = (np.zeros(1), np.zeros(1))
    metrics = DetectionMetrics(0.9, 0.8, 0.3, (0.87, 0.91), (0.79, 0.83), (0.3, 0.3), curve)
    results = [SetResult(name, "", score, 5, metrics) for name in "ab" for score in ("x", "y")]
    cells = ("0.9000±.0300", "0.8000±.0300", "0.3000±.0000")
    assert comparison_rows(results) == [
        ("a", "x", *cells), ("", "y", *cells), ("b", "x", *cells), ("", "y", *cells)
    ]  # fmt: skip


def test_a_scored_image(tmp_path: Path) -> None:
    image = ScoredImage(tmp_path / "in" / "a.png", 0.012345, True, 1.5, -3.14159, 0.0123456)
    other = ScoredImage(tmp_path / "b.png", 1.0, False, 0.0, 2.0, 0.0, spoke="log_prob")
    assert common_folder([image, other]) == tmp_path
    assert common_folder([image]) == tmp_path / "in"
    assert image_row(image, tmp_path) == ("in/a.png", "0.0123", "yes", "", "-3.14", "0.01235")
    assert image_row(other, tmp_path) == ("b.png", "1", "no", "log_prob", "2.00", "0.00000")


def test_maps_keep_sub_folders_and_tell_equal_names_apart(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a.png", "a.jpg", "sub/b.png", "sub/deep/c.d.png")]
    names = ["a.png-map.png", "a.jpg-map.png", "sub/b-map.png", "sub/deep/c.d-map.png"]
    assert [path.as_posix() for path in map_names(paths).values()] == names
    assert [path.name for path in map_files(paths)[-2:]] == ["regions.csv", "scale.png"]
    assert map_names(paths[2:])[paths[2]].as_posix() == "b-map.png"


CONFIG = {
    "autoencoder": {"objective": {"loss": "l2"}, "seed": 3,
                    "optimiser": {"epochs": 7, "method": "muon", "minutes": None}},
    "flow": {"optimiser": {"minutes": 1.5, "method": "adamw"}, "chosen": {"a": "blocks 4, by size",
                                                                         "b": "width 8"}},
}  # fmt: skip


def described(header: Header, *scores: str) -> ModelDescription:
    return ModelDescription(Path("m"), header, 12_345_678, "0123456789abcdef", 1_234, 567, scores)


def test_the_summary_of_a_model() -> None:
    header = Header(
        kind="pae", autoencoder={"network": "mlp", "image_shape": (1, 20, 30), "latent_size": 8},
        flow={"kind": "nsf", "blocks": 5}, config=CONFIG,
        data={"dataset": "clothes", "classes": list("abcd")},
        metrics={"test_mse": 0.0123456789, "held_out_mse": 0.02, "held_out_nll": -1.5},
        versions={"paecli": "0.1", "torch": "2"},
    )  # fmt: skip
    assert summary_rows(described(header, "log_prob", "combined")) == [
        ("model", "a PAE: autoencoder and flow"),
        ("file", "12.3 MB, SHA-256 0123456789ab..."),
        ("images", "grey, 30 x 20 pixels"),
        ("autoencoder", "mlp, latent size 8, 1,234 parameters"),
        ("flow", "nsf, 5 blocks, 567 parameters"),
        ("trained on", "clothes; 4 classes: a, b, c, ..."),
        ("reconstruction MSE", "test 0.012346, held out 0.02"),
        ("flow NLL (nats)", "held out -1.5"),
        ("p-values by", "2 scores: log_prob, combined"),
        ("autoencoder trained", "loss l2, 7 epochs of muon, seed 3"),
        ("flow trained", "1.5 minutes of adamw, seed ?"),
        ("flow chosen", "blocks 4, by size; width 8"),
        ("made with", "paecli 0.1, torch 2, python ?"),
    ]


def test_the_summary_of_less() -> None:
    header = Header(kind="autoencoder", autoencoder={"image_shape": (3, 8, 8)},
                    data={"name": "mine", "classes": ["a", "b", "c"]})  # fmt: skip
    assert summary_rows(described(header)) == [
        ("model", "a PAE, stage 1: no flow yet"),
        ("file", "12.3 MB, SHA-256 0123456789ab..."),
        ("images", "colour, 8 x 8 pixels"),
        ("autoencoder", "linear, latent size ?, 1,234 parameters"),
        ("flow", "none; `pae train-flow` adds it"),
        ("trained on", "mine; 3 classes: a, b, c"),
        ("p-values by", "none: `pae train-flow` measures them"),
        ("made with", "paecli ?, torch ?, python ?"),
    ]


@pytest.mark.parametrize("flow", [None, {"kind": "nsf"}])
def test_the_summary_of_patches(flow: dict[str, str] | None) -> None:
    header = Header(kind="patch-pae", autoencoder={}, flow=flow,
                    patches=PatchSettings(features="pixels", area=65_536))  # fmt: skip
    rows = dict(summary_rows(described(header)))
    what = "a PAE of patches"
    assert rows["model"] == what + (": autoencoder and flow" if flow else ", stage 1: no flow yet")
    assert rows["images"] == "of any size, scaled to 65,536 pixels"
    assert rows["flow"] == ("nsf, 567 parameters" if flow else "none; `pae train-flow` adds it")
    assert rows["trained on"] == "unknown"


@pytest.mark.parametrize("letter", ["a", "é", "字"])
@pytest.mark.parametrize("length", [LONGEST_NAME - len(ENDING), 255])
def test_long_names_of_maps_are_cut_between_letters(letter: str, length: int) -> None:
    name = letter * (length // len(letter.encode())) + "x" * (length % len(letter.encode()))
    chosen = map_names([Path("in") / f"{name}.png"])[Path("in") / f"{name}.png"].name
    assert len(chosen.encode()) <= LONGEST_NAME
    assert chosen.endswith(ENDING)
    whole = length + len(ENDING) <= LONGEST_NAME
    assert (chosen == name + ENDING) == whole
    if not whole:
        kept, _, mark = chosen.removesuffix(ENDING).partition("~")
        assert len(mark) == 8
        assert name.startswith(kept)
        assert len(kept.encode()) > LONGEST_NAME - len(ENDING) - 9 - len(letter.encode())
        other = map_names([Path("in") / f"{name}y.png"])[Path("in") / f"{name}y.png"].name
        assert other != chosen
