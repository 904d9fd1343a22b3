"""A server of this machine's files with Range, as a program: it prints its address, and serves until it is killed."""

from __future__ import annotations

import http.server
from pathlib import Path
from typing import Any


class Ranges(http.server.BaseHTTPRequestHandler):
    """Serves the files of a folder with Range, and notes how many bytes it was asked for."""

    folder: Path
    sent: list[int]

    @property
    def file(self) -> Path:
        return self.folder / self.path[1:]

    def do_HEAD(self) -> None:
        if not self.file.is_file():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(self.file.stat().st_size))
        self.send_header("Accept-Ranges", "bytes")
        self.end_headers()

    def do_GET(self) -> None:
        if not self.file.is_file():
            self.send_error(404)
            return
        whole = self.file.read_bytes()
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = whole[int(first) : int(last or len(whole)) + 1]
        self.sent.append(len(part))
        self.send_response(206)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(whole)}")
        self.end_headers()
        self.wfile.write(part)

    def log_message(self, *_: Any) -> None:
        pass


class Everything(Ranges):
    """Serves every file of this machine, under as many addresses as are asked for: `/7/tmp/a.tif`.

    GDAL keeps what it has read of an address, because in the catalog an address never changes what it holds.
    """

    sent = []

    @property
    def file(self) -> Path:
        return Path("/", self.path.split("/", 2)[2])


if __name__ == "__main__":
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Everything) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)  # noqa: T201
        server.serve_forever()
