"""`python -m paecli` and the `pae` command."""

from paecli.cli.app import main

if __name__ == "__main__":
    main()
