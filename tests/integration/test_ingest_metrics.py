"""The metrics of the ingest function, read from what it prints."""

from typing import Any

import pytest

from request_events.event import FIELDS
from tests.events import event
from tests.integration.conftest import Post
from tests.metrics import emitted, values


def test_ingest_emits_the_outcome_of_each_event(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = event(), event(eventId="bad", tokens_in=-1, latency=-1)
    unpriced = event(eventId="unpriced", costUSD=None, model="nobody-knows-it", prompt="secret")
    post([good, good, unpriced, bad, bad | {"userId": ""}, event(ts="2020-01-01T00:00:00Z"), "no object"])
    out = capsys.readouterr().out
    assert values(out) == {
        "Accepted": 2,
        "Duplicate": 1,
        "Rejected": 4,
        "Unpriced": 1,
        "Unrated": 1,
        "UnknownFields": 1,
    }
    by_field = {field: values(out, field=field) for field in ("tokens_in", "userId", "ts", "event")}
    assert by_field == {field: {"Rejected": 1} for field in by_field}
    assert "alice" not in out
    assert "secret" not in out


def test_a_request_that_is_rejected_as_a_whole_is_reported(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    post(b"{")
    assert values(capsys.readouterr().out) == {"RequestsRefused": 1}


def test_no_sender_can_make_metrics_up(post: Post, capsys: pytest.CaptureFixture[str]) -> None:
    """Each is paid for: whatever is sent, there is one a field of the contract at most, and one more."""
    nonsense: list[Any] = [{f"made-up-{n}": n} for n in range(20)]
    nonsense += [event(**{name: {"made-up": [name]}}) for name in sorted(FIELDS)]
    nonsense += [
        event(tags=["fine", {"made-up": 1}]),
        event(model="m" * 300),
        event(tags=["x" * 9000]),
        7,
        [],
    ]
    post(nonsense)
    divided = [dict(metric.dimensions) for metric, _, _ in emitted(capsys.readouterr().out)]
    fields = {dimensions["field"] for dimensions in divided if "field" in dimensions}
    assert len(fields) > 20
    assert fields <= FIELDS | {"event"}
    assert {dimensions["service"] for dimensions in divided} == {"impact"}
