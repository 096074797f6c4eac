"""How good a model is: reconstruction, the fit of the flow, samples compared with images."""
