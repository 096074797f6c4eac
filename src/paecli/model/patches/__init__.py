"""A PAE one level up: patches of feature maps are the data, not whole images."""
