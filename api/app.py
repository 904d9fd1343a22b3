"""The application, put together from its settings: `uvicorn --factory api.app:create_app`."""

from __future__ import annotations

from importlib.metadata import version

from fastapi import FastAPI
from stac_fastapi.api.models import JSONResponse
from stac_fastapi.api.openapi import update_openapi
from stac_fastapi.types.config import ApiSettings as StacSettings
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from api import assets, deletions, health, uploads
from api.compression import CompressionMiddleware
from api.errors import PROBLEMS, add_error_handlers
from api.forwarded import ForwardedMiddleware
from api.lifespan import lifespan
from api.limits import LimitsMiddleware
from api.middleware import HeadMiddleware, PublicHrefsMiddleware, WriteKeyMiddleware
from api.stac import aggregation, reading, sortables
from api.stac.bulk import BulkTransactions, BulkTransactionsClient
from api.stac.transactions import Transactions, TransactionsClient
from stac_ingest.database.cluster import address_of
from stac_ingest.settings import ApiSettings, ServiceSettings, load
from stac_ingest.storage import open_store


def create_app(service: ServiceSettings | None = None, settings: ApiSettings | None = None) -> FastAPI:
    """Return the service; settings that are not given come from the environment."""
    service = service or load(ServiceSettings)
    settings = settings or load(ApiSettings)
    database_url = service.database_url or address_of(service.data_dir)
    store = open_store(service.resolved_store_url)
    app = FastAPI(
        title=settings.title,
        version=version("stac-ingest"),
        description=settings.description,
        root_path=settings.root_path,
        openapi_url="/api",
        docs_url="/api.html",
        redoc_url=None,
        responses=PROBLEMS,
        lifespan=lifespan(database_url, store, settings.max_file_bytes),
        middleware=_middlewares(settings, store.url),
    )
    for part in (reading, aggregation, sortables, uploads, deletions, assets, health):
        app.include_router(part.router)
    _add_transactions(app)
    add_error_handlers(app)
    update_openapi(app)
    return app


def _middlewares(settings: ApiSettings, store_url: str) -> list[Middleware]:
    """Return them from the outermost in: a request passes from first to last, its answer from last to first."""
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=["*"],
            allow_methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
            allow_headers=[
                *("Authorization", "Content-Type", "Content-Digest", "Range"),
                *(
                    "If-Match",
                    "If-None-Match",
                    "If-Modified-Since",
                    "If-Unmodified-Since",
                    "If-Range",
                    "Idempotency-Key",
                ),
            ],
            expose_headers=["Accept-Ranges", "Content-Length", "Content-Range", "ETag", "Location", "Allow"],
            max_age=600,
        ),
        Middleware(WriteKeyMiddleware, api_keys=settings.api_keys),
        Middleware(LimitsMiddleware),
        Middleware(HeadMiddleware),
        Middleware(CompressionMiddleware),
        Middleware(ForwardedMiddleware),
        Middleware(PublicHrefsMiddleware, store_url=store_url),
    ]


def _add_transactions(app: FastAPI) -> None:
    app.state.router_prefix = ""
    Transactions(  # type: ignore[call-arg]
        client=TransactionsClient(),
        # What stac-fastapi would else take from the environment.
        settings=StacSettings(_env_file=None, enable_response_models=False, enable_direct_response=False),
        response_class=JSONResponse,
    ).register(app)
    BulkTransactions(client=BulkTransactionsClient()).register(app)  # type: ignore[call-arg]
