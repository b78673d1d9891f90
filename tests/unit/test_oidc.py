"""Tokens of an identity provider: whose they are, and what is refused although somebody made an effort."""

import base64
import hashlib
import hmac
import json
import random
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import RSAAlgorithm

from impact import oidc
from impact.oidc import InvalidToken, Key, Terms, keys_in, parse, user_of
from local.fake_oidc import private_key, public_jwk

NOW = 1_800_000_000
TERMS = Terms("https://id.example", "impact-page")
HEADER = {"alg": "RS256", "kid": "key-1", "typ": "JWT"}
CLAIMS = {"iss": TERMS.issuer, "aud": TERMS.audience, "sub": "alice", "iat": NOW, "exp": NOW + 3600}
HASHES = {"RS256": hashes.SHA256(), "RS384": hashes.SHA384(), "RS512": hashes.SHA512()}
FUNCTIONS = Path(oidc.__file__).parents[1]

Part = dict[str, Any] | bytes


def b64(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def encoded(part: Part) -> str:
    return b64(part if isinstance(part, bytes) else json.dumps(part).encode())


def signing_input(header: Part = HEADER, payload: Part = CLAIMS) -> bytes:
    return f"{encoded(header)}.{encoded(payload)}".encode()


def signed(payload: Part = CLAIMS, header: Part = HEADER, key: rsa.RSAPrivateKey | None = None) -> str:
    """A token with whatever is in it, and with a signature that is right."""
    content = signing_input(header, payload)
    algorithm = header.get("alg") if isinstance(header, dict) else "RS256"
    with_hash = HASHES.get(algorithm if isinstance(algorithm, str) else "", HASHES["RS256"])
    signature = (key or private_key(1)).sign(content, padding.PKCS1v15(), with_hash)
    return f"{content.decode()}.{b64(signature)}"


def claiming(**claims: Any) -> str:
    return signed(CLAIMS | claims)


def without(name: str, **claims: Any) -> str:
    return signed({other: value for other, value in CLAIMS.items() if other != name} | claims)


def headed(**header: Any) -> str:
    return signed(header=HEADER | header)


def keys(*jwks: dict[str, Any]) -> list[Key]:
    return keys_in({"keys": list(jwks) or [public_jwk(1), public_jwk(2)]})


def user(token: str, known: list[Key] | None = None, terms: Terms = TERMS, now: float = NOW) -> str:
    return user_of(parse(token), keys() if known is None else known, terms, now)


def refusal(token: str, known: list[Key] | None = None, terms: Terms = TERMS, now: float = NOW) -> str:
    with pytest.raises(InvalidToken) as refused:
        user(token, known, terms, now)
    return str(refused.value)


def any_algorithm(number: int) -> dict[str, Any]:
    jwk = public_jwk(number)
    del jwk["alg"]
    return jwk


def test_the_user_of_a_token() -> None:
    assert user(signed()) == "alice"


@pytest.mark.parametrize("algorithm", HASHES)
def test_each_algorithm(algorithm: str) -> None:
    token = jwt.encode(CLAIMS, private_key(1), algorithm, {"kid": "key-1"})
    assert user(token, keys(any_algorithm(1))) == "alice"
    assert user(token, keys(public_jwk(1, alg=algorithm))) == "alice"


@pytest.mark.parametrize("bits", [2048, 2049, 2055, 2056, 3072, 4096])
def test_keys_of_any_size(bits: int) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    assert user(signed(key=key), [Key("key-1", None, **numbers(key))]) == "alice"


def numbers(key: rsa.RSAPrivateKey) -> dict[str, int]:
    public = key.public_key().public_numbers()
    return {"n": public.n, "e": public.e}


def as_long_as(characters: int) -> str:
    spare = characters - len(claiming(more=""))
    return claiming(more="x" * (spare * 3 // 4))


ACCEPTED = {
    "one of several audiences": claiming(aud=["other", "impact-page"]),
    "Cognito's access token": without("aud", client_id="impact-page"),
    "no type": signed(header={"alg": "RS256", "kid": "key-1"}),
    "an access token": headed(typ="at+jwt"),
    "an access token, with the long name": headed(typ="application/at+jwt"),
    "another case": headed(typ="jwt"),
    "expired a minute ago, by a clock that may be wrong": claiming(exp=NOW - 59),
    "good in a minute": claiming(nbf=NOW + 60),
    "made in a minute": claiming(iat=NOW + 60),
    "times with fractions": claiming(exp=NOW + 0.5, iat=NOW - 0.5),
    "a time beyond every float": signed(json.dumps(CLAIMS | {"exp": 10**400}).encode()),
    "neither iat nor nbf": without("iat"),
    "as long as allowed": as_long_as(16_384),
    "claims that nobody asked for": claiming(roles=["admin"], nested={"a": {"b": [1, None, 1.5]}}),
    "white space in the JSON": signed(json.dumps(CLAIMS, indent=2).encode()),
}


@pytest.mark.parametrize("token", ACCEPTED.values(), ids=ACCEPTED)
def test_accepted(token: str) -> None:
    assert user(token) == "alice"


REFUSED: dict[str, tuple[str, str]] = {
    "an empty text": ("", "not a signed"),
    "two parts": (signed().rpartition(".")[0], "not a signed"),
    "four parts": (signed() + ".e30", "not a signed"),
    "an encrypted token": (".".join([signed(), "e30", "e30"]), "not a signed"),
    "a link": ("impact-link.1.e30.AAAA", "not a signed"),
    "too long": (as_long_as(16_388), "too long"),
    "not ASCII": (signed().replace(".", ".\u0661", 1), "not a signed"),
    "a lone surrogate": (signed().replace(".", ".\ud800", 1), "not a signed"),
    "padding": (signed(header=HEADER | {"x": ""}).replace(".", "=.", 1), "base64url"),
    "padding after the signature": (signed() + "==", "base64url"),
    "the alphabet of plain base64": (signed().replace(".", "+.", 1), "base64url"),
    "white space": (signed().replace(".", "\n.", 1), "base64url"),
    "one character more than fits": (signed(b"{}").replace("e30", "e30AA"), "base64url"),
    "bits that are no byte": (signed(b"{}").replace("e30", "e31"), "base64url"),
    "a header that is no JSON": (signed(header=b"{"), "JSON"),
    "a header in UTF-16": (signed(header=json.dumps(HEADER).encode("utf-16")), "JSON"),
    "a header with a byte order mark": (signed(header=b"\xef\xbb\xbf" + json.dumps(HEADER).encode()), "JSON"),
    "a header that is a list": (signed(header=b"[]"), "object"),
    "an endless header": (signed(header=b"[" * 9000), "JSON"),
    "an algorithm twice": (signed(header=b'{"alg":"none","alg":"RS256","kid":"key-1"}'), "twice"),
    "no algorithm": (signed(header={"kid": "key-1"}), "an unknown algorithm"),
    "an algorithm that is a list": (headed(alg=["RS256"]), "an unknown algorithm"),
    "an algorithm in small letters": (headed(alg="rs256"), "an unknown algorithm"),
    "an algorithm of its own": (headed(alg="planted"), "an unknown algorithm"),
    "no signature": (headed(alg="none"), "signed with none"),
    "an elliptic curve": (headed(alg="ES256"), "signed with ES256"),
    "PSS": (headed(alg="PS256"), "signed with PS256"),
    "no key id": (signed(header={"alg": "RS256"}), "which key"),
    "a key id that is a number": (headed(kid=1), "which key"),
    "a critical extension": (headed(crit=["exp"]), "extensions"),
    "no critical extension": (headed(crit=[]), "extensions"),
    "a payload that is not encoded": (headed(crit=["b64"], b64=False), "extensions"),
    "a logout token": (headed(typ="logout+jwt"), "neither an access token nor"),
    "a proof": (headed(typ="dpop+jwt"), "neither an access token nor"),
    "a type that is a list": (headed(typ=["JWT"]), "neither an access token nor"),
    "an unknown key": (headed(kid="key-3"), "signature"),
    "a payload that is no JSON": (signed(b"{"), "JSON"),
    "a payload that is a text": (signed(b'"alice"'), "object"),
    "a user twice": (signed(json.dumps(CLAIMS).encode()[:-1] + b', "sub": "bob"}'), "twice"),
    "a name twice, deeper": (
        signed(json.dumps(CLAIMS).encode()[:-1] + b', "a": [{"b": 1, "b": 1}]}'),
        "twice",
    ),
    "an endless payload": (signed(b"[" * 9000), "JSON"),
    "a number of 5,000 digits": (
        signed(json.dumps(CLAIMS).encode()[:-1] + b', "x":' + b"9" * 5000 + b"}"),
        "JSON",
    ),
    "no issuer": (without("iss"), "issuer"),
    "another issuer": (claiming(iss="https://id.example.org"), "issuer"),
    "the issuer with a slash": (claiming(iss=TERMS.issuer + "/"), "issuer"),
    "a list of issuers": (claiming(iss=[TERMS.issuer]), "issuer"),
    "no audience": (without("aud"), "audience"),
    "another audience": (claiming(aud="other"), "audience"),
    "part of the audience": (claiming(aud="impact"), "audience"),
    "an audience around it": (claiming(aud="impact-page-2"), "audience"),
    "a list of other audiences": (claiming(aud=["other", "impact-page-2"]), "audience"),
    "an empty list of audiences": (claiming(aud=[]), "audience"),
    "an audience that is an object": (claiming(aud={"impact-page": 1}), "audience"),
    "another audience, of the right client": (claiming(aud="other", client_id="impact-page"), "audience"),
    "no audience at all, of the right client": (claiming(aud=None, client_id="impact-page"), "audience"),
    "a security event": (
        claiming(events={"http://schemas.openid.net/event/backchannel-logout": {}}),
        "event",
    ),
    "no end": (without("exp"), "never expires"),
    "expired": (claiming(exp=NOW - 60), "expired"),
    "an end that is a text": (claiming(exp=str(NOW + 60)), "no number"),
    "an end that is true": (claiming(exp=True), "no number"),
    "an end that is null": (claiming(exp=None), "no number"),
    "an infinite end": (claiming(exp=float("inf")), "no number"),
    "an end that becomes infinite": (
        signed(json.dumps(CLAIMS).replace(str(NOW + 3600), "1e999").encode()),
        "no number",
    ),
    "an end that is no number": (claiming(exp=float("nan")), "no number"),
    "not good yet": (claiming(nbf=NOW + 61), "not good yet"),
    "a beginning that is no number": (claiming(nbf=float("nan")), "no number"),
    "made in the future": (claiming(iat=NOW + 61), "future"),
    "made at an unknown time": (claiming(iat="today"), "no number"),
    "no user": (without("sub"), "missing"),
    "an empty user": (claiming(sub=""), "missing"),
    "a user that is a number": (claiming(sub=42), "no text"),
    "a user that is true": (claiming(sub=True), "no text"),
    "a user that is a list": (claiming(sub=["alice"]), "no text"),
    "a user that is null": (claiming(sub=None), "no text"),
    "a blank user": (claiming(sub=" \t"), "nobody"),
    "a template that was not filled in": (claiming(sub="{{LIBRECHAT_USER_ID}}"), "nobody"),
    "those of whom nobody could tell": (claiming(sub="unknown"), "nobody"),
    "a user of 257 characters": (claiming(sub="a" * 257), "too long"),
    "a user without room for an event": (claiming(sub="\U0001f333" * 256), "too long"),
    "a user that UTF-8 cannot write": (claiming(sub="\ud800"), "too long, or cannot"),
}


@pytest.mark.parametrize(("token", "reason"), REFUSED.values(), ids=REFUSED)
def test_refused(token: str, reason: str) -> None:
    assert reason in refusal(token)


def test_no_reason_has_a_part_of_its_token() -> None:
    for token, _ in REFUSED.values():
        reason = refusal(token)
        assert "alice" not in reason
        assert "planted" not in reason
        assert "example" not in reason


def test_a_user_of_256_characters() -> None:
    assert user(claiming(sub="a" * 256)) == "a" * 256
    assert len(as_long_as(16_384)) == 16_384
    assert len(as_long_as(16_388)) > 16_384


def test_another_claim() -> None:
    terms = Terms(TERMS.issuer, TERMS.audience, "https://id.example/user")
    assert user(claiming(**{"https://id.example/user": "u-7"}), terms=terms) == "u-7"
    assert "missing" in refusal(signed(), terms=terms)


def test_an_email_address_counts_if_it_is_verified() -> None:
    terms = Terms(TERMS.issuer, TERMS.audience, "email")
    assert user(claiming(email="a@example.org", email_verified=True), terms=terms) == "a@example.org"
    for unverified in ({}, {"email_verified": False}, {"email_verified": "true"}, {"email_verified": 1}):
        assert "not verified" in refusal(claiming(email="a@example.org", **unverified), terms=terms)


def test_any_changed_bit_is_refused() -> None:
    token, known = signed(), keys()
    for at, character in enumerate(token):
        for bit in range(8):
            changed = token[:at] + chr(ord(character) ^ 1 << bit) + token[at + 1 :]
            with pytest.raises(InvalidToken):
                user(changed, known)


@given(st.text() | st.from_regex(r"[\w-]{0,20}\.[\w-]{0,20}\.[\w-]{0,20}", fullmatch=True))
def test_any_text_is_refused_and_nothing_else_goes_wrong(text: str) -> None:
    refusal(text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=5
)
NAMES = st.sampled_from(
    ["iss", "aud", "exp", "nbf", "iat", "sub", "client_id", "events", "alg", "kid", "typ"]
)


@given(st.dictionaries(NAMES, JSON), st.dictionaries(NAMES, JSON))
def test_whatever_is_signed_names_a_user_or_is_refused(
    header: dict[str, Any], claims: dict[str, Any]
) -> None:
    try:
        found = user(signed(CLAIMS | claims, HEADER | header))
    except InvalidToken:
        return
    assert found == (CLAIMS | claims)["sub"]


# ------------------------------------------------------------------ keys that a token brings, or misuses


def attacker() -> rsa.RSAPrivateKey:
    return private_key(666)


def test_a_key_in_the_token_is_not_used() -> None:
    jwk = RSAAlgorithm.to_jwk(attacker().public_key(), as_dict=True)
    for header in (
        {"jwk": jwk},
        {"jku": "https://evil.example/keys"},
        {"x5u": "https://evil.example/c"},
        {"x5c": ["MII"]},
    ):
        assert "signature" in refusal(signed(header=HEADER | header, key=attacker()))


@pytest.mark.parametrize("kid", ["key-1", "key-2", "", "../key-1", "key-1' OR '1"])
def test_another_key_is_not_the_issuers(kid: str) -> None:
    assert "signature" in refusal(signed(header=HEADER | {"kid": kid}, key=attacker()))


def test_a_key_checks_only_tokens_that_name_it() -> None:
    assert "signature" in refusal(headed(kid="key-2"))


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_the_public_key_is_no_shared_secret(algorithm: str) -> None:
    public = private_key(1).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = public.public_bytes(serialization.Encoding.PEM, form)
    for secret in (pem, pem.strip(), public.public_bytes(serialization.Encoding.DER, form)):
        content = signing_input(HEADER | {"alg": algorithm})
        mac = hmac.new(secret, content, getattr(hashlib, algorithm.replace("HS", "sha"))).digest()
        assert algorithm in refusal(f"{content.decode()}.{b64(mac)}")


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "nOnE", ""])
def test_without_a_signature(algorithm: str) -> None:
    assert "not with RS256" in refusal(f"{signing_input(HEADER | {'alg': algorithm}).decode()}.")
    assert "signature" in refusal(f"{signing_input().decode()}.")


def test_a_key_of_one_algorithm_checks_no_other() -> None:
    token = jwt.encode(CLAIMS, private_key(1), "RS512", {"kid": "key-1"})
    assert "signature" in refusal(token, keys(public_jwk(1, alg="RS256")))


def test_two_keys_of_one_id() -> None:
    assert user(signed(), keys(public_jwk(2, kid="key-1"), public_jwk(1))) == "alice"


def small(bits: int) -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return RSAAlgorithm.to_jwk(key.public_key(), as_dict=True) | {"kid": "key-1"}


def exponent(e: int) -> dict[str, Any]:
    return public_jwk(1, e=b64(e.to_bytes((e.bit_length() + 7) // 8 or 1)))


def modulus(n: int) -> dict[str, Any]:
    return public_jwk(1, n=b64(n.to_bytes((n.bit_length() + 7) // 8)))


UNUSABLE: dict[str, Any] = {
    "an elliptic curve": {"kty": "EC", "kid": "key-1", "crv": "P-256", "x": "AA", "y": "AA"},
    "a secret": {"kty": "oct", "kid": "key-1", "k": "c2VjcmV0"},
    "a secret with a modulus": public_jwk(1, kty="oct"),
    "no type": {name: value for name, value in public_jwk(1).items() if name != "kty"},
    "for encryption": public_jwk(1, use="enc"),
    "for an unknown use": public_jwk(1, use="tls"),
    "to encrypt": public_jwk(1, key_ops=["encrypt"]),
    "operations that are a text": public_jwk(1, key_ops="verify"),
    "no id": {name: value for name, value in public_jwk(1).items() if name != "kid"},
    "an id that is a number": public_jwk(1, kid=1),
    "1,024 bits": small(1024),
    "2,047 bits": modulus((1 << 2046) + 1),
    "8,193 bits": modulus((1 << 8192) + 1),
    "an even modulus": modulus(1 << 2047),
    "exponent 0": exponent(0),
    "exponent 1, which signs by itself": exponent(1),
    "exponent 2": exponent(2),
    "an even exponent": exponent(65536),
    "an endless exponent": exponent((1 << 256) + 1),
    "no modulus": {name: value for name, value in public_jwk(1).items() if name != "n"},
    "a modulus that is a number": public_jwk(1, n=7),
    "a modulus with padding": public_jwk(1, n=public_jwk(1)["n"] + "=="),
    "a text": "key-1",
    "nothing": None,
}


@pytest.mark.parametrize("jwk", UNUSABLE.values(), ids=UNUSABLE)
def test_keys_that_check_nothing(jwk: Any) -> None:
    assert keys_in({"keys": [jwk]}) == []
    assert len(keys_in({"keys": [jwk, public_jwk(2)]})) == 1


@pytest.mark.parametrize("document", [None, [], "keys", {}, {"keys": None}, {"keys": {"kid": 1}}])
def test_a_list_of_keys_that_is_none(document: Any) -> None:
    assert keys_in(document) == []


def test_what_else_a_key_may_say() -> None:
    listed = public_jwk(1, key_ops=["verify"], x5c=["MII"], x5t="x")
    del listed["use"]
    assert user(signed(), keys(listed)) == "alice"


# ----------------------------------------------------------------------- signatures that are almost right


def signature_of(block: bytes, key: rsa.RSAPrivateKey) -> bytes:
    """What the owner of a key would sign to get a block, whatever is in it."""
    private = key.private_numbers()
    n = private.public_numbers.n
    return pow(int.from_bytes(block), private.d, n).to_bytes((n.bit_length() + 7) // 8)


def token_of(block: bytes) -> str:
    return f"{signing_input().decode()}.{b64(signature_of(block, private_key(1)))}"


SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
DIGEST = hashlib.sha256(signing_input()).digest()


def block(content: bytes, start: bytes = b"\x00\x01", fill: bytes = b"\xff", zero: bytes = b"\x00") -> bytes:
    return start + fill * (256 - len(start) - len(zero) - len(content)) + zero + content


def test_the_right_block() -> None:
    assert user(token_of(block(SHA256 + DIGEST))) == "alice"


ALMOST = {
    "another hash": block(SHA256 + hashlib.sha256(b"other").digest()),
    "no name of the hash": block(DIGEST),
    "the name of SHA-1": block(bytes.fromhex("3021300906052b0e03021a05000414") + DIGEST[:20]),
    "the name of SHA-512": block(bytes.fromhex("3051300d060960864801650304020305000440") + DIGEST * 2),
    "the name of SHA-384 before a hash of SHA-256": block(
        bytes.fromhex("3041300d060960864801650304020205000430") + DIGEST
    ),
    "no parameters": block(bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + DIGEST),
    "a long form of a length": block(bytes.fromhex("308131300d060960864801650304020105000420") + DIGEST),
    "an indefinite length": block(bytes.fromhex("3080300d060960864801650304020105000420") + DIGEST + b"\0\0"),
    "parameters with something in them": block(
        bytes.fromhex("3033300f060960864801650304020105020000" + "0420") + DIGEST
    ),
    "something after the hash": b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256 + DIGEST + b"\xaa" * 194,
    "zeros after the hash": b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256 + DIGEST + b"\x00" * 194,
    "no filling": b"\x00\x01\x00" + SHA256 + DIGEST + b"\xff" * 202,
    "block type 0": block(SHA256 + DIGEST, start=b"\x00\x00", fill=b"\x00"),
    "block type 2": block(SHA256 + DIGEST, start=b"\x00\x02"),
    "a filling of something else": block(SHA256 + DIGEST, fill=b"\xfe"),
    "one byte of the filling changed": block(SHA256 + DIGEST).replace(b"\xff" * 9, b"\xff" * 8 + b"\xfe", 1),
    "a zero in the filling": block(SHA256 + DIGEST).replace(b"\xff" * 9, b"\xff" * 8 + b"\x00", 1),
    "no zero after the filling": block(SHA256 + DIGEST, zero=b"\xff"),
    "two zeros after the filling": block(SHA256 + DIGEST, zero=b"\x00\x00"),
    "only the hash": DIGEST.rjust(256, b"\x00"),
    "nothing but zeros": bytes(256),
    "one": b"\x01".rjust(256, b"\x00"),
}


@pytest.mark.parametrize("content", ALMOST.values(), ids=ALMOST)
def test_a_signature_of_almost_the_right_block(content: bytes) -> None:
    assert len(content) == 256
    assert "signature" in refusal(token_of(content))


@cache
def cubic() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=3, key_size=2048)


def test_a_forged_cube_is_refused() -> None:
    """Bleichenbacher's forgery of 2006: with e = 3, a cube root begins as it should, and ends in rubbish."""
    wanted = b"\x00\x01" + b"\xff" * 8 + b"\x00" + SHA256 + DIGEST
    root = cube_root(int.from_bytes(wanted.ljust(256, b"\xff")))
    assert (root**3).to_bytes(256).startswith(wanted)
    forged = f"{signing_input().decode()}.{b64(root.to_bytes(256))}"
    known = [Key("key-1", "RS256", **numbers(cubic()))]
    assert user(signed(key=cubic()), known) == "alice"
    assert "signature" in refusal(forged, known)


def cube_root(number: int) -> int:
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**3 <= number else (low, middle - 1)
    return low


def raw(token: str) -> tuple[str, bytes]:
    content, _, signature = token.rpartition(".")
    return content, base64.urlsafe_b64decode(signature + "==")


def found(condition: Callable[[bytes], bool]) -> tuple[str, bytes]:
    """A token whose signature meets a condition: its signing input, and the signature."""
    tokens = (raw(claiming(jti=number)) for number in range(20_000))
    return next((content, signature) for content, signature in tokens if condition(signature))


def test_a_signature_has_the_length_of_the_modulus() -> None:
    content, signature = raw(signed())
    for other in (b"\x00" + signature, signature + b"\x00", signature[:-1], signature * 2, b"\x00", b""):
        assert "signature" in refusal(f"{content}.{b64(other)}")


def test_a_zero_at_the_beginning_belongs_to_the_signature() -> None:
    content, signature = found(lambda signature: signature[0] == 0)
    assert user(f"{content}.{b64(signature)}") == "alice"
    assert "signature" in refusal(f"{content}.{b64(signature[1:])}")


def test_a_signature_is_smaller_than_the_modulus() -> None:
    n = numbers(private_key(1))["n"]
    content, signature = found(lambda signature: int.from_bytes(signature) + n < 1 << 2048)
    assert user(f"{content}.{b64(signature)}") == "alice"
    assert "signature" in refusal(f"{content}.{b64((int.from_bytes(signature) + n).to_bytes(256))}")
    assert "signature" in refusal(f"{content}.{b64(n.to_bytes(256))}")
    negative = (n - int.from_bytes(signature)).to_bytes(256)
    assert "signature" in refusal(f"{content}.{b64(negative)}")


# ------------------------------------------------------------------------------- a second opinion


def test_pyjwt_agrees() -> None:
    """On 500 tokens at random, near the limits of time, with right and wrong claims, keys and signatures."""
    dice = random.Random(20261128)
    known = keys(any_algorithm(1), any_algorithm(2))
    agreed = {True: 0, False: 0}
    for _ in range(500):
        now = int(time.time())
        token = random_token(dice, now)
        mine, theirs = is_accepted(token, known, now), pyjwt_accepts(token)
        assert mine == theirs, token
        agreed[mine] += 1
    assert min(agreed.values()) > 100


def random_token(dice: random.Random, now: int) -> str:
    """A token with at most a few things wrong."""
    claims: dict[str, Any] = CLAIMS | {"iat": now, "exp": now + 3600}
    claims["sub"] = "".join(dice.choices("abc@.#% äß漢🌳", k=dice.randint(1, 40))) + "x"
    for name, values in {
        "exp": [-3600, -70, -50, 10, 3600],
        "nbf": [-3600, 0, 50, 70],
        "iat": [-3600, 0, 50, 70],
    }.items():
        if dice.random() < 0.4:
            claims[name] = now + dice.choice(values)
    if dice.random() < 0.4:
        claims["aud"] = dice.choice(["impact-page", ["a", "impact-page"], ["a"], [], "other", "impact-pag"])
    if dice.random() < 0.1:
        claims["iss"] = dice.choice([TERMS.issuer + "/", "", "https://other.example"])
    if dice.random() < 0.1:
        del claims[dice.choice(["exp", "iss", "aud", "iat"])]
    number = dice.choice([1, 1, 1, 2])
    signer = number if dice.random() < 0.9 else 3 - number
    token = jwt.encode(claims, private_key(signer), dice.choice(list(HASHES)), {"kid": f"key-{number}"})
    if dice.random() < 0.1:
        at = dice.randrange(len(token) - 342, len(token) - 1)
        token = token[:at] + dice.choice("AZaz09-_") + token[at + 1 :]
    return token


def is_accepted(token: str, known: list[Key], now: int) -> bool:
    try:
        return bool(user(token, known, now=now))
    except InvalidToken:
        return False


def pyjwt_accepts(token: str) -> bool:
    key = private_key(int(jwt.get_unverified_header(token)["kid"][-1])).public_key()
    options: Any = {"require": ["exp", "iss", "aud"]}
    audience, issuer = TERMS.audience, TERMS.issuer
    try:
        jwt.decode(token, key, list(HASHES), options, audience=audience, issuer=issuer, leeway=60)
    except jwt.InvalidTokenError:
        return False
    return True


def test_it_starts_fast() -> None:
    """No network, no AWS: these are imported by a function that answers before each request."""
    program = "import sys, impact.oidc; print(*sys.modules)"
    environment = {"PYTHONPATH": f"{FUNCTIONS}:{FUNCTIONS.parent}/layers/callback"}
    loaded = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert {"ssl", "socket", "http.client", "urllib.request", "pydantic", "botocore"}.isdisjoint(
        loaded.stdout.split()
    )
