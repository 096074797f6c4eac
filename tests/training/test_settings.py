"""Settings: precedence, unknown keys, hostile files, presets."""

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from paecli.data.sets.named_sets import NAMED_SETS
from paecli.model.autoencoder import Autoencoder
from paecli.model.flow import LatentFlow
from paecli.store.runs import load_with_header
from paecli.system.errors import ConfigError
from paecli.system.yaml_text import MAX_CONFIG_BYTES
from paecli.training.settings import (
    ANY_FOLDER,
    RunSettings,
    as_recorded,
    check,
    merge,
    preset_names,
    read_preset,
    resolve,
    to_yaml,
)

PAPER = [name for name in preset_names() if name.startswith("paper-")]


def write(folder: Path, text: str) -> Path:
    file = folder / "config.yaml"
    file.write_text(text)
    return file


def test_flags_beat_file_beats_preset_beats_defaults(tmp_path: Path) -> None:
    file = write(tmp_path, "autoencoder: {latent_size: 5, optimiser: {epochs: 7}}")
    flags = {"autoencoder": {"latent_size": 6, "network": None}}
    settings = resolve(preset="paper-fmnist-40", file=file, flags=flags).autoencoder
    assert settings.latent_size == 6  # the flag
    assert settings.optimiser.epochs == 7  # the file
    assert settings.optimiser.batch_size == 256  # the preset
    assert settings.network == "infogan"  # the preset: a flag that was not given changes nothing
    assert settings.seed == RunSettings().autoencoder.seed  # the default


def test_fallback_preset_serves_only_without_another() -> None:
    fallback = "paper-mnist-8"
    settings = resolve(preset=None, file=None, flags={}, fallback=fallback)
    assert settings.autoencoder.latent_size == 8
    settings = resolve(preset="paper-mnist-10", file=None, flags={}, fallback=fallback)
    assert settings.autoencoder.latent_size == 10
    for_folders = resolve(preset=ANY_FOLDER, file=None, flags={})
    assert resolve(preset=None, file=None, flags={}, fallback="photos") == for_folders
    assert resolve(preset=None, file=None, flags={}) == RunSettings()


@pytest.mark.parametrize("name", ["fmnist-32", "fmnist-64", "mnist-8"])
def test_settings_of_shipped_models_are_read_by_their_current_names(name: str) -> None:
    _, header = load_with_header(name)
    written = header.config["autoencoder"]["augment"]
    recorded = check(as_recorded(header.config), where=name)
    assert recorded.autoencoder.augment.clean_fraction == written["clean_epochs"]
    assert recorded.autoencoder.data.split_by == "position"  # as version 0.1 split


def test_another_network_drops_the_options_of_the_presets_network(tmp_path: Path) -> None:
    preset = resolve(preset="fmnist", file=None, flags={}).autoencoder
    assert preset.network_options
    for flags, kept in [
        ({"autoencoder": {"network": "infogan"}}, {}),
        ({"autoencoder": {"network": "resnet"}}, preset.network_options),
        ({"autoencoder": {"latent_size": 7}}, preset.network_options),
    ]:
        settings = resolve(preset="fmnist", file=None, flags=flags).autoencoder
        assert settings.network_options == kept
        assert settings.augment == preset.augment
    file = write(tmp_path, "autoencoder: {network: mlp, network_options: {width: 9}}")
    settings = resolve(preset="fmnist", file=file, flags={}).autoencoder
    assert settings.network_options == {"width": 9}


def test_merge_goes_into_sections_and_leaves_its_arguments_alone() -> None:
    base = {"a": {"b": 1, "c": 2}, "d": 3}
    assert merge(base, {"a": {"c": 4}, "d": {"e": 5}}) == {"a": {"b": 1, "c": 4}, "d": {"e": 5}}
    assert base == {"a": {"b": 1, "c": 2}, "d": 3}


def test_files_of_earlier_versions_are_read_by_their_names_now(tmp_path: Path) -> None:
    file = write(tmp_path, "autoencoder: {augment: {shift: 1, clean_epochs: 0.4}}")
    settings = resolve(preset=None, file=file, flags={}).autoencoder
    assert settings.augment.clean_fraction == 0.4
    both = write(tmp_path, "autoencoder: {augment: {clean_fraction: 0.2, clean_epochs: 0.4}}")
    with pytest.raises(ConfigError, match="clean_epochs is the former name of clean_fraction"):
        resolve(preset=None, file=both, flags={})


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"autoencoder": {"latent_sizes": 8}}, "unknown key 'autoencoder.latent_sizes'"),
        ({"flow": {"flow_options": {"width": "wide"}}}, "flow.flow_options.width.*got 'wide'"),
        ({"flow": {"flow_options": {"components": -1}}}, ".*must lie between 0 and"),
        ({"flow": {"optimiser": {"lr": 1}}}, "unknown key 'flow.optimiser.lr'"),
        ({"autoencoder": {"latent_size": 0}}, "autoencoder.latent_size: .*greater.*got 0"),
        ({"autoencoder": {"network": "vit"}}, "autoencoder.network: .*got 'vit'"),
        ({"flow": {"optimiser": {"learning_rate": -1}}}, "flow.optimiser.learning_rate: .*got -1"),
        (
            {"autoencoder": {"objective": {"loss": "vae", "map_stage": 0.5}}},
            "autoencoder.objective.map_stage: .*'vae'",
        ),
        (
            {"autoencoder": {"objective": {"posterior_sigma": 1}}},
            "autoencoder.objective.posterior_sigma: .*'ae'",
        ),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ConfigError, match=f"here: {problem}") as caught:
        check(settings, where="here")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "autoencoder: {optimiser: {epochs: yes}}",
        "autoencoder: {latent_size: true}",
        "autoencoder: {augment: {horizontal_flip: on}}",
        "autoencoder: {data: {limit: true}}",
        "flow: {latent_noise: off}",
        "flow: {flow_options: {components: true}}",
        "flow: {seed: no}",
    ],
)
def test_yes_and_no_are_no_numbers(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="are no numbers"):
        resolve(preset=None, file=write(tmp_path, text), flags={})


