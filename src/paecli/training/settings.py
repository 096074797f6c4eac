"""Settings of a training run: frozen, checked, and readable from YAML.

Order of precedence: defaults < preset < `--config` file < command-line flags.
"""

import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from paecli.system.errors import ConfigError
from paecli.system.limits import LARGEST, LARGEST_BLOCKS, LARGEST_SEED
from paecli.system.names import option_of
from paecli.system.yaml_text import MAX_CONFIG_BYTES, parse_yaml, read_bounded_text

Settings = dict[str, Any]

Seed = Annotated[int, Field(ge=0, le=LARGEST_SEED)]
AtLeastOne = Annotated[int, Field(ge=1)]
Auto = Literal["auto"]  # chosen from the images before the stage begins
DEMO_PRESET = "demo"  # what `pae demo` trains
CHOICE = re.compile(r"constrained-\w+|literal\[.*\]")  # pydantic's word for a part of a union
FORMER_NAMES = {"clean_epochs": "clean_fraction"}  # keys of files that earlier versions wrote


def with_current_names(settings: Any) -> Any:
    """Returns plain settings with the keys that have other names now under these.

    Raises:
        ConfigError: a value is given under both names.
    """
    if not isinstance(settings, Mapping):
        return settings
    for former, current in FORMER_NAMES.items():
        if former in settings and current in settings:
            raise ConfigError(f"{former} is the former name of {current}; give one of them")
    return {
        FORMER_NAMES.get(key, key): with_current_names(value) for key, value in settings.items()
    }


Number = TypeVar("Number", int, float)


def _chosen(name: str, value: Number | Auto) -> Number:
    if value == "auto":
        raise ConfigError(f"{name}: auto is for images and stage 1 only; give a number")
    return value


def _within_limits(options: dict[str, Any]) -> dict[str, Any]:
    # a constraint on the union of types would make early releases of pydantic 2 turn 32 into 32.0
    if not all(value == "auto" or 0 <= value <= LARGEST for value in options.values()):
        raise ValueError(f"numbers must lie between 0 and {LARGEST}")
    return options


def _holds_bool(value: object) -> bool:
    inner = value.values() if isinstance(value, Mapping) else ()
    return isinstance(value, bool) or any(map(_holds_bool, inner))


