"""`make demo KEEP=1`: it says where to look, and Ctrl-C is its end, not a failure."""

import os
import signal
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from impact.store import Store
from local.demo import page
from local.demo.page import Stopped, wait_for_interrupt, where_to_look


def test_it_says_the_address_the_token_and_a_link(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page, "store_of", lambda session, name: store)
    stack: Any = SimpleNamespace(
        session=None, name="impact", api_url="http://localhost:3090", read_token="the-read-token"
    )
    text = where_to_look(stack)
    assert "http://localhost:3090/\n" in text
    assert "the-read-token" in text
    [link] = [line.strip() for line in text.splitlines() if "/me#" in line]
    assert link.startswith("http://localhost:3090/me#impact-link.")
    assert "Ctrl-C" in text


def test_ctrl_c_ends_it() -> None:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(Stopped):
        wait_for_interrupt()