def test_yes_and_no_stay_where_they_are_meant(tmp_path: Path) -> None:
    text = (
        "autoencoder: {linear: no, network_options: {spectral_norm: yes}}\nflow: {warm_start: off}"
    )
    read = resolve(preset=None, file=write(tmp_path, text), flags={})
    assert read.autoencoder.network_options == {"spectral_norm": True}
    assert not read.autoencoder.linear
    assert not read.flow.warm_start


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &a [1, 1]\nb: &b [*a, *a]\nc: [*b, *b]", "aliases are not allowed"),
        ("a: !!python/object/apply:os.system ['true']", "tags are not allowed"),
        ("a: [1", "while parsing a flow sequence"),
        ("[1, 2]", "must hold `autoencoder:` and `flow:` sections, not a list"),
        ("x" * (MAX_CONFIG_BYTES + 1), "larger than 1,000,000 bytes"),
        ("[" * 100_000, "cannot read the configuration"),
    ],
    ids=["aliases", "tag", "broken", "list", "huge", "deep"],
)
def test_bad_files_are_refused_in_one_line(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        resolve(preset=None, file=write(tmp_path, text), flags={})
    assert "\n" not in str(caught.value)


def test_missing_and_binary_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        resolve(preset=None, file=tmp_path / "absent.yaml", flags={})
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        resolve(preset=None, file=tmp_path / "binary.yaml", flags={})


def test_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert resolve(preset=None, file=write(tmp_path, ""), flags={}) == RunSettings()


def test_unknown_preset_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'fmnst'; there are: .*paper-fmnist-32"):
        read_preset("fmnst")


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    settings = resolve(preset="paper-fmnist-64", file=None, flags={})
    assert resolve(preset=None, file=write(tmp_path, to_yaml(settings)), flags={}) == settings


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid_and_describes_itself(name: str) -> None:
    assert check(read_preset(name), where=name).description


@pytest.mark.parametrize("name", PAPER)
def test_every_paper_preset_builds_its_model(name: str) -> None:
    settings = resolve(preset=name, file=None, flags={})
    first, second = settings.autoencoder, settings.flow
    assert str(first.latent_size) in name.split("-")
    shape = (3, 64, 64) if "celeba" in name else (1, 28, 28)
    with torch.device("meta"):  # shapes only: the real weights would cost a second each
        Autoencoder(
            network=first.network,
            image_shape=shape,
            latent_size=first.latent_size,
            **{**first.network_options, "spectral_norm": False},
        )
    LatentFlow(
        kind=second.flow,
        latent_size=first.latent_size,
        blocks=second.blocks,
        **second.flow_options,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("name", NAMED_SETS)
def test_every_data_set_has_a_preset_of_its_own_name(name: str) -> None:
    settings = resolve(preset=None, file=None, flags={}, fallback=name)
    assert settings == resolve(preset=name, file=None, flags={})
    assert settings.autoencoder.network == "resnet"


@pytest.mark.parametrize("name", [n for n in preset_names() if n not in PAPER])
def test_presets_for_a_cpu_say_so_and_name_their_data(name: str) -> None:
    words = read_preset(name)["description"]
    assert "CPU" in words or "shipped" in words or "demo" in words


def test_paper_presets_cover_the_published_models() -> None:
    published = {f"fmnist-{size}" for size in (4, 8, 16, 32, 40, 64, 128)}
    published |= {"mnist-8", "mnist-10", "celeba-64", "fmnist-32-vae", "fmnist-32-beta-vae"}
    published |= {"fmnist-40-flow-vae", "fmnist-40-beta0-vae"}  # of the ablation study
    assert {name.removeprefix("paper-") for name in PAPER} == published


@given(st.text(max_size=60))
@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@example("2001-99-99")  # looks like a date and is none
@example("!!int ''")
@example("!!bool maybe")
@example("!!timestamp soon")
@example("&a [*a]")
@example("9" * 5000)  # more digits than Python turns into a number
@example("[" * 1500)
@example(".inf")
def test_any_value_is_read_or_refused_in_one_line(tmp_path: Path, value: str) -> None:
    for text in (value, f"autoencoder: {value}", f"flow: {{seed: {value}}}"):
        message, read = "", RunSettings()
        try:
            read = resolve(preset=None, file=write(tmp_path, text), flags={})
        except ConfigError as error:
            message = str(error)
        assert "\n" not in message
        assert len(message) < 1000
        assert check(read.model_dump(), where="again") == read


def test_a_file_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match="larger than 1,000,000 bytes"):
        resolve(preset=None, file=Path("/dev/zero"), flags={})


def test_numbers_of_options_stay_whole_when_written_and_read() -> None:
    options = {"width": 32, "dropout": 0.5, "spectral_norm": True}
    settings = resolve(
        preset=None, file=None, flags={"autoencoder": {"network_options": options}}
    ).autoencoder
    again = type(settings).model_validate_json(settings.model_dump_json()).network_options
    assert {name: (type(value), value) for name, value in again.items()} == {
        name: (type(value), value) for name, value in options.items()
    }


def test_an_empty_section_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    flags = {"autoencoder": {"optimiser": {"epochs": 3}}}
    for text in ("autoencoder:\n", "autoencoder:\n  optimiser:\n", "flow:\n"):
        file.write_text(text)
        with_file = resolve(preset="fmnist", file=file, flags=flags)
        assert with_file == resolve(preset="fmnist", file=None, flags=flags)
