"""The command line: options in, workflows called, results printed."""
