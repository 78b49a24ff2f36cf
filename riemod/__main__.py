"""`python -m riemod`, the same as the command `riemod`."""

from riemod.cli.commands import main

if __name__ == "__main__":
    main()
