"""Share of events delivered despite failures: by the callback, and by LiteLLM's own sender, `generic_api`.

`python -m benchmarks.senders` (some four minutes). One real proxy has all senders at once, so all see the
same requests and the same end. Each sender has a service of its own, and all services fail in the same way.
`generic_api` runs twice: with its defaults, and with three retries. After each scenario the proxy is started
again.
"""

from __future__ import annotations

import argparse
import http.client
import json
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.callback.proxy import Proxy, request, server
from local.fault_proxy import DEAF, DOWN, HALF_503, UP, FaultProxy, Response, running_fault_proxy

CLIENTS = 8
PAUSE_SECONDS = 0.1
"""Pause of a client between two requests, so that the machine is not the limit."""
OURS, GENERIC, RETRYING = "the callback", "generic_api", "generic_api, 3 retries"
SENDERS = (OURS, GENERIC, RETRYING)


@dataclass(frozen=True)
class Scenario:
    """How the service fails while requests are made, and how the proxy ends."""

    name: str
    service: str
    end: signal.Signals = signal.SIGTERM
    under_load: bool = False


SCENARIOS = (
    Scenario("service well, then SIGTERM", UP),
    Scenario("service well, kill -9 under load", UP, signal.SIGKILL, under_load=True),
    Scenario("service down, then back", DOWN),
    Scenario("service hangs, then back", DEAF),
    Scenario("every other response a 503", HALF_503),
)


@dataclass
class Service:
    """Accepts events as the real service does, and counts how often each came, by its user."""

    times: Counter[str] = field(default_factory=Counter)

    def __call__(self, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        events: list[dict[str, Any]] = json.loads(body)
        new = sum(_user(event) not in self.times for event in events)
        self.times.update(map(_user, events))
        result = {"created": new, "duplicates": len(events) - new, "rejected": []}
        return 200, {"Content-Type": "application/json"}, json.dumps(result).encode()


def _user(event: Mapping[str, Any]) -> str:
    return str(event.get("userId") or event.get("end_user"))


class Load:
    """Clients that make requests until they are stopped; each request has a user of its own."""

    def __init__(self, proxy: Proxy, name: str) -> None:
        self.served: list[str] = []
        self._proxy, self._name = proxy, name
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _client(self, client: int) -> None:
        number = 0
        while not self._ended.wait(PAUSE_SECONDS):
            number += 1
            user = f"{self._name} {client}-{number}"
            connection = http.client.HTTPConnection("127.0.0.1", self._proxy.port, timeout=60)
            try:
                connection.request("POST", "/v1/chat/completions", *request(user))
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                self.served.append(user)
            except (OSError, http.client.HTTPException):  # killed
                continue
            finally:
                connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.senders",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=12.0,
        help="of load, and about as many to recover (12: `generic_api` sends every five)",
    )
    parser.add_argument("--scenarios", type=int, default=len(SCENARIOS), help="how many of them (all)")
    options = parser.parse_args()
    recovery = 1.25 * options.seconds  # from the end of the load, with the service up again, to SIGTERM
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(server("provider"))
        services = {sender: Service() for sender in SENDERS}
        proxies = {
            sender: stack.enter_context(running_fault_proxy(service)) for sender, service in services.items()
        }

        def boot() -> Proxy:
            proxy = _boot(folder, provider, proxies)
            stack.callback(proxy.process.kill)
            proxy.wait_until_ready()
            return proxy

        served: dict[str, list[str]] = {}
        for scenario in SCENARIOS[: options.scenarios]:
            print(f"{scenario.name} ...", flush=True)
            served[scenario.name] = play(scenario, boot(), proxies, options.seconds, recovery)
        last = boot()  # it delivers the events that are left
        time.sleep(recovery)
        last.stop()
        report(served, services)


def _boot(folder: Path, provider: int, proxies: Mapping[str, FaultProxy]) -> Proxy:
    return Proxy(
        folder,
        provider,
        "litellm_callbacks.proxy_handler_instance",
        "generic_api",
        "retrying",
        IMPACT_SERVICE_URL=proxies[OURS].url,
        GENERIC_LOGGER_ENDPOINT=proxies[GENERIC].url,
        RETRYING_LOGGER_ENDPOINT=proxies[RETRYING].url,
    )


def play(
    scenario: Scenario, proxy: Proxy, proxies: Mapping[str, FaultProxy], seconds: float, recovery: float
) -> list[str]:
    """Run one scenario; return the users whose requests had a response."""
    for fault_proxy in proxies.values():
        fault_proxy.mode = scenario.service
    load = Load(proxy, scenario.name)
    time.sleep(seconds)
    if scenario.under_load:
        proxy.process.send_signal(scenario.end)
        load.end()
        proxy.process.wait()
    else:
        load.end()
        for fault_proxy in proxies.values():
            fault_proxy.mode = UP
        if scenario.service != UP:
            time.sleep(recovery)
        proxy.stop(scenario.end)
    return load.served


def report(served: Mapping[str, list[str]], services: Mapping[str, Service]) -> None:
    print(f"\n{'':34}{'sender':24}{'served':>9}{'delivered':>10}{'lost':>6}{'twice':>8}")
    for scenario, users in served.items():
        for sender, service in services.items():
            times = [service.times[user] for user in users]
            name = scenario if sender == OURS else ""
            arrived = sum(map(bool, times))
            again = sum(times) - arrived  # repeated deliveries
            print(f"{name:34}{sender:24}{len(users):>9}{arrived:>10}{len(users) - arrived:>6}{again:>8}")


if __name__ == "__main__":
    main()
