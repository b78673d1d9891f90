"""The authorizer: a token opens the routes of its scope, and no other."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from authorizer import app


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).hexdigest().encode()


@pytest.fixture(autouse=True)
def tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = {"POST": [digest("old"), digest("new")], "GET": [digest("reader")]}
    monkeypatch.setattr(app, "_ALLOWED", allowed)


def allowed(authorization: str | None, route: str = "POST /api/request-event") -> bool:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = app.handler({"routeKey": route, "headers": headers}, None)
    assert answer.keys() == {"isAuthorized"}
    return answer["isAuthorized"]


@pytest.mark.parametrize(
    "header", ["Bearer old", "Bearer new", "bearer new", "BEARER   new", " Bearer new\t"]
)
def test_a_token_of_the_scope_is_let_in(header: str) -> None:
    assert allowed(header)


@pytest.mark.parametrize(
    "header",
    [
        *(None, "", "Bearer", "Bearer ", "old", "Basic old", "Bearerold", "Bearer\told", "Bearer old x"),
        *(
            "Bearer older",
            "Bearer reader",
            "Bearer old,new",
            "Bearer öld",
            "Bearer " + digest("old").decode(),
        ),
    ],
)
def test_anything_else_is_not(header: str | None) -> None:
    assert not allowed(header)


def test_scopes_are_apart() -> None:
    assert allowed("Bearer reader", "GET /api/summaries")
    assert allowed("Bearer reader", "GET /api/totals")
    assert not allowed("Bearer new", "GET /api/totals")
    assert not allowed("Bearer new", "$default")
    assert not allowed("Bearer new", "")


def test_without_digests_nobody_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_ALLOWED", {"POST": [], "GET": []})
    assert not allowed("Bearer ")
    assert not allowed("Bearer x")


def test_only_the_standard_library_is_imported() -> None:
    code = "import sys; import authorizer.app; print(*sys.modules)"
    functions = Path(app.__file__).parents[1]
    loaded = subprocess.run(
        [sys.executable, "-c", code], cwd=functions, capture_output=True, text=True, check=True
    )
    ours = {name.partition(".")[0] for name in loaded.stdout.split()} - sys.stdlib_module_names
    assert {name for name in ours if not name.startswith("_")} == {"authorizer"}
