"""`python -m stac_ingest` is `stac-ingest`."""

from stac_ingest.cli import main

main()