class _Section(BaseModel):
    """A group of settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _no_bool_for_a_number(cls, values: Any) -> Any:
        """Refuses what pydantic would take for 0 or 1.

        Raises:
            ConfigError: names the key.
        """
        for name, value in values.items() if isinstance(values, Mapping) else ():
            field = cls.model_fields.get(name)
            if field is None or not _holds_bool(value):
                continue
            wanted = str(field.annotation)
            if "bool" not in wanted and "Settings" not in wanted:
                raise ConfigError(
                    f"{name}: yes, no, on, off, true and false are no numbers; give a number, or "
                    "put a word in quotes"
                )
        return values


class DataSettings(_Section):
    """Which images, and how they are split."""

    dataset: str = ""  # a name or a folder
    image_size: int | None = Field(None, ge=1, le=1024)  # folders: pixels a side; of patches,
    # that of a square of the same area
    channels: Literal[1, 3] | None = None  # folders: 1 grey, 3 RGB
    limit: int | None = Field(None, ge=1)  # use only so many training images
    # part of train kept for tuning and p-values; None: a twelfth, and more of few images
    held_out: float | None = Field(None, gt=0, lt=1)
    split_seed: Seed = 0
    split_by: Literal["content", "position"] = "content"  # folders: what decides on the sides


class AugmentSettings(_Section):
    """Random changes of training images; each is drawn once per batch part."""

    shift: int = Field(0, ge=0, le=LARGEST)  # pixels, each way
    shift_probability: float = Field(0.5, ge=0, le=1)
    # probability; auto: .5 where mirrored images look like the others
    horizontal_flip: Annotated[float, Field(ge=0, le=1)] | Auto = 0.0
    rotation: float = Field(0.0, ge=0, le=180)  # degrees, each way
    brightness: float = Field(0.0, ge=0, lt=1)  # relative, each way
    noise: float = Field(0.0, ge=0)  # standard deviation; the target stays clean
    clean_fraction: float = Field(0.15, ge=0, le=1)  # of the epochs: the last ones, unchanged

    @property
    def flip_probability(self) -> float:
        """The chance that an image is mirrored.

        Raises:
            ConfigError: it was left to be chosen where nothing chooses it.
        """
        return _chosen("horizontal_flip", self.horizontal_flip)

    @model_validator(mode="before")
    @classmethod
    def _by_current_names(cls, values: Any) -> Any:
        return with_current_names(values)


class OptimiserSettings(_Section):
    """How the weights move."""

    method: Literal["adamw", "muon"] = "adamw"  # muon: matrices and filters; the rest by AdamW
    epochs: AtLeastOne | Auto = 30  # auto: as many as suit the number of images and their size
    minutes: float = Field(0.0, ge=0)  # train for a time instead of epochs; 0: off
    patience: int = Field(0, ge=0)  # epochs without gain, at least, before the end begins; 0: off
    batch_size: int = Field(256, ge=1)
    learning_rate: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    warmup: float = Field(0.1, ge=0, lt=1)  # fraction of the steps
    clip: float = Field(1.0, gt=0)  # largest gradient norm
    averaging: float = Field(0.0, ge=0, lt=1)  # decay per step of the weight average, 0 = off
    schedule: Literal["cosine", "constant", "trapezoid"] = "cosine"
    cooldown: float = Field(0.2, gt=0, lt=1)  # the end of a trapezoid, or of what has become flat
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    @property
    def last_epoch(self) -> int:
        """The number of epochs.

        Raises:
            ConfigError: it was left to be chosen where nothing chooses it.
        """
        return _chosen("epochs", self.epochs)


class ObjectiveSettings(_Section):
    """What stage 1 minimises."""

    loss: Literal["ae", "vae", "beta-vae", "flow-vae"] = "ae"
    pixel_sigma: float = Field(0.1, gt=0)  # VAE: standard deviation of the pixel likelihood
    posterior_sigma: float = Field(0.0, ge=0)  # VAE: the same for all latents of q(z|x); 0: learned
    beta: float = Field(1.0, ge=0)  # weight of the KL term
    capacity: float = Field(0.0, ge=0)  # nats: C of beta-VAE, annealed from 0
    free_bits: float = Field(0.0, ge=0)  # nats per latent that cost nothing
    anneal: float = Field(0.0, ge=0, le=1)  # fraction of the steps in which beta or C rises
    map_stage: float = Field(0.0, ge=0, lt=1)  # ae: last fraction of the steps, MAP objective

    @field_validator("posterior_sigma", "map_stage")
    @classmethod
    def _fits_the_loss(cls, value: float, info: ValidationInfo) -> float:
        loss = info.data.get("loss")
        deterministic = info.field_name == "map_stage"
        if value and loss is not None and (loss == "ae") != deterministic:
            raise ValueError(f"has no meaning for the loss {loss!r}; leave it at 0")
        return value


class AutoencoderSettings(_Section):
    """Stage 1, `pae train-ae`."""

    data: DataSettings = DataSettings()
    features: Literal["none", "photo", "pixels"] = "none"  # patches of these instead of images
    network: Literal["infogan", "conv", "resnet", "mlp"] = "resnet"
    # auto: from the spectrum of the images
    latent_size: Annotated[int, Field(ge=1, le=LARGEST)] | Auto = 32
    linear: bool = False  # networks add to principal components of the images, from the start on
    network_options: Annotated[dict[str, bool | int | float], AfterValidator(_within_limits)] = {}
    objective: ObjectiveSettings = ObjectiveSettings()
    augment: AugmentSettings = AugmentSettings()
    optimiser: OptimiserSettings = OptimiserSettings()
    seed: Seed = 0
    chosen: dict[str, str] = {}  # why that was chosen which was `auto`; written, not read

    @property
    def latents(self) -> int:
        """The latent size.

        Raises:
            ConfigError: it was left to be chosen where nothing chooses it.
        """
        return _chosen("latent_size", self.latent_size)


class FlowSettings(_Section):
    """Stage 2, `pae train-flow`."""

    flow: Literal["nsf", "realnvp", "glow", "hybrid"] = "nsf"
    blocks: int = Field(8, ge=1, le=LARGEST_BLOCKS)
    # components: auto: as many Gaussians as held-out latents want
    flow_options: Annotated[dict[str, int | float | Auto], AfterValidator(_within_limits)] = {}
    latent_noise: float = Field(0.0, ge=0)  # standard deviation, in whitened units
    warm_start: bool = True  # go on with the flow of a flow-vae, if it is of the same kind
    optimiser: OptimiserSettings = OptimiserSettings(epochs=60, learning_rate=1e-3)
    seed: Seed = 0


class RunSettings(_Section):
    """What a preset or a `--config` file may hold: one section a stage."""

    description: str = ""
    autoencoder: AutoencoderSettings = AutoencoderSettings()
    flow: FlowSettings = FlowSettings()


ANY_FOLDER = "folder"  # the preset for data without one of their own
PATCHES = "patches"  # the preset for patches of feature maps


def resolve(
    *, preset: str | None, file: Path | None, flags: Mapping[str, Any], fallback: str | None = None
) -> RunSettings:
    """Merges all sources of settings.

    Args:
        preset: name of a preset, or None.
        file: a YAML file, or None.
        flags: nested settings from the command line; None values are ignored.
        fallback: name of a data set. Without `preset` the preset of that name serves, or that
            for folders of images.

    Raises:
        ConfigError: no such preset, an unreadable file, an unknown key, a value out of range.
    """
    if preset is None and fallback is not None:
        preset = fallback if fallback in preset_names() else ANY_FOLDER
    return _checked(preset, file, flags)


def requested(*, preset: str | None, file: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Returns the settings that preset, file and flags name themselves, without defaults.

    Args:
        preset: as in `resolve`, like the others.
        file: a YAML file, or None.
        flags: nested settings from the command line.

    Raises:
        ConfigError: as `resolve`.
    """
    checked = _checked(preset, file, flags)
    return checked.model_dump(mode="json", exclude_unset=True, exclude={"description"})


