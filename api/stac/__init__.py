"""The STAC API: searches on documents that are ready to be sent, Collections from memory, and writes through pgstac."""
