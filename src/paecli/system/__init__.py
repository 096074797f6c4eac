"""What the machine gives: cores and threads."""
