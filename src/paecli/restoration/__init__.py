"""Restoration: the posterior over a model's latents given a damaged image.

In the order of use: `damage` is checked, `target` is the density. `modes` finds its modes and their
shapes, `mixture` joins them, `coordinates` changes them for the draws, which `samplers` make.
`solve` chooses a method, `pixel_model` and `moments` return to pixels, and `restore` does all of it
into a `result`.
"""
