"""Restoration: the posterior over a model's latents given a damaged image.

In the order of use: `damage` is checked, `target` is the density. `prior_pool`, `particles`,
`tempering` and `settle` draw from it, beginning at the prior; `agreement` judges these draws.
`modes` finds the density's modes, `laplace` their shapes, `mixture` joins them, `coordinates`
changes them for draws that begin there: `importance` and `chains`, judged by `diagnostics`.
`draws` and `solve` choose a method, `pixel_model` and `moments` return to pixels, and `restore`
does all of it into a `result`.
"""
