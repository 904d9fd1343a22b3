"""Everything that touches pixels; the service runs it in a child process (see `stac_ingest.converter`)."""
