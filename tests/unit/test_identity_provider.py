"""The identity provider's configuration and keys: fetched when needed, kept, and from nowhere else."""

import datetime
import json
import ssl
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from impact import identity_provider
from impact.identity_provider import Authorization, IdentityProvider, IssuerUnavailable
from impact.oidc import InvalidToken, Terms
from local import fake_oidc
from local.fake_oidc import (
    AUTHORIZE,
    CLIENT_ID,
    CONFIGURATION,
    KEYS,
    Issuer,
    private_key,
    public_jwk,
    serving,
)
from local.http_server import running_server

NOW = time.time()
MINUTE = 60
DAY = 24 * 3600


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """It makes its tokens at NOW, however long after it the test runs."""
    monkeypatch.setattr(fake_oidc, "time", SimpleNamespace(time=lambda: NOW))
    with serving() as running:
        yield running


@pytest.fixture
def provider(issuer: Issuer) -> IdentityProvider:
    return IdentityProvider(Terms(issuer.url, CLIENT_ID))


def configuration(issuer: Issuer, **changes: Any) -> bytes:
    usual = issuer.answer(CONFIGURATION)
    assert isinstance(usual, bytes)
    return json.dumps(json.loads(usual) | changes).encode()


def unavailable(provider: IdentityProvider, token: str, now: float = NOW) -> str:
    with pytest.raises(IssuerUnavailable) as fault:
        provider.user_of(token, now)
    return str(fault.value)


def test_the_user_of_a_token(issuer: Issuer, provider: IdentityProvider) -> None:
    assert provider.user_of(issuer.token("alice"), NOW) == "alice"
    assert issuer.asked == [CONFIGURATION, KEYS]


def test_an_issuer_with_a_slash_at_its_end(issuer: Issuer) -> None:
    issuer.url += "/"
    issuer.answers[CONFIGURATION] = configuration(issuer, jwks_uri=issuer.url.rstrip("/") + KEYS)
    assert IdentityProvider(Terms(issuer.url, CLIENT_ID)).user_of(issuer.token("alice"), NOW) == "alice"
    assert issuer.asked == [CONFIGURATION, KEYS]


def test_the_query_of_an_address_is_kept(issuer: Issuer, provider: IdentityProvider) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, jwks_uri=f"{issuer.url}{KEYS}?appid=7")
    assert provider.user_of(issuer.token("alice"), NOW) == "alice"
    assert issuer.queries == ["", "appid=7"]


def test_what_was_fetched_is_kept_for_an_hour(issuer: Issuer, provider: IdentityProvider) -> None:
    token = issuer.token("alice")
    for seconds in (0, 1, 61, 3599):
        assert provider.user_of(token, NOW + seconds) == "alice"
    assert len(issuer.asked) == 2
    provider.user_of(token, NOW + 3600)
    assert issuer.asked == [CONFIGURATION, KEYS] * 2


def test_what_is_no_token_makes_nobody_fetch(issuer: Issuer, provider: IdentityProvider) -> None:
    for text in ("", "t0ken", "a.b.c", "e30.e30.e30"):
        with pytest.raises(InvalidToken):
            provider.user_of(text, NOW)
    assert issuer.asked == []


# ---------------------------------------------------------------------------------------- keys that change


def test_a_new_key_is_found_within_a_minute(issuer: Issuer, provider: IdentityProvider) -> None:
    old = issuer.token("alice")
    provider.user_of(old, NOW)
    issuer.rotate()
    with pytest.raises(InvalidToken):
        provider.user_of(issuer.token("bob"), NOW + MINUTE - 1)
    assert provider.user_of(issuer.token("bob"), NOW + MINUTE) == "bob"
    with pytest.raises(InvalidToken, match="does not list"):
        provider.user_of(old, NOW + MINUTE)


def test_a_key_that_was_taken_from_the_list_checks_nothing_after_an_hour(
    issuer: Issuer, provider: IdentityProvider
) -> None:
    old = issuer.token("alice")
    provider.user_of(old, NOW)
    issuer.rotate()
    assert provider.user_of(old, NOW + 3599) == "alice"
    with pytest.raises(InvalidToken):
        provider.user_of(old, NOW + 3600)


