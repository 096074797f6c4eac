"""One file per job; each takes settings and returns a frozen report."""
