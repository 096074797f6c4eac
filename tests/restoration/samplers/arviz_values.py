"""Chains and importance ratios, and what arviz-stats says of them.

`arviz_values.json` beside it was made by arviz-stats 0.8.0 (a development dependency):

    python -m tests.restoration.samplers.arviz_values > tests/restoration/samplers/arviz_values.json
"""

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
VALUES = Path(__file__).with_name("arviz_values.json")
COUNTS = (100, 400, 1600)  # of importance ratios; every implementation takes the same tail of them


def chains() -> dict[str, Array]:
    """Returns chains `(steps, chains)` of many kinds; `RandomState` never changes."""
    random = np.random.RandomState(0)
    plain = {
        "independent": random.standard_normal((250, 4)),
        "odd length": random.standard_normal((101, 3)),
        "shifted": random.standard_normal((200, 4)) + np.array([0, 0, 0, 0.8]),
        "wide": random.standard_normal((200, 4)) * np.array([1, 1, 1, 3]),
        "heavy tails": random.standard_cauchy((300, 4)) + np.array([0, 0, 0, 3]),
        "ties": random.randint(0, 6, (200, 4)).astype(float),
        "short": random.standard_normal((8, 2)),
        "trend": random.standard_normal((300, 4)) + np.linspace(0, 2, 300)[:, None],
    }
    walks = {f"correlation {each}": autoregressive(random, each) for each in (-0.4, 0.5, 0.9, 0.99)}
    return plain | walks | {"rejecting": np.repeat(random.standard_normal((60, 4)), 5, axis=0)}


def autoregressive(random: np.random.RandomState, correlation: float) -> Array:
    """Returns four chains of 400 steps with a variance of 1 and this correlation of neighbours."""
    values = [random.standard_normal(4)]
    for _ in range(399):
        noise = random.standard_normal(4) * (1 - correlation**2) ** 0.5
        values.append(correlation * values[-1] + noise)
    return np.array(values)


def log_ratios() -> dict[str, Array]:
    """Returns log importance ratios `(n,)` whose tails are light to far too heavy."""
    random = np.random.RandomState(1)
    return {
        f"{shape} of {count}": shape * random.exponential(size=count)
        for shape in (0.1, 0.5, 0.7, 1.2)
        for count in COUNTS
    }


def main() -> None:
    """Prints the values as JSON."""
    from arviz_stats.base import array_stats  # not needed to read them

    axes = {"chain_axis": 1, "draw_axis": 0}
    found: dict[str, dict[str, object]] = {"chains": {}, "log_ratios": {}}
    for name, draws in chains().items():
        found["chains"][name] = {
            "rhat": float(array_stats.rhat(draws, **axes)),
            "ess": float(array_stats.ess(draws, **axes)),
        }
    for name, ratios in log_ratios().items():
        # it takes log likelihoods, whose negatives are the ratios
        smoothed, shape = array_stats.psislw(-ratios, axis=0)
        largest = np.sort(np.exp(smoothed))[::-1][:3]
        found["log_ratios"][name] = {"pareto_k": float(shape), "largest": largest.tolist()}
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