def test_a_new_key_under_the_id_of_an_old_one_is_found_within_a_minute(
    issuer: Issuer, provider: IdentityProvider
) -> None:
    old = issuer.token("alice")
    provider.user_of(old, NOW)
    issuer.answers[KEYS] = json.dumps({"keys": [public_jwk(2, kid="key-1")]}).encode()
    issuer.rotate()
    new = issuer.token("bob", {"kid": "key-1"})
    with pytest.raises(InvalidToken, match="signature is wrong"):
        provider.user_of(new, NOW + MINUTE - 1)
    assert provider.user_of(new, NOW + MINUTE) == "bob"
    with pytest.raises(InvalidToken, match="signature is wrong"):
        provider.user_of(old, NOW + MINUTE)


NO_USABLE_KEYS = [b'{"keys": []}', b'{"keys": [{"kty": "EC", "kid": "key-1"}]}']


@pytest.mark.parametrize("keys", NO_USABLE_KEYS)
def test_a_list_without_a_usable_key_takes_all_keys_back(
    issuer: Issuer, provider: IdentityProvider, keys: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.token("alice", exp=int(NOW) + DAY)
    provider.user_of(token, NOW)
    issuer.answers[KEYS] = keys
    for seconds in (3600, 3601):
        with pytest.raises(InvalidToken, match="does not list"):
            provider.user_of(token, NOW + seconds)
    assert issuer.asked == [CONFIGURATION, KEYS] * 2
    assert caplog.text.count("lists no RSA key") == 1
    issuer.answers[KEYS] = 503  # what was taken back stays so
    with pytest.raises(InvalidToken, match="does not list"):
        provider.user_of(token, NOW + 3600 + MINUTE)
    del issuer.answers[KEYS]
    assert provider.user_of(token, NOW + 3600 + 2 * MINUTE) == "alice"


@pytest.mark.parametrize("keys", NO_USABLE_KEYS)
def test_a_provider_that_never_listed_a_usable_key_opens_nothing(
    issuer: Issuer, provider: IdentityProvider, keys: bytes
) -> None:
    issuer.answers[KEYS] = keys
    with pytest.raises(InvalidToken, match="does not list"):
        provider.user_of(issuer.token("alice"), NOW)


def test_two_keys_at_a_time(issuer: Issuer, provider: IdentityProvider) -> None:
    old = issuer.token("alice")
    issuer.listed_keys.append(2)
    assert [provider.user_of(token, NOW) for token in (old, issuer.token("bob"))] == ["alice", "bob"]
    assert len(issuer.asked) == 2


def test_made_up_keys_and_signatures_make_nobody_fetch_more_than_once_a_minute(
    issuer: Issuer, provider: IdentityProvider
) -> None:
    token = issuer.token("alice")
    provider.user_of(token, NOW)
    forged = token.rpartition(".")[0] + "." + "A" * 342
    for second in range(1, 180):
        for made_up in (issuer.token("alice", {"kid": f"made-up-{second}"}), forged):
            with pytest.raises(InvalidToken):
                provider.user_of(made_up, NOW + second)
    assert issuer.asked == [CONFIGURATION, KEYS] * 3


# ------------------------------------------------------------------------------------------------- faults


@pytest.mark.parametrize("path", [CONFIGURATION, KEYS])
def test_a_provider_that_does_not_answer_keeps_its_keys(
    issuer: Issuer, provider: IdentityProvider, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = issuer.token("alice")
    provider.user_of(token, NOW)
    issuer.answers[path] = 503
    assert provider.user_of(token, NOW + 3600) == "alice"
    assert "what it said before is used" in caplog.text
    tried = len(issuer.asked)
    assert provider.user_of(token, NOW + 3609) == "alice"
    assert len(issuer.asked) == tried
    del issuer.answers[path]
    assert provider.user_of(token, NOW + 3610) == "alice"
    assert len(issuer.asked) == tried + 2


@pytest.mark.parametrize("path", [CONFIGURATION, KEYS])
def test_keys_of_a_provider_that_does_not_answer_are_good_for_a_day(
    issuer: Issuer, provider: IdentityProvider, path: str
) -> None:
    token = issuer.token("alice", exp=int(NOW) + 2 * DAY)
    provider.user_of(token, NOW)
    issuer.answers[path] = 503
    for seconds in (3600, DAY - 20):  # a failed fetch makes them no younger
        assert provider.user_of(token, NOW + seconds) == "alice"
    for seconds in (DAY, DAY + 1):
        assert unavailable(provider, token, NOW + seconds)
    del issuer.answers[path]
    assert provider.user_of(token, NOW + DAY + 10) == "alice"


def test_a_provider_that_never_answered_is_asked_again_after_ten_seconds(
    issuer: Issuer, provider: IdentityProvider
) -> None:
    issuer.answers[KEYS] = 503
    token = issuer.token("alice")
    assert "status 503" in unavailable(provider, token)
    assert "a moment ago" in unavailable(provider, token, NOW + 9)
    assert len(issuer.asked) == 2
    del issuer.answers[KEYS]
    assert provider.user_of(token, NOW + 10) == "alice"


FAULTS: dict[str, tuple[str, bytes | int | None, str]] = {
    "not found": (CONFIGURATION, 404, "status 404"),
    "a redirect": (CONFIGURATION, 302, "status 302"),
    "a redirect of the keys": (KEYS, 307, "status 307"),
    "no content": (KEYS, 204, "status 204"),
    "silence": (KEYS, None, "timed out"),
    "not JSON": (CONFIGURATION, b"<html>", "not JSON"),
    "an endless list": (KEYS, b"[" * 100_000, "not JSON"),
    "not UTF-8": (KEYS, b'{"keys": "\xff"}', "not JSON"),
    "a list": (KEYS, b"[]", "no JSON object"),
    "more than 256 KB": (KEYS, b" " * (256 * 1024) + b"{}", "262145 bytes"),
    "no list of keys": (KEYS, b"{}", "no JWK set"),
    "keys that are no list": (KEYS, b'{"keys": {}}', "no JWK set"),
    "another issuer": (CONFIGURATION, b'{"issuer": "https://evil.example"}', "names another issuer"),
    "no issuer": (CONFIGURATION, b"{}", "names another issuer"),
}


@pytest.mark.parametrize(("path", "answer", "reason"), FAULTS.values(), ids=FAULTS)
def test_a_provider_that_says_something_else(
    issuer: Issuer,
    provider: IdentityProvider,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    answer: bytes | int | None,
    reason: str,
) -> None:
    monkeypatch.setattr(identity_provider, "TIMEOUT", 0.5)
    issuer.answers[path] = answer
    assert reason in unavailable(provider, issuer.token("alice"))
    assert "/elsewhere" not in issuer.asked


def test_a_list_of_keys_as_large_as_allowed(issuer: Issuer, provider: IdentityProvider) -> None:
    content = issuer.answer(KEYS)
    assert isinstance(content, bytes)
    issuer.answers[KEYS] = content.ljust(256 * 1024)
    assert provider.user_of(issuer.token("alice"), NOW) == "alice"


def test_a_provider_that_is_not_there() -> None:
    with serving() as gone:
        token = gone.token("alice")
    assert "refused" in unavailable(IdentityProvider(Terms(gone.url, CLIENT_ID)), token)


@pytest.mark.parametrize("value", [None, 7, ["https://id.example/keys"]])
def test_a_configuration_without_the_address_of_the_keys(
    issuer: Issuer, provider: IdentityProvider, value: object
) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, jwks_uri=value)
    assert "no jwks_uri" in unavailable(provider, issuer.token("alice"))


# ------------------------------------------------------------------------------------- where it may ask

NOT_SECURE = [
    "http://id.example/keys",
    "http://localhost.evil.example/keys",
    "http://127.0.0.1.evil.example/keys",
    "http://localhost:80@evil.example/keys",
    "http://evil.example:80#@localhost/keys",
    "http://[::ffff:127.0.0.1/keys",
    "http://169.254.169.254/latest/meta-data",
    "https://somebody@id.example/keys",
    "https:///keys",
    "file:///etc/passwd",
    "ftp://id.example/keys",
    "ftp://localhost/keys",
    "file://localhost/etc/passwd",
    "data:application/json,{}",
    "//id.example/keys",
    "keys",
    "",
]


@pytest.mark.parametrize("url", NOT_SECURE)
def test_keys_are_not_fetched_from_just_anywhere(
    issuer: Issuer, provider: IdentityProvider, url: str
) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, jwks_uri=url)
    assert unavailable(provider, issuer.token("alice")).endswith(("is not https", "is no URL"))


