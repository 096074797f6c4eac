"""The command line: options in, jobs called, results printed."""
