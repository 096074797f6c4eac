"""The paper's comparison AE / VAE / beta-VAE / flow-VAE / beta0-VAE, rebuilt by the commands.

    python benchmarks/ablation.py RUNS [--data-dir FOLDER] [--only NAME ...]
        [--epochs 5] [--flow-epochs 10] [--learning-rate 3e-3]

For each model it runs the four commands that a user would type, prints them, and ends with a
Markdown table of the test split: reconstruction error, NLL of the latents under the flow,
Frechet distance of 10,000 samples in the features of the bundled classifier (from the flow and
from decoded N(0, I)), and AUROC of log p(z) against MNIST. Every model has the same network, the
same optimiser, the same epochs and the same flow. A run that is already in RUNS is measured
again, not trained again. NLLs compare across models only with care: each has its own latents.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

MODELS = {
    "AE (the PAE)": "fmnist",
    "AE, MAP stage": "fmnist-32-map",
    "VAE": "fmnist-32-vae",
    "beta-VAE": "fmnist-32-beta-vae",
    "flow-VAE": "fmnist-32-flow-vae",
    "beta0-VAE": "fmnist-32-beta0-vae",
}
FLOW = "fmnist-32-vae"  # preset of everybody's flow; `fmnist` has another one
HEADINGS = (
    "model",
    "test MSE",
    "NLL, nats",
    "Frechet: flow samples",
    "decoded N(0, I)",
    "reconstructions",
    "AUROC MNIST",
    "training, s",
)


def pae(*arguments: str) -> dict[str, Any]:
    """Runs one command, shows it, and returns what it prints with `--json`."""
    print("    pae", *arguments, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "paecli", *arguments, "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"`pae {' '.join(arguments)}` failed:\n{done.stderr[-2000:]}")
    return dict(json.loads(done.stdout))


def train(preset: str, run: Path, arguments: argparse.Namespace) -> float:
    """Trains both stages of a model; returns the seconds, or NaN when it was there before."""
    if (run / "model.safetensors").exists():
        return float("nan")
    same = ("--epochs", str(arguments.epochs), "--learning-rate", str(arguments.learning_rate))
    where = ("--out", str(run), *data(arguments))
    first = pae("train-ae", "fmnist", "--preset", preset, *same, *where)
    flow = ("--preset", FLOW, "--epochs", str(arguments.flow_epochs))
    second = pae("train-flow", str(run), *flow, *data(arguments))
    return float(first["seconds"] + second["seconds"])


def data(arguments: argparse.Namespace) -> tuple[str, ...]:
    return ("--data-dir", str(arguments.data_dir)) if arguments.data_dir else ()


def row(name: str, preset: str, arguments: argparse.Namespace) -> tuple[str, ...]:
    run = arguments.runs / preset
    seconds = train(preset, run, arguments)
    quality = pae("eval", str(run), "--fid", "--features", "classifier", *data(arguments))
    outliers = pae("ood", str(run), "--against", "mnist", "--score", "log_prob", *data(arguments))
    return (
        name,
        f"{quality['reconstruction']['mse']:.6f}",
        f"{quality['flow']['nll']:.2f}",
        f"{quality['fid']['samples']:.2f}",
        f"{quality['fid']['decoded_normal']:.2f}",
        f"{quality['fid']['reconstructions']:.2f}",
        f"{outliers['results'][0]['auroc']:.4f}",
        f"{seconds:.0f}",
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, metavar="RUNS", help="folder for the run folders")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--only", nargs="*", choices=MODELS.values(), default=MODELS.values())
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--learning-rate", type=float, default=3e-3, help="of stage 1, for all")
    parser.add_argument("--flow-epochs", type=int, default=10)
    arguments = parser.parse_args()
    lines = [HEADINGS, ("---",) * len(HEADINGS)]
    for name, preset in MODELS.items():
        if preset in arguments.only:
            lines.append(row(name, preset, arguments))
            print("|", " | ".join(lines[-1]), "|", file=sys.stderr, flush=True)
    print(f"{arguments.epochs} epochs, flow {arguments.flow_epochs}, latent size 32\n")
    print("\n".join(f"| {' | '.join(line)} |" for line in lines))


if __name__ == "__main__":
    main()
