"""The pages' function: what it serves, with which headers, and that no request names a file of the disk."""

import json
import re
import subprocess
import sys
from typing import Any

import pytest

from local import PROJECT
from page import app

PAGES = {"GET /": "operator.js", "GET /me": "person.js"}
FOR_GOOD = "public, max-age=31536000, immutable"
WIRE_BYTES_MAX = 120_000


def get(route: str, **event: Any) -> Any:
    return app.handler({"routeKey": route, "headers": {}} | event, None)


def asset(path: str) -> Any:
    return get("GET /assets/{path+}", pathParameters={"path": path})


@pytest.mark.parametrize("route", PAGES)
def test_a_page_names_its_files_in_their_version(route: str) -> None:
    page = get(route)
    assert (page["statusCode"], page["headers"]["cache-control"]) == (200, "no-cache")
    assert page["headers"]["content-type"] == "text/html; charset=utf-8"
    named = re.findall(r'(?:src|href)="(/[^"]+)"', page["body"])
    assert f"/assets/{app.VERSION}/{PAGES[route]}" in named
    for path in named:
        served = asset(path.removeprefix("/assets/"))
        assert (served["statusCode"], served["headers"]["cache-control"]) == (200, FOR_GOOD)


@pytest.mark.parametrize("route", PAGES)
def test_a_page_preloads_every_module_that_it_imports(route: str) -> None:
    """Or the browser finds them one after the other."""
    found, waiting = set(), [PAGES[route]]
    while waiting:
        name = waiting.pop()
        found.add(name)
        imported = set(re.findall(r'from "\./([\w./]+)"', app.FILES[name]))
        waiting += imported - found
    preloaded = set(re.findall(r'modulepreload" href="/assets/[^/]+/([\w./]+)"', get(route)["body"]))
    assert preloaded == found - {PAGES[route]}


@pytest.mark.parametrize("route", [*PAGES, "GET /config.json", "GET /assets/{path+}"])
@pytest.mark.parametrize("path", [f"{app.VERSION}/style.css", "x/y"])
def test_each_response_has_the_headers_that_keep_a_page_safe(route: str, path: str) -> None:
    headers = get(route, pathParameters={"path": path})["headers"]
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; ")
    assert "unsafe" not in policy
    assert policy.endswith("base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("name", [name for name in app.FILES if name.endswith(".html")])
def test_no_markup_needs_more_than_the_policy_allows(name: str) -> None:
    text = app.FILES[name]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son\w+=", text)


@pytest.mark.parametrize("name", [name for name in app.FILES if name.endswith(".js")])
def test_text_is_never_parsed_as_markup(name: str) -> None:
    """What users chose is only ever text."""
    unsafe = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|localStorage"
    )
    assert not re.search(unsafe, app.FILES[name])


def test_an_asset_of_another_version_is_the_current_one_and_not_kept() -> None:
    served = asset("0123456789abcdef/style.css")
    assert (served["statusCode"], served["headers"]["cache-control"]) == (200, "no-store")
    assert served["body"] == app.FILES["style.css"]


@pytest.mark.parametrize(
    "path",
    [
        *("", "/", "x", f"{app.VERSION}/", f"{app.VERSION}/nothing.js", f"{app.VERSION}/../app.py"),
        *(f"{app.VERSION}/..%2fapp.py", f"{app.VERSION}//etc/passwd", f"{app.VERSION}/i18n", "style.css"),
        *(f"{app.VERSION}/STYLE.CSS", f"{app.VERSION}/style.css\0", f"{app.VERSION}/i18n/../style.css"),
    ],
)
def test_no_path_names_another_file(path: str) -> None:
    served = asset(path)
    assert served["statusCode"] == 404
    assert json.loads(served["body"])["error"]["code"] == "not_found"
    assert served["headers"]["cache-control"] == "no-store"


def test_what_a_page_must_know_before_anybody_signed_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPORTING_TIME_ZONE", "Europe/Berlin")
    assert json.loads(get("GET /config.json")["body"]) == {"timeZone": "Europe/Berlin", "oidc": False}
    monkeypatch.setenv("OIDC_ISSUER", "https://id.example")
    assert not json.loads(get("GET /config.json")["body"])["oidc"]
    monkeypatch.setenv("OIDC_AUDIENCE", "impact")
    assert json.loads(get("GET /config.json")["body"])["oidc"]


def test_without_an_identity_provider_there_is_no_way_to_one() -> None:
    assert get("GET /sign-in", queryStringParameters={"nonce": "n" * 43})["statusCode"] == 404


def test_all_files_together_are_small() -> None:
    assert sum(len(text.encode()) for text in app.FILES.values()) < WIRE_BYTES_MAX


def test_only_the_standard_library_is_imported() -> None:
    code = "import sys; import page.app; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT / "functions", capture_output=True, text=True, check=True
    )
    ours = {name.partition(".")[0] for name in ran.stdout.split()} - sys.stdlib_module_names
    assert {name for name in ours if not name.startswith("_")} == {"page"}


def test_both_languages_have_the_same_words() -> None:
    """And the same names to fill in."""
    words = [
        dict(re.findall(r"^  (\w+): (.*),$", app.FILES[f"i18n/{tag}.js"], re.MULTILINE))
        for tag in ("en", "de")
    ]
    assert words[0].keys() == words[1].keys()
    assert len(words[0]) == app.FILES["i18n/en.js"].count("\n  ")
    for key, text in words[0].items():
        assert set(re.findall(r"\{\w+\}", text)) == set(re.findall(r"\{\w+\}", words[1][key])), key


def test_each_word_is_used() -> None:
    code = "".join(text for name, text in app.FILES.items() if not name.startswith("i18n/"))
    keys = re.findall(r"^  (\w+):", app.FILES["i18n/en.js"], re.MULTILINE)
    assert [key for key in keys if not re.search(rf"\b{key}\b", code)] == []