@pytest.mark.parametrize("url", NOT_SECURE)
def test_an_issuer_is_not_just_anywhere(issuer: Issuer, url: str) -> None:
    reason = unavailable(IdentityProvider(Terms(url, CLIENT_ID)), issuer.token("alice"))
    assert reason.endswith(("is not https", "is no URL"))


@pytest.mark.parametrize(
    "url", ["https://id.example:port/keys", "https://id.example/k eys\x7f", "https://\udcff/"]
)
def test_an_address_that_is_none(issuer: Issuer, provider: IdentityProvider, url: str) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, jwks_uri=url)
    assert url[:8] in unavailable(provider, issuer.token("alice"))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_this_machine_needs_no_tls(issuer: Issuer, host: str) -> None:
    issuer.url = issuer.url.replace("127.0.0.1", host)
    provider = IdentityProvider(Terms(issuer.url, CLIENT_ID))
    assert provider.user_of(issuer.token("alice"), NOW) == "alice"


def test_a_provider_elsewhere_cannot_name_this_machine(issuer: Issuer) -> None:
    """On Lambda, what answers on this machine is Lambda's own interface."""
    provider = IdentityProvider(Terms("https://id.example", CLIENT_ID))
    with pytest.raises(IssuerUnavailable, match="not https"):
        provider._fetch(issuer.url + KEYS)
    assert issuer.asked == []


