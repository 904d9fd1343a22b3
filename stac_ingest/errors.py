"""Every error of the project, as one tree.

    StacIngestError
    ├── AttributeValidationError (ValueError)   an attribute was given a value that it cannot hold
    ├── UnsavedObjectError (ValueError)         the operation needs an object that is in the catalog
    ├── DeletedObjectError                      the object is no longer in the catalog
    ├── UploadFailedError                       raised by `ImageUpload.raise_for_status`
    ├── ClientError                             the service answered with an error
    │   ├── BadRequestError 400
    │   │   └── ValidationError 422
    │   ├── UnauthorizedError 401, ForbiddenError 403, NotFoundError 404, MethodNotAllowedError 405
    │   ├── ConflictError 409 and 412, GoneError 410, RateLimitError 429
    │   └── ServerError 5xx
    │       └── GatewayTimeoutError 504
    ├── RequestError                            raised by the service; the API answers with its status and code
    └── UploadError                             ends an upload; its code and sentence are kept with the upload
        └── RetryableUploadError                ends one attempt; the upload is tried again

Each message says what was expected, what was found and what to do.
"""

from __future__ import annotations


class StacIngestError(Exception):
    """Base of every error that stac-ingest raises on purpose."""


class AttributeValidationError(StacIngestError, ValueError):
    """An attribute was given a value that it cannot hold."""


class UnsavedObjectError(StacIngestError, ValueError):
    """The operation needs an object that was saved to the catalog."""


class DeletedObjectError(StacIngestError):
    """The object was deleted from the catalog."""


class UploadFailedError(StacIngestError):
    """An upload has ended without an image.

    Attributes:
        code: Why: one of the codes in docs/errors.md, or `CANCELED`.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ClientError(StacIngestError):
    """The service answered with an error.

    Attributes:
        status: HTTP status of the answer, or None when no answer came.
        code: The machine-readable code of the problem document, if it had one.
        retry_after: Seconds after which the service asks to be tried again, if it does.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after


class BadRequestError(ClientError):
    """400: the request is wrong."""


class ValidationError(BadRequestError):
    """422: the request is well formed, but a value in it is not acceptable."""


class UnauthorizedError(ClientError):
    """401: the service asks for an API key."""


class ForbiddenError(ClientError):
    """403: the API key does not allow this."""


class NotFoundError(ClientError):
    """404: there is no such object."""


class MethodNotAllowedError(ClientError):
    """405: the route does not offer this method."""


class ConflictError(ClientError):
    """409 or 412: the object exists, is in a state that does not allow this, or was changed by someone else."""


class GoneError(ClientError):
    """410: the object was there and is gone."""


class RateLimitError(ClientError):
    """429: too many requests."""


class ServerError(ClientError):
    """5xx: the service failed, or could not be reached."""


class GatewayTimeoutError(ServerError):
    """504: a server in between gave up waiting."""


class RequestError(StacIngestError):
    """A request that the service refuses.

    Attributes:
        status: HTTP status of the answer.
        code: Stable upper-case name of the reason, listed in docs/errors.md.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UploadError(StacIngestError):
    """An upload cannot become an image.

    Attributes:
        code: Stable upper-case name of the reason, listed in docs/errors.md.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RetryableUploadError(UploadError):
    """This attempt failed for a reason that may pass; the upload is tried again."""
