"""The SDK: catalog objects over HTTP. It talks plain STAC wherever STAC has a way to say it."""
