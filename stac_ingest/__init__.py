"""A STAC catalog that turns uploaded images into Cloud-Optimized GeoTIFFs and finds them at once."""
