"""Writes src/paecli/store/shipped_voices.json: the voices of `combined` for models shipped without.

    python benchmarks/measure_voices.py [--data-dir DATA] [MODEL ...]

The held-out images are those of the training, one half for the voices, the other for p-values.
Models that have voices in their own file need none; new models get them from `pae train-flow`.
"""

import argparse
import json
from pathlib import Path

from paecli.data import hold_out, load_dataset
from paecli.model.held_out_errors import calibration_part, fitting_part
from paecli.model.requirements import PIXEL_STATISTICS
from paecli.outliers.scores import compare_with_reference, measure_beside, measure_scores
from paecli.store.checkpoint import hash_tensors, load_pae
from paecli.store.find_model import find_model
from paecli.store.voices_file import ADDED_SCORES, COMBINED, VOICES_FILE, as_entry

SHIPPED = ("fmnist-32", "fmnist-64", "mnist-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=SHIPPED)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()
    entries = json.loads(VOICES_FILE.read_text("ascii")) if VOICES_FILE.exists() else {}
    VOICES_FILE.write_text("{}")  # so that the scores below are those in the models' own files
    for name in options.models:
        model, header = load_pae(find_model(name))
        key = hash_tensors({COMBINED: model.reference_scores[COMBINED]})
        data = load_dataset(header.training_set, data_dir=options.data_dir)
        if data.content_hash != header.data["content_hash"]:
            raise SystemExit(f"{data.source} is not what {name} was trained on")
        part, seed = header.data["held_out"], header.data["split_seed"]
        held_out = hold_out(data.train, fraction=part, seed=seed, by="position")[1].images
        components, statements = compare_with_reference(model, fitting_part(held_out))
        model.voices.fit(model.reference_images.combine(components), statements)
        judges = calibration_part(held_out)
        scores = measure_scores(model, judges, [COMBINED]) | measure_beside(model, judges)
        added = {each: scores[each].sort().values for each in (*ADDED_SCORES, *PIXEL_STATISTICS)}
        entries[key] = as_entry(model, added)
        print(f"{name}: {len(judges):,} held-out images for p-values, {key[:12]}", flush=True)
    VOICES_FILE.write_text(json.dumps(entries, separators=(",", ":")) + "\n", "ascii")


if __name__ == "__main__":
    main()
