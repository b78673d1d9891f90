"""Time from a response until LiteLLM calls the callback, by the number of clients.

`python -m tests.crashes.window` (a minute). A proxy with one worker and no service; nothing is killed.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from local.fake_providers import running_provider
from local.stack import free_port
from tests.crashes.clients import PLAIN, STREAM, Load, clients
from tests.crashes.oracle import Hooks
from tests.crashes.probed_proxy import probed_proxy, window

CLIENTS = (1, 4, 16, 64)
ANSWERS = 400
SECONDS = 300.0


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="window-") as name:
        folder = Path(name)
        with (
            running_provider(free_port(), folder / "provider.log") as provider,
            probed_proxy(folder, provider, f"http://127.0.0.1:{free_port()}", "token") as proxy,
        ):
            proxy.wait_until_ready()
            loads = {number: Load(f"clients-{number}", proxy, number, (PLAIN, STREAM)) for number in CLIENTS}
            for number, load in loads.items():
                with clients(load, number):
                    load.wait_for(ANSWERS, SECONDS)
        hooks = Hooks.read(folder / "journal")
        for number, load in loads.items():
            print(f"{number:>3} clients: {window(load.answered, hooks)}")


if __name__ == "__main__":
    main()
