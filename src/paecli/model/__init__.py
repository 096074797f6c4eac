"""The model: what is trained and saved."""
