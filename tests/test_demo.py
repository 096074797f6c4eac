import re
from pathlib import Path

import pytest
import torch

from paecli.api import load
from paecli.demo import (
    CLOTHES_IN_INBOX,
    COMPARED,
    DIGITS_IN_INBOX,
    RESTORED,
    SCORES,
    DemoReport,
    run_demo,
)
from paecli.report.demo_page import write_demo
from paecli.system.progress import NullProgress
from paecli.training.settings import DEMO_PRESET, RunSettings, check, resolve

QUICK = {
    "autoencoder": {
        "data": {"dataset": "fmnist-mini", "limit": 600},
        "network": "mlp",
        "network_options": {"width": 64, "blocks": 1},
        "latent_size": 6,
        "optimiser": {"epochs": 2, "batch_size": 100},
    },
    "flow": {"blocks": 1, "flow_options": {"width": 16}, "optimiser": {"epochs": 2}},
}


class Listener(NullProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def report(folder: Path, listener: Listener) -> DemoReport:
    return run_demo(check(QUICK, where="the test"), folder, progress=listener)


def test_every_step_is_announced_and_timed(report: DemoReport, listener: Listener) -> None:
    announced = [line for line in listener.said if line[0].isdigit()]
    assert announced == [f"{n}. {name}" for n, name in enumerate(report.seconds, start=1)]
    assert min(report.seconds.values()) > 0


def test_model_is_left_ready_for_use(report: DemoReport, folder: Path) -> None:
    model = load(folder / "model")
    drawn = model.sample(64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(drawn, report.samples.images)
    assert report.evaluation.flow is not None


def test_outliers_are_looked_for_in_sets_and_in_a_folder(report: DemoReport) -> None:
    asked = {(result.dataset, result.score) for result in report.comparison.results}
    assert asked == {(name, score) for name in COMPARED for score in SCORES}
    names = [image.path.name for image in report.inbox.images]
    assert len(names) == CLOTHES_IN_INBOX + DIGITS_IN_INBOX
    assert sum(name.startswith("digit") for name in names) == DIGITS_IN_INBOX


def test_json_holds_the_figures(report: DemoReport) -> None:
    fields = report.as_json()
    assert fields["reconstruction"]["mse"] == report.evaluation.reconstruction.mse
    assert len(fields["results"]) == len(COMPARED) * len(SCORES)
    assert set(fields["seconds"]) == set(report.seconds)


def test_hidden_parts_are_restored(report: DemoReport) -> None:
    assert len(report.restored) == RESTORED
    for each in report.restored:
        hidden = each.damaged.isnan()
        assert hidden.float().mean() == 0.5
        assert (each.restoration.std[hidden] > 0).any()
        assert (each.restoration.std[~hidden] == 0).all()
        assert each.coverage is not None


def test_page_shows_every_step(report: DemoReport, tmp_path: Path) -> None:
    page = write_demo(report, tmp_path).read_text("utf-8")
    assert (tmp_path / "overview.png").stat().st_size > 0
    assert page.count("<img ") == page.count('alt="') >= 8
    for name in report.seconds:
        assert name in page
    assert f"{report.evaluation.reconstruction.mse:.5f}" in page
    headings = ["Reconstruction", "New images", "Whole sets of outliers", "Outliers in a folder",
                "Restoration", "Training", "All figures"]  # fmt: skip
    assert re.findall("<h2>(.*?)</h2>", page) == headings
    hidden = "of some test images was hidden"
    assert f"The bottom half {hidden}" in page
    assert "95 images of clothes and 5 digits" in page
    assert "5 are expected" in page


def test_preset_needs_no_download() -> None:
    settings = resolve(preset=DEMO_PRESET, file=None, flags={})
    assert isinstance(settings, RunSettings)
    assert settings.autoencoder.data.dataset == "fmnist-mini"
