"""Model cards: what a published model is, was trained on and is fit for, in Markdown."""

import yaml

from paecli.store.header import Header
from paecli.store.index import Entry

CARD = """{title}

{description}

A probabilistic auto-encoder (arXiv:2006.05479): an autoencoder and a normalizing flow over its
latent vectors. Use it with `pae`, for example `{example}`.

| | |
|---|---|
| licence | {licence} |
| data | {data} |
| images | {shape} |
| latent size | {latent_size} |
| autoencoder | {network} |
| flow | {flow} |
| file | `{path}`, {size} bytes |
| SHA-256 | `{sha256}` |

## Measured at the end of training

{metrics}

## Limits

It knows the kind of images it was trained on and no others. Densities and p-values say how
unusual an image is for this model, not how good or true it is. Restorations are samples of
what is plausible, not of what was there.

## Recipe

Save the settings as `recipe.yaml`; these commands train the model again:

    pae train-ae {dataset} --config recipe.yaml --out runs/{name}
    pae train-flow runs/{name}

```yaml
{settings}```

Versions:

{versions}
"""


def card_title(entry: Entry) -> str:
    """Returns the first line of an entry's card."""
    return f"# {entry.name}, revision {entry.revision}"


def write_card(entry: Entry, header: Header) -> str:
    """Returns the model card of an entry with one file."""
    file = entry.files[0]
    return CARD.format(
        title=card_title(entry),
        name=entry.name,
        description=entry.description or "No description.",
        licence=entry.licence or "not stated",
        data=f"{header.data.get('dataset', 'unknown')}, "
        f"content hash `{header.data.get('content_hash', 'unknown')}`",
        example=f"pae ood {entry.name} IMAGES --maps maps/"
        if header.patches
        else f"pae sample {entry.name}",
        shape=_shape(header),
        latent_size=header.autoencoder["latent_size"],
        network=_network(header),
        flow=header.flow["kind"] if header.flow else "none",
        path=file.path,
        size=file.size,
        sha256=file.sha256,
        metrics=_list({name: f"{value:.6g}" for name, value in entry.metrics.items()}),
        dataset=header.data.get("dataset", "DATASET"),
        settings=yaml.safe_dump(header.config, sort_keys=False),
        versions=_list(header.versions),
    )


def _shape(header: Header) -> str:
    if header.patches:
        return f"of any size, scaled to {header.patches.area} pixels; patches of 16 x 16"
    return " x ".join(map(str, header.autoencoder["image_shape"])) + " (channels, height, width)"


def _network(header: Header) -> str:
    if header.patches is None:
        return str(header.autoencoder["network"])
    components = f"principal components of {header.autoencoder['size']} features"
    if not header.patches.network:
        return f"{components} of {header.patches.features}"
    return (
        f"{components} of `{header.patches.network}` (EfficientNet-Lite0, ImageNet, Apache-2.0; "
        f"SHA-256 `{header.patches.identity}`), which is not part of the file"
    )


def _list(values: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in values.items()) or "Nothing recorded."
