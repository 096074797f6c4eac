"""Training of PAEs whose data are patches of feature maps."""
