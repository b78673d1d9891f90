"""What an event costs: consumed capacity, as AWS's own engine computes it."""

import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from impact.billing import Terms
from impact.calendar import timestamp
from impact.footprint import Footprints
from impact.fx_conversion import euro_fields
from impact.fx_rates import FxRates
from impact.keys import shard_of
from impact.ledger_entry import EventRejected, LedgerEntry, item_size
from impact.recompute import recompute
from impact.store import Store
from request_events.capture import capture
from tests.conftest import DYNAMODB_LOCAL_URL
from tests.events import NOON, entry_builder, event
from tests.rates import BEFORE_NOON

pytestmark = pytest.mark.skipif(
    not DYNAMODB_LOCAL_URL, reason="needs AWS's own engine: set DYNAMODB_LOCAL_URL to a DynamoDB Local"
)

BUILDER = entry_builder()
PAYLOADS = sorted((Path(__file__).parents[1] / "unit" / "callback" / "payloads").glob("*.json"))


class Meter:
    """Adds up the capacity units that a client's calls consume, by operation."""

    def __init__(self, client: Any):
        self.units: dict[str, float] = {}
        client.meta.events.register("before-parameter-build.dynamodb", self._ask)
        client.meta.events.register("after-call.dynamodb", self._read)

    def _ask(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        if "ReturnConsumedCapacity" in model.input_shape.members:
            params["ReturnConsumedCapacity"] = "TOTAL"

    def _read(self, parsed: dict[str, Any], model: Any, **_: Any) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        for each in consumed if isinstance(consumed, list) else [consumed]:
            self.units[model.name] = self.units.get(model.name, 0) + each["CapacityUnits"]

    def units_used(self) -> dict[str, float]:
        used, self.units = self.units, {}
        return used


@pytest.fixture
def meter(store: Store) -> Meter:
    return Meter(store.client)


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_an_event_as_it_is_met_costs_one_write_unit(store: Store, meter: Meter, path: Path) -> None:
    payload = json.loads(path.read_text())
    captured = capture(payload["kwargs"])
    if captured is None:
        pytest.skip("no event is due for this one")
    raw = json.loads(json.dumps(captured), parse_float=Decimal)
    store.ledger.append(enriched(BUILDER.build(raw | {"ts": timestamp(NOON)}, NOON)).item)
    assert meter.units_used() == {"PutItem": 1}


def test_the_largest_event_costs_two(store: Store, meter: Meter) -> None:
    assert enriched(largest()) == largest()  # what the service would add has no room
    store.ledger.append(largest().item)
    assert meter.units_used() == {"PutItem": 2}


def enriched(entry: LedgerEntry) -> LedgerEntry:
    """Add what ingest adds."""
    footprint = Footprints({}, None).of(entry.item)
    rates = FxRates({BEFORE_NOON.date: BEFORE_NOON.usd})
    return entry.with_fields(footprint).with_fields(euro_fields(entry.item, rates))


def largest() -> LedgerEntry:
    """Fill an event up to the last byte that the ledger accepts."""
    ids = {"userId": "#" * 256, "eventId": "e" * 128, "model": "m" * 256}
    for length in range(256, 0, -1):
        try:
            return BUILDER.build(event(**ids, tags=["t" * length], conversationId="c" * length), NOON)
        except EventRejected:
            continue
    raise AssertionError("no event of that kind fits")


def test_the_ledger_computes_sizes_as_dynamodb_does(store: Store, meter: Meter) -> None:
    """A second write unit begins after 1,024 bytes: an estimate that is off would show there."""
    seen = set()
    for length in range(150, 257, 2):
        fields = {"model": "m" * length, "keyAlias": "k" * 250, "tags": ["é", "x"], "stream": True}
        item = BUILDER.build(event(eventId=str(length), conversationId="c" * 256, **fields), NOON).item
        store.ledger.append(item)
        units = meter.units_used()["PutItem"]
        # Ours may be some bytes too many (of a number's two digits a byte), never too few.
        assert 1024 * (units - 1) < item_size(item) <= 1024 * units + 8
        seen.add(units)
    assert seen == {1, 2}


def test_what_a_rollup_costs_an_event(store: Store, meter: Meter, capsys: pytest.CaptureFixture[str]) -> None:
    shard = shard_of("alice", 4)
    users = [user for user in (f"u{n}" for n in range(200)) if shard_of(user, 4) == shard][:20]
    events = 2000
    for n in range(events):
        store.ledger.append(
            enriched(BUILDER.build(event(userId=users[n % 20], eventId=f"chatcmpl-{n:032d}"), NOON)).item
        )
    meter.units_used()
    recompute(store, BUILDER.calendar, Terms(), "2026-11-23", shard, as_of=NOON)
    units = meter.units_used()
    with capsys.disabled():
        sys.stderr.write(f"\na rollup of {events} events of 20 users consumed {units}\n")
    assert units["Query"] / events < 0.1  # half a read unit for 4 KB: about a tenth of one an event
    # Each user's summary with its index entry, the total, and the rows of the dimensions (up to 2 KB).
    assert units["PutItem"] <= 20 * 2 + 1 + 2
