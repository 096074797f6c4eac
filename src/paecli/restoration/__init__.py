"""Restoration: the posterior over a model's latents given a damaged image.

In the order of use: `target` is the density, `map` finds its modes, `laplace` their shapes,
`mixture` joins them, `latents` changes coordinates for the draws, `importance` and `hmc`
make draws exact, `diagnostics` judges them, `draws` and `solve` choose a method,
`predictive` and `moments` return to pixels, and `restore` does all of it into a `result`.
"""

from paecli.restoration.result import Diagnostics, Mode, Restoration
from paecli.restoration.solve import METHODS, Method

__all__ = ["METHODS", "Diagnostics", "Method", "Mode", "Restoration"]
