"""Models into a registry folder: checked, written with a card, listed in the index."""
