"""What a model file holds, in the few lines that answer what people ask of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paecli.store.describe import ModelDescription
    from paecli.store.header import Header

MEGABYTE = 1e6
HASH_SHOWN = 12  # digits that tell files apart
CLASSES_SHOWN = 4
MAIN_METRICS = {
    "test_mse": "reconstruction MSE, test",
    "held_out_mse": "reconstruction MSE, held out",
    "test_nll": "flow NLL, test (nats)",
    "held_out_nll": "flow NLL, held out (nats)",
}


def summary_rows(described: ModelDescription) -> list[tuple[str, str]]:
    """Returns what a model is, what it learned from, how good it is and how it was made."""
    header = described.header
    size = f"{described.size / MEGABYTE:.1f} MB, SHA-256 {described.sha256[:HASH_SHOWN]}..."
    return [
        ("model", _kind(header)),
        ("file", str(described.path)),
        ("", size),
        ("images", _images(header)),
        ("autoencoder", _autoencoder(described)),
        ("flow", _flow(described)),
        ("trained on", _data(header)),
        *_measured(header.metrics),
        ("p-values by", ", ".join(described.scores) or "none: measured by `pae train-flow`"),
        *_recipe(header.config),
        ("made with", ", ".join(f"{name} {each}" for name, each in header.versions.items()) or "?"),
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
    classes = [str(each) for each in header.data.get("classes") or []]
    if not classes:
        return str(name)
    more = ", ..." if len(classes) > CLASSES_SHOWN else ""
    return f"{name}; {len(classes)} classes: {', '.join(classes[:CLASSES_SHOWN])}{more}"


def _measured(metrics: Mapping[str, float]) -> Iterator[tuple[str, str]]:
    for key, name in MAIN_METRICS.items():
        if key in metrics:
            yield name, f"{metrics[key]:.5g}"


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
            words.append(f"{optimiser.get('epochs', '?')} epochs of {optimiser.get('method', '?')}")
        words.append(f"seed {settings.get('seed', '?')}")
        yield f"{stage} trained", ", ".join(words)
