"""The commands of `stac-ingest`; each says in its help what it does."""

from __future__ import annotations

import gc
import importlib.util
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from stac_ingest.errors import StacIngestError

app = typer.Typer(
    help="A STAC catalog that turns uploaded images into Cloud-Optimized GeoTIFFs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
db = typer.Typer(help="The database.", no_args_is_help=True)
products = typer.Typer(help="Product definitions.", no_args_is_help=True)
uploads = typer.Typer(help="Uploads.", no_args_is_help=True)
app.add_typer(db, name="db")
app.add_typer(products, name="products")
app.add_typer(uploads, name="uploads")


def main() -> None:
    """Run a command; an error that we foresaw ends it with one sentence."""
    try:
        app()
    except StacIngestError as error:
        print(f"stac-ingest: {error}", file=sys.stderr)
        sys.exit(1)


def _say(text: str) -> None:
    print(text, flush=True)


def _log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")
    logging.getLogger("procrastinate").setLevel(logging.WARNING)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    # stac-fastapi reads settings at import and complains of defaults that the service never uses.
    logging.getLogger("stac_fastapi.types.config").setLevel(logging.ERROR)


@app.command()
def serve() -> None:
    """Run everything on this machine: database, API and worker."""
    _require_server()
    from stac_ingest.serve import serve as run
    from stac_ingest.settings import ApiSettings, ServiceSettings, load

    run(load(ServiceSettings), load(ApiSettings), _say)


@app.command()
def api() -> None:
    """Run the API alone, on a database that is migrated (STAC_INGEST_DATABASE_URL)."""
    _require_server()
    import uvicorn

    from stac_ingest.serve import end_with_parent, require_safe_address
    from stac_ingest.settings import ApiSettings, load

    settings = load(ApiSettings)
    require_safe_address(settings)
    _log()
    end_with_parent()
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # api/forwarded.py reads them
        timeout_graceful_shutdown=10,
    )


