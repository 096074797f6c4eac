"""Where a model comes from, as its file tells."""

from typing import Any

from paecli.model.model import Model
from paecli.model.origin import Origin
from paecli.store.header import Header

RECORDED = {"split_seed": int, "split_by": str, "limit": int}


def origin_of(model: Model, header: Header) -> Origin:
    """Joins what header and tensors say; what they leave out has the values of version 0.1."""
    recorded = header.config.get("autoencoder", {}).get("data", {})
    known: dict[str, Any] = {
        name: recorded[name]
        for name, kind in RECORDED.items()
        if isinstance(recorded.get(name), kind)
    }
    part = header.data.get("held_out")  # the settings may have left it to the tool
    if isinstance(part, float) and 0 < part < 1:
        known["held_out"] = part
    return Origin(
        training_set=header.training_set,
        content_hash=str(header.data.get("content_hash", "")),
        image_shape=model.image_shape,
        training_keys=model.trained_on.keys,
        **known,
    )