@pytest.fixture
def tls_issuer(tmp_path: Path) -> Iterator[str]:
    """A server on this machine with a certificate that nobody has signed."""
    key, name = private_key(7), x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = tmp_path / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, private, serialization.NoEncryption()) + certificate.public_bytes(pem)
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = json.dumps({"keys": [public_jwk(1)]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Log nothing."""

    server = HTTPServer(("localhost", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with running_server(server):
        yield f"https://localhost:{server.server_port}"


def test_a_certificate_must_be_one_that_is_trusted(
    tls_issuer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = IdentityProvider(Terms(tls_issuer, CLIENT_ID))
    with pytest.raises(IssuerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
        provider._fetch(f"{tls_issuer}/keys")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "server.pem"))
    assert provider._fetch(f"{tls_issuer}/keys") == {"keys": [public_jwk(1)]}
    with pytest.raises(IssuerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):  # not for this name
        provider._fetch(f"{tls_issuer.replace('localhost', '127.0.0.1')}/keys")


# ------------------------------------------------------------------------- where people sign in, settings


def test_where_people_sign_in(issuer: Issuer, provider: IdentityProvider) -> None:
    wanted = Authorization(issuer.url + AUTHORIZE, ("code", "id_token", "code id_token"))
    assert [provider.authorization(NOW + seconds) for seconds in (0, 3599)] == [wanted] * 2
    assert issuer.asked == [CONFIGURATION]


def test_a_provider_without_a_sign_in_page_has_keys(issuer: Issuer, provider: IdentityProvider) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, authorization_endpoint=None)
    assert provider.user_of(issuer.token("alice"), NOW) == "alice"
    with pytest.raises(IssuerUnavailable, match="no authorization_endpoint"):
        provider.authorization(NOW)


@pytest.mark.parametrize("url", NOT_SECURE)
def test_nobody_is_sent_just_anywhere(issuer: Issuer, provider: IdentityProvider, url: str) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, authorization_endpoint=url)
    with pytest.raises(IssuerUnavailable):
        provider.authorization(NOW)


@pytest.mark.parametrize("types", [None, "id_token", {"id_token": 1}])
def test_a_provider_that_lists_no_response_types(
    issuer: Issuer, provider: IdentityProvider, types: object
) -> None:
    issuer.answers[CONFIGURATION] = configuration(issuer, response_types_supported=types)
    assert provider.authorization(NOW).response_types == ()


def test_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OIDC_ISSUER", "OIDC_AUDIENCE", "OIDC_USER_CLAIM"):
        monkeypatch.setenv(name, "")
    assert IdentityProvider.from_environment() is None
    monkeypatch.setenv("OIDC_USER_CLAIM", "email")
    assert IdentityProvider.from_environment() is None
    monkeypatch.setenv("OIDC_ISSUER", "https://id.example")
    with pytest.raises(ValueError, match="OIDC_AUDIENCE"):
        IdentityProvider.from_environment()
    monkeypatch.setenv("OIDC_AUDIENCE", "impact-page")
    assert terms() == Terms("https://id.example", "impact-page", "email")
    monkeypatch.delenv("OIDC_USER_CLAIM")
    assert terms() == Terms("https://id.example", "impact-page", "sub")


def terms() -> Terms:
    provider = IdentityProvider.from_environment()
    assert provider
    return provider.terms