@app.command()
def worker() -> None:
    """Run a worker alone; start as many as you like on one database and store."""
    _require_server()
    import asyncio

    from stac_ingest.serve import end_with_parent
    from stac_ingest.settings import ServiceSettings, WorkerSettings, load
    from stac_ingest.worker import run

    _log()
    end_with_parent()
    service = load(ServiceSettings)
    asyncio.run(run(service, load(WorkerSettings), _database_url(service)))


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this release; safe to run at any time, by any number of processes."""
    _require_server()
    from stac_ingest.database.migrate import migrate as run
    from stac_ingest.settings import ServiceSettings, load

    run(_database_url(load(ServiceSettings)))
    _say("The database is up to date.")


@db.command()
def url() -> None:
    """Print the address of the database, for psql and other tools."""
    _require_server()
    from stac_ingest.settings import ServiceSettings, load

    _say(_database_url(load(ServiceSettings)))


@products.command()
def apply(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder of definitions; else STAC_INGEST_COLLECTIONS_DIR.")
    ] = None,
) -> None:
    """Write the product definitions of a folder to the catalog; images are never touched."""
    _require_server()
    from stac_ingest.products import read_products
    from stac_ingest.serve import apply_products
    from stac_ingest.settings import ServiceSettings, load

    service = load(ServiceSettings)
    definitions = read_products(folder or service.collections_dir)
    apply_products(_database_url(service), definitions, _say)
    _say(f"{len(definitions)} product(s) are up to date.")


@app.command()
def upload(
    product: Annotated[str, typer.Argument(help="Id of the product.")],
    name: Annotated[str, typer.Argument(help="Name of the image.")],
    files: Annotated[list[Path], typer.Argument(help="GeoTIFF, JPEG, PNG or JPEG 2000 files.")],
    acquired: Annotated[str, typer.Option(help="When it was taken, such as 2024-05-01T10:00:00Z.")],
    overwrite: Annotated[bool, typer.Option(help="Replace an image of the same name.")] = False,
) -> None:
    """Upload files as one image to the service at STAC_INGEST_URL, and wait until it is in the catalog."""
    from stac_ingest import Image, ImageUploadStatus, Product

    found = Product.get(product)
    if found is None:
        raise StacIngestError(f"There is no product {product!r}; save it first, or correct its id.")
    image = Image(product=found, name=name, acquired=acquired)
    started = image.upload([str(file) for file in files], overwrite=overwrite)
    started.wait_for_completion()
    for event in started.events:
        _say(f"{event.event_datetime:%H:%M:%S} {event.severity:8} {event.message}")
    if started.status is not ImageUploadStatus.SUCCESS:
        sys.exit(1)


@app.command()
def cog(
    context: typer.Context,
    files: Annotated[
        list[Path],
        typer.Argument(metavar="IN... OUT", help="Files to convert, and where to: a file, or a folder for several."),
    ],
    cog_profile: Annotated[
        str | None,
        typer.Option("--cog-profile", "-p", help="deflate (unset), zstd, lzw, lerc, jpeg, webp or none."),
    ] = None,
    co: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="LEVEL (deflate, zstd), QUALITY (jpeg, webp) or MAX_Z_ERROR (lerc)."),
    ] = None,
    blocksize: Annotated[int | None, typer.Option(help="Side of a block in pixels; unset: 512.")] = None,
    nodata: Annotated[float | None, typer.Option(help="Nodata value, where a file does not say it.")] = None,
    overview_level: Annotated[int | None, typer.Option(help="How many overviews; unset: down to 512 pixels.")] = None,
    overview_resampling: Annotated[str | None, typer.Option(help="average, nearest, mode, cubic, …")] = None,
    crs: Annotated[str | None, typer.Option(help="Coordinate system, where a file does not say it.")] = None,
    geotransform: Annotated[str | None, typer.Option(help="Six numbers in GDAL's order, with commas.")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Where to write statistics, checksum and footprint as JSON; - prints them.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Convert files of this machine to Cloud-Optimized GeoTIFFs, as the service does; .npy files are arrays.

    Files that are what is asked for already are checked, and copied as they are.
    """
    _require_server()
    from stac_ingest.local import asked_by, convert_files

    gc.freeze()  # what has been imported stays to the end; to look through it there again would take 0.1 s
    *sources, target = files
    reports = convert_files(sources, target, asked_by(context.params, co or []), quiet=quiet)
    if report is not None:
        text = json.dumps(reports[0] if len(reports) == 1 else reports, indent=2)
        _say(text) if str(report) == "-" else report.write_text(f"{text}\n")


@uploads.command("list")
def list_uploads(
    product: Annotated[str | None, typer.Option(help="Only uploads to this product.")] = None,
    status: Annotated[str | None, typer.Option(help="Only uploads in this state.")] = None,
) -> None:
    """List uploads, newest first."""
    from stac_ingest.client.connection import default_client

    wanted = {"collection": product, "status": status}
    found = default_client().get("/uploads", params={key: value for key, value in wanted.items() if value})
    for entry in found["uploads"]:
        _say(f"{entry['id']}  {entry['created'][:19]}  {entry['status']:12}  {entry['collection']}:{entry['item']}")


@uploads.command()
def show(upload_id: Annotated[str, typer.Argument(help="Id of the upload.")]) -> None:
    """Show an upload with its files and events as JSON."""
    from stac_ingest.client.connection import default_client

    document: Any = default_client().get(f"/uploads/{upload_id}")
    _say(json.dumps(document, indent=2))


def _database_url(service: Any) -> str:
    from stac_ingest.database.cluster import address_of

    return service.database_url or address_of(service.data_dir)


def _require_server() -> None:
    if importlib.util.find_spec("procrastinate") is None:
        raise StacIngestError("This command needs the service's packages: pip install 'stac-ingest[server]'.")
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))
