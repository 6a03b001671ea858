"""`python -m reco_stream` is the `reco` command."""

from reco_stream.cli import main

if __name__ == "__main__":
    main()
