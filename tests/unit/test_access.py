"""Who may call what is one table: the template has the same routes, with the authorizer that checks each."""

import pytest

from authorizer.access import INGEST, LINK, OIDC, PUBLIC, READ, ROUTES, SERVER
from tests.translated import translated

CHECKED_BY = {
    INGEST: "TokenAuthorizer",
    READ: "TokenAuthorizer",
    LINK: "PersonAuthorizer",
    OIDC: "PersonAuthorizer",
    SERVER: "PersonAuthorizer",
}


@pytest.fixture
def authorizers() -> dict[str, list[str]]:
    """The authorizers of each route of the API, as API Gateway gets them."""
    body = translated()["Api"]["Properties"]["Body"]
    return {
        f"{method.upper()} {path}": [name for need in operation.get("security", []) for name in need]
        for path, operations in body["paths"].items()
        for method, operation in operations.items()
    }


def test_each_route_is_in_the_table(authorizers: dict[str, list[str]]) -> None:
    assert authorizers.keys() == ROUTES.keys() | PUBLIC
    assert not ROUTES.keys() & PUBLIC


def test_each_route_has_the_authorizer_of_its_tokens(authorizers: dict[str, list[str]]) -> None:
    for route, kinds in ROUTES.items():
        assert authorizers[route] == sorted({CHECKED_BY[kind] for kind in kinds})
    for route in PUBLIC:
        assert authorizers[route] == []


def test_a_public_route_is_no_api_route() -> None:
    """What everybody may call is files: no route for everybody stands where figures are read."""
    assert not [route for route in PUBLIC if "/api/" in route or "/mcp" in route]


def test_an_operators_token_and_a_persons_reach_different_routes() -> None:
    for kinds in ROUTES.values():
        assert len({CHECKED_BY[kind] for kind in kinds}) == 1
