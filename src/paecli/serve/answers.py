"""What the page gets: every answer made from a request and a model, as text and PNG files."""

import json
import zipfile
from base64 import b64encode
from dataclasses import replace
from io import BytesIO
from typing import Any

import torch
from torch import Tensor, nn

from paecli.data.images.files import ImageFile, png_of, read_image
from paecli.data.images.listing import image_endings
from paecli.model.model import Model
from paecli.model.patches.model import PatchPAE
from paecli.report.heat_maps import heat_map
from paecli.report.restore_plots import pictures
from paecli.restoration.files import RestoredFile, restore_image
from paecli.restoration.masks.files import Mask, read_mask_file
from paecli.restoration.reading import RestoreSettings
from paecli.sampling import draw_samples, go_along_directions, interpolate
from paecli.serve.finding import Finder, Found
from paecli.serve.uploads import Draw, Find, Interpolate, OneImage, Restore
from paecli.system.errors import PaeError, UsageError

Fields = dict[str, Any]
PATCHES_ONLY = "this model looks at patches of photographs: it finds, and restores nothing"


class Answers:
    """Answers the page's requests by one model; every method can run in any thread."""

    def __init__(self, model: Model | PatchPAE, name: str) -> None:
        """Takes a model with both stages, and what the page calls it."""
        self._scorer, self._name = model, name
        self._finder: Finder | str
        try:
            self._finder = Finder(model)
        except PaeError as error:  # an old model; the others tabs are of use
            self._finder = str(error)

    @property
    def networks(self) -> tuple[nn.Module, ...]:
        """What every answer that takes long passes through many times."""
        flow = self._scorer.require_flow()
        first = [layer for layer in flow.modules() if isinstance(layer, nn.Linear)][:1]
        if isinstance(self._scorer, PatchPAE):
            features = self._scorer.features  # pixels are features without a network
            return (*([features] if isinstance(features, nn.Module) else []), *first)
        return (self._scorer.autoencoder.encoder, self._scorer.autoencoder.decoder, *first)

    def about(self) -> Fields:
        """Says what the model is and which parts of the page are of use."""
        patches = isinstance(self._scorer, PatchPAE)
        finder = self._finder
        return {
            "name": self._name,
            "endings": sorted(image_endings()),
            "shape": None if isinstance(self._scorer, PatchPAE) else self._scorer.image_shape,
            "generates": not patches,
            "why_not": PATCHES_ONLY if patches else None,
            "finds": not isinstance(finder, str),
            "why_not_find": finder if isinstance(finder, str) else None,
            "score": None if isinstance(finder, str) else finder.score,
            "references": None if isinstance(finder, str) else finder.reference_count,
            "peaks": None if isinstance(finder, str) else finder.peak_count,
        }

    def preview(self, asked: OneImage) -> Fields:
        """Shows an image as the model sees it, pixel for pixel."""
        image = read_image(asked.image.file(), image_shape=self._model.image_shape)
        return {"image": as_text(png_of(image.pixels)), "note": self._size_note(image)}

    def restore(self, asked: Restore) -> Fields:
        """Restores an image; the same to the bit as `pae inpaint` with the mask's file."""
        image = read_image(asked.image.file(), image_shape=self._model.image_shape)
        mask = Mask(torch.ones(self._model.image_shape[1:], dtype=torch.bool))
        if asked.mask is not None:
            mask = read_mask_file(asked.mask.file(), image)
        settings = RestoreSettings(
            noise=asked.noise, method=asked.method, samples=asked.samples, seed=asked.seed
        )
        restored = restore_image(self._model, image, mask, settings)
        files = {key.removesuffix("_file"): png for key, png in pictures(restored).items()}
        if asked.mask is not None:
            files["mask"] = asked.mask.data
        result = restored.restoration
        top = result.std.mean(0).amax().item()
        return {
            **{name: as_text(files[name]) for name in ("map", "mean")},
            "input": as_text(png_of(image.pixels)),
            "uncertainty": as_text(png_of(result.std.mean(0, keepdim=True) / (top or 1.0))),
            "largest_std": top,
            "samples": [as_text(png_of(sample)) for sample in result.samples],
            **told(restored),
            "zip": as_text(zipped(files, told(restored) | {"file": str(image.path)})),
        }

    def find(self, asked: Find) -> Fields:
        """Scores images; those that cannot be read say why."""
        if isinstance(self._finder, str):
            raise UsageError(self._finder)
        rows: list[Fields] = []
        for upload in asked.images:
            try:
                (found,) = self._finder.find([upload.file()])
            except PaeError as error:
                found = error
            rows.append({"name": upload.name} | found_fields(found))
        return {"images": rows}

    def samples(self, asked: Draw) -> Fields:
        """Draws new images."""
        drawn = draw_samples(
            self._model, count=asked.count, temperature=asked.temperature, seed=asked.seed
        )
        return {"images": [as_text(png_of(image)) for image in drawn.images]}

    def path(self, asked: Interpolate) -> Fields:
        """Goes from one image to another, as `pae interpolate` does."""
        start, end = (
            read_image(upload.file(), image_shape=self._model.image_shape).pixels
            for upload in (asked.start, asked.end)
        )
        way = interpolate(self._model, start, end, steps=asked.steps)
        return frames_of(way.frames, way.log_prob)

    def directions(self, asked: OneImage) -> Fields:
        """Goes from an image along the directions that change it most."""
        image = read_image(asked.image.file(), image_shape=self._model.image_shape).pixels
        found = go_along_directions(self._model, image)
        rows = zip(found.frames, found.log_prob, found.shares.tolist(), strict=True)
        return {
            "places": found.distances.tolist(),
            "directions": [
                frames_of(frames, log_prob) | {"share": share} for frames, log_prob, share in rows
            ],
        }

    @property
    def _model(self) -> Model:
        if isinstance(self._scorer, PatchPAE):
            raise UsageError(PATCHES_ONLY)
        return self._scorer

    def _size_note(self, image: ImageFile) -> str | None:
        if not image.resized:
            return None
        (height, width), (_, tall, wide) = image.original_size, self._model.image_shape
        return (
            f"{image.path} is {width} x {height} pixels; the model sees its middle, shrunk to "
            f"{wide} x {tall}"
        )


