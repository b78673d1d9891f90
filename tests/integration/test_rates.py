"""The rates function: the schedule updates the fx rates, and what is wrong fails the run."""

import json
from decimal import Decimal
from typing import Any

import pytest

from impact.store import Store
from local.fake_ecb import published, serving
from rates import app
from tests.integration.conftest import Handler
from tests.integration.test_fx_update import rates

SCHEDULED = {"source": "aws.scheduler", "detail-type": "Scheduled Event", "detail": "{}"}


@pytest.mark.parametrize("event", [{}, SCHEDULED])
def test_the_schedule_updates(rates_handler: Handler, event: Any) -> None:
    first = rates_handler(event)
    assert (first["from"], first["to"]) == ("2025-10-17", "2026-11-20")
    assert first["stored"] == len(published("2025-10-17", "2026-11-20"))
    assert rates_handler(event) == {"stored": 0}


def metric(printed: str, name: str) -> Any:
    lines = [json.loads(line) for line in printed.splitlines() if '"_aws"' in line]
    return [line[name] for line in lines if name in line]


def test_what_is_wrong_fails_the_run_after_storing_the_rest(
    store: Store, rates_handler: Handler, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with serving() as server:
        monkeypatch.setattr(app, "rates_url", server.url)
        server.publish(published("2026-08-24", "2026-11-19") | {"2026-11-20": Decimal("1.9")})
        with pytest.raises(app.RatesIncomplete, match=r"2026-11-20: 1\.9 is more than 20% .* no rate known"):
            rates_handler({})
    assert max(rates(store)) == "2026-11-19"
    printed = capsys.readouterr().out
    assert metric(printed, "RatesStored") == [[float(len(rates(store)))]]
    assert metric(printed, "RatesKeptOut") == [[1.0]]
    odd = {"date": "2026-11-20", "usd": "1.9"}
    assert rates_handler(odd)["stored"] == 0
    assert rates_handler(odd | {"confirm": True})["stored"] == 1
