"""What has a limit: just at it, and just beyond."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import BaseModel, ValidationError
from torch import nn

from paecli.data.images.files import ImageFile
from paecli.data.images.listing import ENDINGS_NAMED, Listing
from paecli.data.images.painted import level_of_white
from paecli.data.images.partners import NAMED, Partners
from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.reference_images import EDGE, NEIGHBOURS, _shares
from paecli.report.html import Page
from paecli.restoration.guarantee.references import RATE, Likeness
from paecli.restoration.masks.files import MOST, _extreme, _is_the_image
from paecli.restoration.samplers.emulator import MOST_COLUMNS, _narrowed
from paecli.restoration.samplers.importance import SMALLEST_TAIL, pareto_smooth
from paecli.store.header import DEEPEST, LARGEST_SIDE, LONGEST_NAME, Header, _is_deeper
from paecli.store.index import Index
from paecli.system.limits import LARGEST, LARGEST_BLOCKS
from paecli.training.optimisers import MUON_SMALLEST_SIDE, build_optimisers
from paecli.training.run_folder import StateFields
from paecli.training.settings import OptimiserSettings, RunSettings

from .kept_answers import compare


def header(**fields: object) -> Header:
    return Header(**{"kind": "pae", "autoencoder": {}} | fields)


@pytest.mark.parametrize(
    ("fits", "beyond"),
    [
        ({"data": {"dataset": LONGEST_NAME * "a"}}, {"data": {"dataset": "ab" * LONGEST_NAME}}),
        ({"data": {"dataset": None}}, {"data": {"dataset": 5}}),
        ({"data": {"dataset": "a b"}}, {"data": {"dataset": "a\0b"}}),
        ({"flow": {"blocks": LARGEST_BLOCKS}}, {"flow": {"blocks": LARGEST_BLOCKS + 1}}),
        ({"flow": {"width": LARGEST}}, {"flow": {"width": LARGEST + 1}}),
        ({"flow": {"width": 0}}, {"flow": {"width": -1}}),
        ({"autoencoder": {"image_shape": [1, 1, LARGEST_SIDE]}},
         {"autoencoder": {"image_shape": [1, 1, LARGEST_SIDE + 1]}}),
        ({"autoencoder": {"network": "mlp"}}, {"autoencoder": {"network": None}}),
        ({"config": {"flow": None}}, {"config": {"flow": []}}),
        ({"config": {"autoencoder": {"data": {}}}}, {"config": {"autoencoder": {"data": []}}}),
        ({"patches": {"features": "pixels", "area": LARGEST_SIDE**2}},
         {"patches": {"features": "pixels", "area": LARGEST_SIDE**2 + 1}}),
        ({"metrics": {"a": 1.0}}, {"metrics": {"a": float("inf")}}),
    ],
)  # fmt: skip
def test_a_header_may_say(fits: dict[str, object], beyond: dict[str, object]) -> None:
    header(**fits)
    with pytest.raises(ValidationError):
        header(**beyond)


def test_how_deep_a_header_may_be() -> None:
    value: object = 1
    for _ in range(DEEPEST):
        value = [value]
    assert not _is_deeper(value, DEEPEST)
    assert _is_deeper([value], DEEPEST)
    assert _is_deeper({"a": [0, value]}, DEEPEST)


@pytest.mark.parametrize(
    ("count", "left"), [(1, 1), (2, 1), (38, 19), (37, 24), (29, 19), (28, 21), (100, 50)]
)
def test_nineteen_images_are_left_for_p_values(count: int, left: int) -> None:
    images = torch.arange(count)
    assert len(calibration_part(images)) == left
    if count > 1:
        both = torch.cat((fitting_part(images), calibration_part(images))).sort().values
        assert torch.equal(both, images)


def test_up_to_fifty_neighbours_count_alike() -> None:
    few = torch.linspace(1, 2, NEIGHBOURS)[None]
    torch.testing.assert_close(_shares(few), torch.full((1, NEIGHBOURS), 1 / NEIGHBOURS))
    more = torch.arange(1.0, NEIGHBOURS + EDGE + 2)[None]
    shares = _shares(more)
    whole = NEIGHBOURS - EDGE
    assert torch.equal(shares[0, :whole], shares[0, :1].expand(whole))
    parts = (shares[0, whole:] / shares[0, 0]).tolist()
    assert parts == pytest.approx([0.8, 0.6, 0.4, 0.2, 0.0], abs=1e-6)
    assert shares.sum().item() == pytest.approx(1)


def test_a_p_value_at_the_rate_is_a_warning() -> None:
    assert "nearly all of 40 held-out images (p-value 0.05)" in Likeness(RATE, 40).warning
    assert Likeness(RATE + 1e-9, 40).warning == ""


@pytest.mark.parametrize(("values", "told_in"), [(MOST_COLUMNS, 256), (MOST_COLUMNS + 1, 256)])
def test_a_misfit_is_told_in_at_most_so_many_columns(values: int, told_in: int) -> None:
    parts = torch.ones(1, values), torch.ones(2, values), torch.ones(300, values)
    narrowed = _narrowed(*parts)
    assert {each.shape[1] for each in narrowed} == {told_in}
    assert all(map(torch.equal, narrowed, parts)) == (values == MOST_COLUMNS)


@pytest.mark.parametrize(("count", "known"), [(5 * SMALLEST_TAIL - 1, False), (25, True)])
def test_a_tail_needs_five_draws(count: int, known: bool) -> None:
    ratios = torch.linspace(0, 4, count).double()
    weights, shape = pareto_smooth(ratios)
    assert (shape < float("inf")) == known
    assert weights.sum().item() == pytest.approx(1)
    assert torch.allclose(weights, ratios.softmax(0)) == (not known)


@pytest.mark.parametrize("side", [MUON_SMALLEST_SIDE, MUON_SMALLEST_SIDE - 1])
def test_thin_matrices_are_left_to_adamw(side: int) -> None:
    network = nn.Linear(64, side)
    optimisers = build_optimisers(network, OptimiserSettings(method="muon"))
    assert len(optimisers) == (2 if side == MUON_SMALLEST_SIDE else 1)
    decays = [group["weight_decay"] for group in optimisers[0].param_groups]
    assert decays == [OptimiserSettings().weight_decay, 0.0]


@pytest.mark.parametrize(("count", "more"), [(NAMED, ""), (NAMED + 2, " and 2 more")])
def test_five_images_without_a_mask_are_named(count: int, more: str) -> None:
    lacking = [Path(f"{index}.png") for index in range(count)]
    said = Partners(Path("in"), Path("masks")).complaint(lacking, 9, "mask")
    names = ", ".join(f"{index}.png" for index in range(NAMED))
    assert said == f"{count} of 9 images have no mask of their name in masks: {names}{more}"


@pytest.mark.parametrize("count", [ENDINGS_NAMED, ENDINGS_NAMED + 1])
def test_four_endings_are_named(count: int) -> None:
    endings = Counter({f".{letter}": 9 - place for place, letter in enumerate("abcdefg"[:count])})
    more = ", ..." if count > ENDINGS_NAMED else ""
    total = endings.total()
    assert Listing(other_endings=endings).summary() == f"{total} no images (.a, .b, .c, .d{more})"
    assert Listing().summary() == ""


@pytest.mark.parametrize(("width", "shape"), [(200, "plain"), (201, "wide")])
def test_a_picture_twice_as_wide_as_high_still_shrinks(width: int, shape: str) -> None:
    page = Page("p")
    png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + width.to_bytes(4, "big") + (100).to_bytes(4, "big")
    page.add_picture(png, "alt")
    assert f'<img class="{shape}" alt="alt" width="{width}" height="100"' in page.render()


LENGTHS = ("minLength", "maxLength", "minItems", "maxItems", "pattern")
BOUNDS = ("default", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "enum", "const")


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("settings", [RunSettings]),
        ("files", [StateFields, Index]),
    ],
)
def test_forms_have_the_bounds_and_defaults_that_they_had(
    name: str, forms: list[type[BaseModel]]
) -> None:
    """Those that presets rest on, and that files were written by."""
    parts: dict[str, Any] = {}
    for form in forms:
        schema = form.model_json_schema()
        parts |= {form.__name__: schema} | schema.get("$defs", {})
    bounds = BOUNDS if name == "settings" else BOUNDS + LENGTHS
    compare(name, {
        part: {key: _bounds(field, bounds) for key, field in fields["properties"].items()}
        for part, fields in parts.items() if "properties" in fields
    })  # fmt: skip


def _bounds(field: dict[str, Any], bounds: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        found
        for each in (field, *field.get("anyOf", []))
        if (found := {key: each[key] for key in bounds if key in each})
    ]


@pytest.mark.parametrize(
    ("greys", "value", "noted"),
    [(29, 0.5, False), (31, 0.5, True), (40, 0.09, False), (40, 0.91, False), (40, 0.11, True),
     (40, 0.89, True)],
)  # fmt: skip
def test_a_third_of_greys_is_no_mask(greys: int, value: float, noted: bool) -> None:
    bright = torch.zeros(100)
    bright[:greys], bright[-1] = value, 1
    level, notes = level_of_white(Path("m.png"), bright)
    assert level == 0.5
    assert [f"{greys}% of the mask m.png is neither" in note for note in notes] == [True] * noted


@pytest.mark.parametrize(
    ("low", "high", "level"),
    [(0.2, 0.4, 0.3), (0.5, 0.6, 0.55), (0.4, 0.5, 0.5), (0.2, 0.2, 0.5), (0.0, 1.0, 0.5)],
)
def test_of_two_values_the_brighter_is_white(low: float, high: float, level: float) -> None:
    found, notes = level_of_white(Path("m.png"), torch.tensor([low, high, high]))
    assert found == pytest.approx(level)
    assert bool(notes) == (level != 0.5)


@pytest.mark.parametrize(
    ("missing", "words"),
    [(0, "nothing is missing: white"), (1, ""), (95, ""), (96, "96.0% of the pixels"), (100, "up")],
)
def test_how_much_a_mask_may_hide(missing: int, words: str) -> None:
    observed = torch.arange(100) >= missing
    said = _extreme(observed, observed, most=MOST)
    assert len(said) == bool(words)
    assert words in "".join(said)


@pytest.mark.parametrize(
    ("other", "by", "greys", "is_image"),
    [(4, 0.1, 99, True), (5, 0.1, 99, False), (99, 9.9 / 255, 99, True),
     (99, 10.1 / 255, 99, False), (0, 0.0, 5, True), (0, 0.0, 4, False)],
)  # fmt: skip
def test_when_a_mask_is_the_image_itself(
    other: int, by: float, greys: int, is_image: bool, tmp_path: Path
) -> None:
    source, mask = tmp_path / "a.png", tmp_path / "b.png"
    source.touch()
    mask.touch()
    pixels = torch.ones(1, 10, 10)
    pixels.view(-1)[1 : 1 + greys] = 0.5
    colours = pixels.clone()
    colours.view(-1)[1 : 1 + other] += by
    painted = torch.ones(10, 10, dtype=torch.bool)
    painted[0, 0] = False
    image = ImageFile(source, pixels, (10, 10), resized=False)
    assert _is_the_image(mask, image, colours, colours[0], painted) == is_image
    everywhere = torch.ones(10, 10, dtype=torch.bool)
    assert not _is_the_image(mask, image, colours, colours[0], everywhere)
