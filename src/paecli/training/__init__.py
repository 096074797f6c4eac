"""Training: objectives, augmentation, optimisers, the loop, and both stages as jobs."""
