"""Which images a restoration is compared with: bundled, looked up, or the few in the file."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from paecli.restoration.guarantee import held_out
from paecli.system.errors import DataError

STORED = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
HERE = Path("there")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was loaded."""
    found: list[Any] = []

    def bundled(name: str, **options: Any) -> Any:
        found.append((name, options))
        return SimpleNamespace(test=SimpleNamespace(images=torch.ones(3)))

    def looked_up(origin: str, **options: Any) -> Any:
        found.append((origin, options["data_dir"]))
        if origin == "origin of gone":
            raise DataError("the folder is gone")
        return SimpleNamespace(dataset=bundled("own"))

    monkeypatch.setattr(held_out, "load_dataset", bundled)
    monkeypatch.setattr(held_out, "load_for_model", looked_up)
    monkeypatch.setattr(
        held_out, "origin_of", lambda model, header: f"origin of {header.training_set}"
    )
    return found


def images(training_set: str | None, *, side: int = 28, **options: Any) -> Tensor:
    model: Any = SimpleNamespace(
        held_out_errors=SimpleNamespace(images=STORED), image_shape=(1, 28, side)
    )
    header: Any = None if training_set is None else SimpleNamespace(training_set=training_set)
    return held_out.held_out_images(model, header, **options)


def test_a_model_of_unknown_making_has_those_in_its_file(asked: list[Any]) -> None:
    assert images(None, many=True, data_dir=HERE) is STORED
    assert asked == []


@pytest.mark.parametrize("name", ["mnist", "fmnist"])
@pytest.mark.parametrize("many", [True, False])
def test_named_sets_have_a_bundled_sample(name: str, many: bool, asked: list[Any]) -> None:
    assert images(name, many=many).tolist() == [1, 1, 1]
    assert asked == [(f"{name}-mini", {"image_size": 28, "channels": 1})]


def test_a_folder_that_the_user_names_comes_before_the_sample(asked: list[Any]) -> None:
    images("mnist", data_dir=HERE)
    assert asked[0] == ("origin of mnist", HERE)


def test_images_of_another_form_are_not_those_of_the_sample(asked: list[Any]) -> None:
    assert images("mnist", side=30) is STORED
    assert asked == []


@pytest.mark.parametrize("data_dir", [None, HERE])
@pytest.mark.parametrize("many", [True, False])
def test_others_are_looked_up_where_they_are_asked_for(
    many: bool, data_dir: Path | None, asked: list[Any]
) -> None:
    found = images("photos", many=many, data_dir=data_dir)
    if many or data_dir:
        assert asked[0] == ("origin of photos", data_dir)
        assert found.tolist() == [1, 1, 1]
    else:
        assert found is STORED
        assert asked == []


def test_what_is_gone_is_an_error_only_where_it_was_named(asked: list[Any]) -> None:
    assert images("gone", many=True) is STORED
    with pytest.raises(DataError, match="the folder is gone"):
        images("gone", data_dir=HERE)
    assert len(asked) == 2