def told(restored: RestoredFile) -> Fields:
    """Returns what words and numbers say of a restoration, by the keys of `pae inpaint --json`."""
    result = restored.restoration
    return {
        "method": result.method,
        "note": result.note or None,
        "mask_notes": list(restored.mask_notes),
        "missing_pixels": restored.missing_pixels,
        "chi2": defined(result.chi2),
        "degrees_of_freedom": result.degrees_of_freedom,
        "passed": result.diagnostics.passed,
        "modes": [
            {"log_posterior": defined(mode.log_posterior), "weight": mode.weight}
            for mode in result.modes
        ],
        "seconds": round(result.seconds, 3),
    }


def found_fields(found: Found | PaeError) -> Fields:
    """Returns what the page shows of a scored image."""
    if isinstance(found, PaeError):
        return {"error": str(found)}
    fields: Fields = {"p_value": found.p_value, "score": defined(found.score)}
    if found.map is not None and found.ranks is not None:
        bare = replace(found.map, p_values=torch.ones_like(found.map.p_values))
        fields |= {
            "image": as_text(heat_map(bare)),
            "heat": as_text(heat_map(found.map)),
            "ranks": as_text(png_of(as_colours(found.ranks))),
        }
    return fields


def as_colours(ranks: Tensor) -> Tensor:
    """Puts numbers `(h, w)` below 65,536 into red (high byte) and green: `(3, h, w)` uint8."""
    capped = ranks.clamp_max(2**16 - 1)
    return torch.stack((capped // 256, capped % 256, torch.zeros_like(capped))).to(torch.uint8)


def frames_of(frames: Tensor, log_prob: Tensor) -> Fields:
    """Returns pictures with the log densities of what they show."""
    return {
        "frames": [as_text(png_of(frame)) for frame in frames],
        "log_prob": [defined(value) for value in log_prob.tolist()],
    }


def zipped(pictures: dict[str, bytes], words: Fields) -> bytes:
    """Packs a restoration: its pictures, named as by `pae inpaint`, and `restoration.json`."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:  # PNG files do not shrink
        for name, png in pictures.items():
            archive.writestr(f"{name}.png", png)
        archive.writestr("restoration.json", json.dumps(words, indent=2))
    return buffer.getvalue()


def as_text(png: bytes) -> str:
    """Returns bytes in base64, which JSON can carry."""
    return b64encode(png).decode("ascii")


def defined(value: float) -> float | None:
    """Returns a number, or None for those that JSON does not have."""
    return value if abs(value) < float("inf") else None
