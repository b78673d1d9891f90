"""The tables, seen through a client whose calls a test intercepts."""

from collections.abc import Callable
from typing import Any

from impact.store import Store
from tests.tables import with_client

Call = Callable[[str, Callable[..., Any], dict[str, Any]], Any]
"""What a test makes of a call: its name, how to carry it out, its options."""


class Client:
    """A client that hands each call to the test."""

    def __init__(self, client: Any, call: Call) -> None:
        self._client = client
        self._call = call
        self.exceptions = client.exceptions

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda **options: self._call(name, getattr(self._client, name), options)


def through(store: Store, call: Call) -> Store:
    client: Any = Client(store.client, call)
    return with_client(store, client)
