"""Where the processor time of `train-flow`, `eval` and `ood` without images goes, part by part.

    python benchmarks/where_time_goes.py train-flow runs/photos
    python benchmarks/where_time_goes.py eval fmnist-32 --data-dir DATA
    python benchmarks/where_time_goes.py ood fmnist-64 --data-dir DATA

The command runs in this process under Python's profiler, which counts processor time of one thread
and adds a few per cent. A part holds what it calls: a part within another is counted in both.
`train-flow` trains again what the run folder holds.
"""

import argparse
import cProfile
import platform
import pstats
import sys
import time

from paecli.cli.app import app

# what a part is called: end of its file's path, name of the function
PARTS = {
    "reading and splitting the data": ("training/flow.py", "_split"),
    "reading the data": ("data/model_data.py", "load_for_model"),
    "training": ("training/loop.py", "run"),
    "steps": ("training/loop.py", "_step"),
    "held-out figure of each epoch": ("training/loop.py", "_close_epoch"),
    "what the model stores, in all": ("paecli/train.py", "measure_held_out"),
    "encoding": ("model/model.py", "encode"),
    "decoding": ("model/model.py", "decode"),
    "fitting the base": ("training/mixture_fit.py", "fit_mixture"),
    "pixel noise and errors for restorations": ("model/model.py", "measure_errors"),
    "reference images": ("outliers/scores.py", "keep_reference_images"),
    "comparison with them": ("outliers/scores.py", "compare_with_reference"),
    "reference scores": ("outliers/scores.py", "fit_reference_scores"),
    "scores": ("outliers/scores.py", "measure_scores"),
    "cycle distance": ("outliers/ingredients.py", "cycle_distance"),
    "residual": ("outliers/ingredients.py", "residual"),
    "orientation": ("outliers/ingredients.py", "orientation"),
    "marginal likelihood": ("outliers/ingredients.py", "negative_log_marginal_likelihood"),
    "nearest images": ("model/reference_images.py", "compare"),
    "intervals of AUROC": ("outliers/detection_metrics.py", "measure_detection"),
    "two-sample test": ("evaluation/flow_fit.py", "two_sample_test"),
    "fit of the base": ("evaluation/flow_fit.py", "measure_base_fit"),
    "memorisation": ("evaluation/memorisation.py", "memorisation"),
    "SSIM": ("evaluation/reconstruction.py", "structural_similarity"),
    "samples through a feature network": ("evaluation/sample_quality.py", "sample_quality"),
}
SMALLEST = 0.01  # part of the whole below which a row is left out


def run(arguments: list[str]) -> tuple[float, pstats.Stats]:
    """Returns processor seconds of the whole and the profile."""
    profile = cProfile.Profile(time.process_time)
    began = time.process_time()
    profile.enable()
    try:
        app(arguments, prog_name="pae", standalone_mode=False)
    finally:
        profile.disable()
    return time.process_time() - began, pstats.Stats(profile)


def seconds_of(part: tuple[str, str], stats: pstats.Stats) -> tuple[float, int]:
    """Returns cumulative seconds and calls of a part."""
    found = [
        row
        for (file, _, name), row in stats.stats.items()  # type: ignore[attr-defined]
        if file.endswith(part[0]) and name == part[1]
    ]
    return sum(row[3] for row in found), sum(row[1] for row in found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("train-flow", "eval", "ood"))
    parser.add_argument("model")
    known, rest = parser.parse_known_args()
    again = ["--overwrite"] if known.command == "train-flow" else []
    total, stats = run([known.command, known.model, *again, "--threads", "1", *rest])
    print(f"{' '.join(sys.argv[1:])}: {total:.1f} s of one thread, {platform.processor() or 'CPU'}")
    rows = {name: seconds_of(part, stats) for name, part in PARTS.items()}
    for name, (seconds, calls) in sorted(rows.items(), key=lambda row: -row[1][0]):
        if seconds > SMALLEST * total:
            print(f"  {name:36} {seconds:7.1f} s {seconds / total:6.1%} {calls:7} calls")


if __name__ == "__main__":
    main()
