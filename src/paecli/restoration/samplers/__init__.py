"""Draws from a posterior: by importance, by chains, and by tempered Monte Carlo.

`importance` and `chains` begin at the modes, `prior_pool`, `particles`, `tempering` and `settle` at
the prior. `hamiltonian` moves what both have; `diagnostics` and `agreement` judge, `draws` is what
comes out.
"""