def _checked(preset: str | None, file: Path | None, flags: Mapping[str, Any]) -> RunSettings:
    merged: Settings = {}
    if preset is not None:
        merged = _put_over(merged, read_preset(preset))
    if file is not None:
        merged = _put_over(merged, read_yaml(file))
    merged = _put_over(merged, without_none(flags))
    return check(merged, where=str(file) if file else "the settings", flags=flags)


def _put_over(settings: Settings, over: Settings) -> Settings:
    """Merges, but drops options that belong to a network which `over` replaces by another."""
    own, new = settings.get("autoencoder"), over.get("autoencoder")
    if isinstance(own, Mapping) and isinstance(new, Mapping):
        another = new.get("network", own.get("network"))
        if another != own.get("network", AutoencoderSettings().network):
            kept = {key: value for key, value in own.items() if key != "network_options"}
            settings = {**settings, "autoencoder": kept}
    return merge(settings, over)


def check(settings: Settings, *, where: str, flags: Mapping[str, Any] | None = None) -> RunSettings:
    """Turns plain settings into checked ones.

    Raises:
        ConfigError: names the first key that is wrong, what it may be, and `where`; or the option
            that it comes from, if it is among `flags`.
    """
    try:
        return RunSettings.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        path = [part for each in first["loc"] if not CHOICE.fullmatch(part := str(each))]
        option = option_of(path, flags or {})
        shown = option or repr(".".join(path))[1:-1][:100]
        problem = (
            f"unknown key '{shown}'"
            if first["type"] == "extra_forbidden"
            else f"{shown}: {first['msg'].lower()}, got {first['input']!r:.100}"
        )
        source = "" if option else f"{where}: "
        raise ConfigError(f"{source}{problem}; see `pae train-ae --help`") from error


def as_recorded(settings: Settings) -> Settings:
    """Returns settings that a run stored, by the names and with the defaults of this version.

    Args:
        settings: of a model file or a training state.
    """
    settings = with_current_names(settings)
    own = settings.get("autoencoder")
    data = own.get("data", {}) if isinstance(own, Mapping) else None
    if not isinstance(data, Mapping) or "split_by" in data:
        return settings
    return merge(settings, {"autoencoder": {"data": {**data, "split_by": "position"}}})


def preset_names() -> list[str]:
    """Lists the presets that ship with the tool."""
    folder = resources.files("paecli.training") / "presets"
    return sorted(
        entry.name.removesuffix(".yaml")
        for entry in folder.iterdir()
        if entry.name.endswith(".yaml")
    )


def read_preset(name: str) -> Settings:
    """Reads a preset.

    Raises:
        ConfigError: no preset of that name.
    """
    if name not in preset_names():
        raise ConfigError(f"no preset {name!r}; there are: {', '.join(preset_names())}")
    text = (resources.files("paecli.training") / "presets" / f"{name}.yaml").read_text("utf-8")
    return dict(yaml.safe_load(text))


def merge(under: Settings, over: Mapping[str, Any]) -> Settings:
    """Returns `under` with the values of `over` put on top, section by section."""
    merged = dict(under)
    for key, value in over.items():
        if value is None and isinstance(merged.get(key), Mapping):
            continue  # a section whose keys are all commented out
        nested = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[key] = merge(merged[key], value) if nested else value
    return merged


def to_yaml(settings: RunSettings) -> str:
    """Writes settings as YAML that `--config` reads back."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def read_yaml(file: Path) -> Settings:
    """Reads a configuration file.

    Raises:
        ConfigError: unreadable, too large, or not a mapping.
    """
    try:
        content = parse_yaml(read_bounded_text(file, MAX_CONFIG_BYTES))
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigError(f"cannot read the configuration {file}: {reason}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file} must hold `autoencoder:` and `flow:` sections, not a {type(content).__name__}"
        )
    return dict(with_current_names(content))


def without_none(flags: Mapping[str, Any]) -> Settings:
    """Returns nested settings without those that are None: options that were not given."""
    return {
        key: without_none(value) if isinstance(value, Mapping) else value
        for key, value in flags.items()
        if value is not None
    }
