"""Feature networks: images to the vectors that Frechet and kernel distances compare."""
