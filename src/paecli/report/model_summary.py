"""What a model file holds, in the few lines that answer what people ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paecli.store.describe import ModelDescription
    from paecli.store.header import Header

MEGABYTE = 1e6
HASH_SHOWN = 12  # digits that tell files apart
SHOWN = 3  # of classes, and of scores
MAIN_METRICS = {"mse": "reconstruction MSE", "nll": "flow NLL (nats)"}
LIBRARIES = ("paecli", "torch", "python")  # whose versions matter most


def summary_rows(described: ModelDescription) -> list[tuple[str, str]]:
    """Returns what a model is, what it learned from, how good it is and how it was made."""
    header = described.header
    size = f"{described.size / MEGABYTE:.1f} MB, SHA-256 {described.sha256[:HASH_SHOWN]}..."
    return [
        ("model", _kind(header)),
        ("file", size),
        ("images", _images(header)),
        ("autoencoder", _autoencoder(described)),
        ("flow", _flow(described)),
        ("trained on", _data(header)),
        *_measured(header.metrics),
        ("p-values by", _few(described.scores, "scores") or "none: `pae train-flow` measures them"),
        *_recipe(header.config),
        ("made with", ", ".join(f"{name} {header.versions.get(name, '?')}" for name in LIBRARIES)),
    ]


def _kind(header: Header) -> str:
    what = "a PAE of patches" if header.patches else "a PAE"
    return f"{what}: autoencoder and flow" if header.flow else f"{what}, stage 1: no flow yet"


def _images(header: Header) -> str:
    if header.patches:
        return f"of any size, scaled to {header.patches.area:,} pixels"
    channels, height, width = header.autoencoder.get("image_shape", (0, 0, 0))
    return f"{'grey' if channels == 1 else 'colour'}, {width} x {height} pixels"


def _autoencoder(described: ModelDescription) -> str:
    own = described.header.autoencoder
    network = own.get("network", "linear")
    latent = own.get("latent_size", "?")
    return f"{network}, latent size {latent}, {described.autoencoder_parameters:,} parameters"


def _flow(described: ModelDescription) -> str:
    flow = described.header.flow
    if flow is None:
        return "none; `pae train-flow` adds it"
    blocks = f", {flow['blocks']} blocks" if "blocks" in flow else ""
    return f"{flow.get('kind', '?')}{blocks}, {described.flow_parameters:,} parameters"


def _data(header: Header) -> str:
    name = header.data.get("dataset") or header.data.get("name") or "unknown"
    classes = header.data.get("classes")
    known = _few(classes, "classes") if isinstance(classes, list) else ""
    return f"{name}; {known}" if known else str(name)


def _few(names: Sequence[object], what: str) -> str:
    """Returns the number of names and the first few of them; nothing of none."""
    if not names:
        return ""
    more = ", ..." if len(names) > SHOWN else ""
    return f"{len(names)} {what}: {', '.join(map(str, names[:SHOWN]))}{more}"


def _measured(metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for key, name in MAIN_METRICS.items():
        parts = {"test": metrics.get(f"test_{key}"), "held out": metrics.get(f"held_out_{key}")}
        known = [f"{part} {value:.5g}" for part, value in parts.items() if value is not None]
        if known:
            yield name, ", ".join(known)


def _recipe(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yields a line on the training of each stage, as far as the header tells."""
    for stage in ("autoencoder", "flow"):
        settings = config.get(stage)
        if not isinstance(settings, dict):
            continue
        optimiser = settings.get("optimiser")
        words = []
        if isinstance(settings.get("objective"), dict):
            words.append(f"loss {settings['objective'].get('loss', '?')}")
        if isinstance(optimiser, dict):
            minutes = optimiser.get("minutes")
            epochs = optimiser.get("epochs", "?")
            plural = "" if epochs == 1 else "s"
            length = f"{minutes} minutes" if minutes else f"{epochs} epoch{plural}"
            words.append(f"{length} of {optimiser.get('method', '?')}")
        words.append(f"seed {settings.get('seed', '?')}")
        yield f"{stage} trained", ", ".join(words)
        chosen = settings.get("chosen")
        if isinstance(chosen, dict) and chosen:
            yield f"{stage} chosen", "; ".join(map(str, chosen.values()))
