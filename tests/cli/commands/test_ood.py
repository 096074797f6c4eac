import copy
import csv
import json
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner, Result

from paecli.api import PAE
from paecli.cli.app import app
from paecli.cli.commands.ood import split_arguments
from paecli.data import write_image
from paecli.outliers.scores import fit_reference_scores
from paecli.store.checkpoint import Header, read_header, save_pae
from paecli.system.errors import UsageError


@pytest.fixture(scope="module")
def run_folder(
    trained_pae: PAE, blobs: Tensor, model_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run folder with a calibrated model of the bundled Fashion-MNIST sample."""
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[400:])
    fit_reference_scores(model, blobs[400:], training=blobs[:400])
    folder = tmp_path_factory.mktemp("ood-run")
    fields = read_header(model_file).model_dump() | {"data": {"dataset": "fmnist-mini"}}
    save_pae(folder / "model.safetensors", model, Header(**fields))
    return folder


@pytest.fixture
def images(blobs: Tensor, tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    for index in range(3):
        write_image(folder / f"normal-{index}.png", blobs[index])
    write_image(folder / "odd.png", torch.rand(1, 28, 28))
    return folder


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["ood", *map(str, arguments)])


def test_images_get_p_values(run_folder: Path, images: Path) -> None:
    result = run(run_folder, images, "--fpr", 0.02, "--json")
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert result.stdout.count("\n") == 1
    by_name = {Path(image["path"]).name: image for image in answer["images"]}
    assert set(by_name["odd.png"]) == {
        "path",
        "p_value",
        "outlier",
        "score",
        "log_prob",
        "reconstruction_error",
        "spoke",
    }
    assert by_name["odd.png"]["outlier"]
    assert by_name["odd.png"]["spoke"] in result.stderr
    assert answer["flagged"] < 4
    assert (answer["fpr"], answer["fdr"]) == (0.02, None)


def test_other_scores_have_no_parts(run_folder: Path, images: Path) -> None:
    result = run(run_folder, images, "--score", "log_prob", "--json")
    assert all("spoke" not in image for image in json.loads(result.stdout)["images"])


def test_outliers_fail_the_command_when_asked(run_folder: Path, images: Path) -> None:
    assert run(run_folder, images / "odd.png", "--fail-on-outlier").exit_code == 3
    assert run(run_folder, images / "odd.png").exit_code == 0
    assert (
        run(run_folder, images / "normal-0.png", "--fpr", 0.01, "--fail-on-outlier").exit_code == 0
    )


def test_what_cannot_be_looked_at_is_not_passed_as_normal(run_folder: Path, images: Path) -> None:
    (images / "odd.png").unlink()
    (images / "gone.png").symlink_to(images / "nowhere.png")
    result = run(run_folder, images, "--fpr", 0.01, "--fail-on-outlier", "--json")
    assert result.exit_code == 1
    assert "could not be looked at" in str(result.exception)
    answer = json.loads(result.stdout)
    assert [Path(each["path"]).name for each in answer["unreadable"]] == ["gone.png"]
    assert run(run_folder, images, "--fpr", 0.01).exit_code == 0


def test_an_outlier_behind_a_link_is_found(run_folder: Path, images: Path, tmp_path: Path) -> None:
    (images / "odd.png").rename(tmp_path / "odd.png")
    (images / "linked.png").symlink_to(tmp_path / "odd.png")
    assert run(run_folder, images, "--fail-on-outlier").exit_code == 3


def test_its_own_picture_is_no_input_the_next_time(run_folder: Path, images: Path) -> None:
    for _ in range(2):
        result = run(run_folder, images, "--picture", images / "u.png", "--json")
        assert len(json.loads(result.stdout)["images"]) == 4
    assert "1 picture that pae wrote" in result.stderr


def test_files_are_written(run_folder: Path, images: Path, tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a.csv", "a.jsonl", "a.png")]
    options = zip(("--csv", "--jsonl", "--picture"), files, strict=True)
    result = run(
        run_folder,
        images,
        *(part for pair in options for part in pair),
        "--report",
        tmp_path / "report",
    )
    assert result.exit_code == 0, result.output
    with files[0].open(newline="") as file:
        rows = list(csv.DictReader(file))
    lines = [json.loads(line) for line in files[1].read_text().splitlines()]
    assert [row["path"] for row in rows] == [line["path"] for line in lines]
    assert float(rows[3]["p_value"]) == lines[3]["p_value"]
    assert rows[3]["spoke"] == lines[3]["spoke"]
    assert files[2].read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report" / "report.html").read_text()
    assert "<td class=words>odd.png</td>" in page
    assert f"Images in {images}" in page
    assert f"The images are in {images}." in result.stderr


def test_whole_sets_are_compared(run_folder: Path, tmp_path: Path) -> None:
    result = run(
        run_folder,
        "--against",
        "noise",
        "--against",
        "hflip",
        "--limit",
        60,
        "--score",
        "log_prob",
        "--json",
        "--report",
        tmp_path,
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert answer["in_distribution"] == {
        "dataset": "fmnist-mini",
        "images": 60,
        "substitute_for": None,
    }
    assert [each["dataset"] for each in answer["results"]] == ["noise", "hflip"]
    for each in answer["results"]:
        assert each["auroc_ci"][0] <= each["auroc"] <= each["auroc_ci"][1]
        assert 0 <= each["fpr95"] <= 1
    assert (tmp_path / "roc-log_prob.png").is_file()
    assert (tmp_path / "histogram-log_prob.png").is_file()


def test_few_held_out_images_answer_at_the_rate_that_they_can_tell(
    trained_pae: PAE, model_file: Path, blobs: Tensor, images: Path, tmp_path: Path
) -> None:
    model = copy.deepcopy(trained_pae)
    model.fit_sigma(blobs[590:])
    fit_reference_scores(model, blobs[590:], training=blobs[:590])
    few = tmp_path / "few.safetensors"
    save_pae(few, model, read_header(model_file))
    result = CliRunner().invoke(app, ["ood", str(few), str(images), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["fpr"] == pytest.approx(1 / 8)
    assert "7 held-out images, too few for a rate of 0.05: flagging at 0.13" in " ".join(
        result.stderr.split()
    )
    refused = CliRunner().invoke(app, ["ood", str(few), str(images), "--fpr", "0.05"])
    assert isinstance(refused.exception, UsageError)
    assert "use at least 0.13" in str(refused.exception)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("IMAGES", "--against", "noise"), "not both"),
        (("--fail-on-outlier",), "need images"),
        (("--csv", "x.csv"), "need images"),
        (("IMAGES", "--score", "log_prob", "--score", "combined"), "--score once"),
        (("IMAGES", "--fpr", "0.0001"), "use at least"),
        (("--against", "nowhere"), "--against nowhere"),
        (("--score", "entropy"), "no score 'entropy'"),
    ],
)
def test_wrong_usage_is_explained(
    options: tuple[str, ...], message: str, run_folder: Path, images: Path
) -> None:
    result = run(run_folder, *(str(images) if part == "IMAGES" else part for part in options))
    assert message in str(result.exception)
    assert result.exception.exit_code == 2


def test_the_first_argument_is_a_model_or_an_image(run_folder: Path, images: Path) -> None:
    photo, folder = str(images / "odd.png"), str(images)
    cases = {
        (): (None, []),
        ("fmnist-32",): ("fmnist-32", []),
        ("fmnist-32", photo): ("fmnist-32", [photo]),
        (str(run_folder), photo): (str(run_folder), [photo]),
        ("gone.safetensors", photo): ("gone.safetensors", [photo]),
        (photo,): (None, [photo]),
        (folder, photo): (None, [folder, photo]),
        ("gone.png",): (None, ["gone.png"]),
    }
    for arguments, expected in cases.items():
        assert split_arguments(arguments, None) == expected
    assert split_arguments(["fmnist-32"], "m") == ("m", ["fmnist-32"])


@pytest.mark.parametrize("option", ["--csv", "--jsonl"])
def test_a_dash_is_standard_output(run_folder: Path, images: Path, option: str) -> None:
    result = run(run_folder, images, "--fpr", 0.02, option, "-")
    assert result.exit_code == 0, result.output
    assert "p_value" in result.stdout.splitlines()[0]
    assert not Path("-").exists()


def test_one_output_only_on_standard_output(run_folder: Path, images: Path) -> None:
    for other in (["--json"], ["--jsonl", "-"]):
        result = run(run_folder, images, "--csv", "-", *other)
        assert isinstance(result.exception, UsageError)
        assert "takes one output" in str(result.exception)
