"""The HTTP service: the STAC API, uploads and assets. An application, not a library; run it, don't import it."""
