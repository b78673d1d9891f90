"""What can go wrong between this client and the service."""

from collections.abc import Mapping, Sequence


class ImpactError(Exception):
    """The service did not do what was asked. The text says why, in one line."""


class Unauthorized(ImpactError):
    """The token is missing (401), or not valid for this route (403)."""


class Rejected(ImpactError):
    """The request is not valid (4xx). `details` has the field and the message of each reason."""

    def __init__(self, message: str, details: Sequence[Mapping[str, str]] = ()):
        super().__init__(message)
        self.details = tuple(details)


class Unavailable(ImpactError):
    """No usable response after all attempts: the service, or the way to it, is down. Try again later."""
