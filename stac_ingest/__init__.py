"""A STAC catalog that turns uploaded images into Cloud-Optimized GeoTIFFs and finds them at once.

    >>> from stac_ingest import Image, Product, SpectralBand, properties as p
    >>> product = Product(id="my-product", name="Example product")
    >>> product.save()

The service is named by `STAC_INGEST_URL` (http://127.0.0.1:8000 if unset).
"""

from stac_ingest.client.band import Band, ClassBand, GenericBand, MaskBand, MicrowaveBand, SpectralBand
from stac_ingest.client.connection import Client
from stac_ingest.client.image import Image
from stac_ingest.client.product import Product
from stac_ingest.client.search import ImageSearch
from stac_ingest.client.upload import ImageUpload
from stac_ingest.errors import (
    AttributeValidationError,
    BadRequestError,
    ClientError,
    ConflictError,
    DeletedObjectError,
    ForbiddenError,
    GatewayTimeoutError,
    GoneError,
    MethodNotAllowedError,
    NotFoundError,
    RateLimitError,
    ServerError,
    StacIngestError,
    UnauthorizedError,
    UnsavedObjectError,
    ValidationError,
)
from stac_ingest.filters import Expression, properties
from stac_ingest.models.enums import (
    BandType,
    Colormap,
    DataType,
    DocumentState,
    ImageUploadEventSeverity,
    ImageUploadEventType,
    ImageUploadStatus,
    OverviewResampler,
    ResampleAlgorithm,
    ResolutionUnit,
    StorageState,
)
from stac_ingest.models.image import File
from stac_ingest.models.upload import ImageUploadEvent, ImageUploadOptions
from stac_ingest.models.values import Resolution

__all__ = [
    "AttributeValidationError",
    "BadRequestError",
    "Band",
    "BandType",
    "ClassBand",
    "Client",
    "ClientError",
    "Colormap",
    "ConflictError",
    "DataType",
    "DeletedObjectError",
    "DocumentState",
    "Expression",
    "File",
    "ForbiddenError",
    "GatewayTimeoutError",
    "GenericBand",
    "GoneError",
    "Image",
    "ImageSearch",
    "ImageUpload",
    "ImageUploadEvent",
    "ImageUploadEventSeverity",
    "ImageUploadEventType",
    "ImageUploadOptions",
    "ImageUploadStatus",
    "MaskBand",
    "MethodNotAllowedError",
    "MicrowaveBand",
    "NotFoundError",
    "OverviewResampler",
    "Product",
    "RateLimitError",
    "ResampleAlgorithm",
    "Resolution",
    "ResolutionUnit",
    "ServerError",
    "SpectralBand",
    "StacIngestError",
    "StorageState",
    "UnauthorizedError",
    "UnsavedObjectError",
    "ValidationError",
    "properties",
]
