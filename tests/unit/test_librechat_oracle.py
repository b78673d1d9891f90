"""The judge of `make librechat`: what it lets pass, and what it never does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from local import PROJECT
from tests.librechat.environment import NEEDED, missing
from tests.librechat.oracle import Asked, Ending, due, found, tokens_counted, tokens_estimated, wrong_prices

MODEL = {"provider": "openai", "model": "gpt-4o-mini"}


def served(call: str, streamed: bool = True, status: int = 200) -> dict[str, Any]:
    tokens = {"tokens_in": 9, "tokens_out": 4} if status == 200 else NO_TOKENS
    return {**MODEL, **tokens, "call": call, "user": "u", "streamed": streamed, "status": status}


def event(conversation: str | None, **more: Any) -> dict[str, Any]:
    common = {
        "eventId": "e",
        "status": "success",
        "tokens_in": 9,
        "tokens_out": 4,
        "costUSD": 1,
        "stream": True,
    }
    return {**MODEL, **common, "userId": "u", "conversationId": conversation, **more}


NO_TOKENS = {"tokens_in": 0, "tokens_out": 0}
GIVEN_UP = {**NO_TOKENS, "errorCode": "499", "costUSD": None}
STOPPED = {"errorCode": "499", "estimated": True, "tokens_in": 7, "tokens_out": 1}
FAILED = {**NO_TOKENS, "errorCode": "529", "status": "failure", "costUSD": 0, "stream": None}

ASKED = [
    Asked("whole", "W"),
    Asked("given up", "G", Ending.GIVEN_UP),
    Asked("stopped", "S", Ending.STOPPED),
    Asked("by chance", "C", Ending.BY_CHANCE),
]
JOURNAL = [
    *(served("whole", status=529) for _ in range(3)),
    *(served("whole", status=529, streamed=False) for _ in range(2)),
    served("whole"),
    served("whole", streamed=False),
    served("given up"),
    served("stopped"),
    served("by chance"),
]
BUILDER = [
    event("W", **FAILED),
    event("W", **FAILED),
    event("W"),
    event("W", stream=None),
    event("G", **GIVEN_UP),
    event("S", **STOPPED),
    event("C", **STOPPED),
]


def test_all_is_well() -> None:
    assert found(BUILDER, ASKED) == due(JOURNAL, ASKED)
    assert wrong_prices(BUILDER) == []
    assert tokens_counted(JOURNAL, ASKED) == {"tokens_in": 18, "tokens_out": 8}
    assert tokens_estimated(BUILDER, ASKED) == {"tokens_in": 14, "tokens_out": 2}


@pytest.mark.parametrize("chance", [{}, GIVEN_UP, STOPPED])
def test_chance_may_end_it_otherwise(chance: dict[str, Any]) -> None:
    assert found([*BUILDER[:-1], event("C", **chance)], ASKED) == due(JOURNAL, ASKED)


@pytest.mark.parametrize("lost", range(len(BUILDER)))
def test_each_event_is_missed(lost: int) -> None:
    assert found([*BUILDER[:lost], *BUILDER[lost + 1 :]], ASKED) != due(JOURNAL, ASKED)


@pytest.mark.parametrize("doubled", BUILDER)
def test_no_event_may_be_there_twice(doubled: dict[str, Any]) -> None:
    assert found([*BUILDER, doubled], ASKED) != due(JOURNAL, ASKED)


@pytest.mark.parametrize(
    "other",
    [
        event("other"),
        event(None),
        event("W", userId="unknown"),
        event("W", tokens_in=8),
        event("W", tokens_out=5),
        event("W", model="gpt-4o"),
        event("W", provider="azure"),
        event("W", **STOPPED),
        event("W", **GIVEN_UP),
    ],
)
def test_another_event_does_not_stand_for_it(other: dict[str, Any]) -> None:
    assert found([*BUILDER[:2], other, *BUILDER[3:]], ASKED) != due(JOURNAL, ASKED)


@pytest.mark.parametrize(
    "wrong",
    [
        {**GIVEN_UP, "costUSD": 0},
        {**GIVEN_UP, "tokens_in": 9},
        {**STOPPED, "costUSD": None},
        {**FAILED, "costUSD": None},
        {"costUSD": 0},
        {"costUSD": None},
    ],
)
def test_a_wrong_price_is_named(wrong: dict[str, Any]) -> None:
    assert len(wrong_prices([event("W", **wrong)])) == 1


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    assert len(missing({})) == len(NEEDED)
    everything = dict.fromkeys(NEEDED, str(tmp_path / "file"))
    assert missing(everything) == [
        f"LIBRECHAT_STACK: there is no file {tmp_path}/file; is `make local` running?"
    ]
    (tmp_path / "file").touch()
    assert missing(everything) == []


def test_the_command_says_how_to_get_a_librechat() -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NEEDED}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.librechat"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert all(name in ran.stderr for name in [*NEEDED, "docs/librechat.md"])
