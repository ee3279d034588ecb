"""`python -m stafett` is the `stafett` command; nothing else happens here."""

from stafett import cli

if __name__ == "__main__":
    cli.main()
