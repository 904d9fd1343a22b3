"""What a file is, by its first bytes alone; its name and what GDAL would guess count for nothing.

GDAL opens a file named `.tif` as whatever its content says: a VRT reads other files, a WMS description asks other
servers. So the bytes decide one driver out of four, and only that driver is asked.
"""

from __future__ import annotations

from stac_ingest.errors import UploadError

HEAD_BYTES = 512

_DRIVERS = (
    (b"II*\x00", "GTiff"),
    (b"MM\x00*", "GTiff"),
    (b"II+\x00", "GTiff"),
    (b"MM\x00+", "GTiff"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", "JP2OpenJPEG"),
    (b"\xff\x4f\xff\x51", "JP2OpenJPEG"),
)
_OTHERS = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"PK\x05\x06", "an empty ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"%PDF", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 or NetCDF file"),
    (b"CDF", "a NetCDF file"),
    (b"GIF8", "a GIF picture"),
    (b"\x7fELF", "a program"),
    (b"\x93NUMPY", "a NumPy array sent as a file"),
    (b"<VRTDataset", "a GDAL virtual dataset (VRT)"),
    (b"<GDAL_WMS", "a GDAL web map description"),
    (b"<!DOCTYPE html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<?xml", "an XML document"),
    (b"<", "an XML document"),
    (b"{", "a JSON document"),
)


def driver_for(head: bytes, name: str) -> str:
    """Return the one GDAL driver that may open a file that begins with `head`.

    Raises:
        UploadError: `EMPTY_FILE`, or `UNSUPPORTED_FORMAT`, which says what was found.
    """
    if not head:
        raise UploadError("EMPTY_FILE", f"{name!r} is empty (0 bytes); send a GeoTIFF, JPEG, PNG or JPEG 2000 file.")
    for magic, driver in _DRIVERS:
        if head.startswith(magic):
            return driver
    raise UploadError(
        "UNSUPPORTED_FORMAT",
        f"Expected {name!r} to be a GeoTIFF, JPEG, PNG or JPEG 2000 file, found {_describe(head)};"
        " convert it to GeoTIFF and upload that.",
    )


def _describe(head: bytes) -> str:
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    for magic, description in _OTHERS:
        if head.startswith(magic) or (magic.startswith((b"<", b"{")) and text.lower().startswith(magic.lower())):
            return description
    try:
        shown = head[:24].decode("utf-8")
    except UnicodeDecodeError:
        return f"bytes that begin with {head[:8].hex(' ')}"
    return f"text that begins with {shown!r}" if shown.isprintable() or "\n" in shown else "unknown bytes"
