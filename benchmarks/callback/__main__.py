"""Throughput of a real LiteLLM proxy with the callback, relative to one without; and which events arrive."""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.callback.proxy import LITELLM, ROOT, Proxy, free_port, received, request, server

CLIENTS = 8
CALLBACK = "litellm_callbacks.proxy_handler_instance"
GENERIC = "generic_api"


@dataclass
class Variant:
    """A proxy under load."""

    name: str
    proxy: Proxy
    ingest: int | None = None
    served: int = 0
    ratios: list[float] = field(default_factory=list)
    """Requests a second, divided by those of the bare proxy just before and after."""
    cpu_ratios: list[float] = field(default_factory=list)
    """Processor time of a request, divided likewise. Other work on the machine affects it less."""
    memory: list[tuple[int, int]] = field(default_factory=list)
    """Number of served requests, and peak memory in bytes at that time."""

    def load(self, seconds: float) -> tuple[float, float]:
        """Put a load on the proxy. Return requests a second, and seconds of processor time a request."""
        counts: list[int] = []
        end = time.monotonic() + seconds
        threads = [threading.Thread(target=self._client, args=(end, counts)) for _ in range(CLIENTS)]
        start, cpu = time.monotonic(), self.proxy.cpu_seconds()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.served += sum(counts)
        self.memory.append((self.served, self.proxy.peak_memory()))
        used = self.proxy.cpu_seconds() - cpu
        return sum(counts) / (time.monotonic() - start), used / sum(counts)

    def _client(self, end: float, counts: list[int]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.proxy.port, timeout=60)
        count = 0
        while time.monotonic() < end:
            connection.request("POST", "/v1/chat/completions", *request())
            response = connection.getresponse()
            response.read()
            assert response.status == 200
            count += 1
        counts.append(count)
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.callback", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="pairs of each variant, at least 2 (8)")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="seconds of load on a proxy in each round (2)"
    )
    options = parser.parse_args()
    if not LITELLM.exists():
        sync = "UV_PROJECT_ENVIRONMENT=.venv-proxy .venv/bin/uv sync --frozen --only-group proxy"
        raise SystemExit(f"LiteLLM is missing: {sync}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        provider = stack.enter_context(server("provider"))
        quick, hung, generic = (stack.enter_context(server("ingest", s)) for s in ("0.05", "3600", "0.05"))

        loop_time(folder, quick)

        def variant(name: str, callback: str | None, ingest: int | None) -> Variant:
            url = f"http://127.0.0.1:{ingest or free_port()}/api/request-event"
            settings = {"IMPACT_SERVICE_URL": url, "GENERIC_LOGGER_ENDPOINT": url}
            callbacks = [callback] if callback else []
            proxy = Proxy(folder / name.replace(" ", "-"), provider, *callbacks, **settings)
            stack.callback(proxy.process.kill)
            return Variant(name, proxy, ingest)

        before = set(received(quick))
        bare = variant("no callback", None, None)
        variants = [
            variant("ingest takes 50 ms", CALLBACK, quick),
            variant("ingest hangs", CALLBACK, hung),
            variant("ingest is down", CALLBACK, None),
            variant("generic_api, 50 ms", GENERIC, generic),
            variant("generic_api, hangs", GENERIC, hung),
        ]
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda v: v.proxy.wait_until_ready(), [bare, *variants]))
        for each in [bare, *variants]:
            each.load(options.seconds)  # to warm up
        rates = compare(bare, variants, options.rounds, options.seconds)
        print(
            f"\nNo callback: {statistics.median(rates):.0f} requests/s at {CLIENTS} clients; beside it, with"
        )
        print(f"{'':26}{'throughput':>11}{'(quartiles)':>15}{'CPU':>9}{'memory':>9}   after SIGTERM")
        for each in variants:
            report(each, bare, before)


def compare(bare: Variant, variants: list[Variant], rounds: int, seconds: float) -> list[float]:
    """Load each variant between two loads of the bare proxy, in every round."""
    bare_loads = [bare.load(seconds)]
    for _ in range(rounds):
        for each in variants:
            rate, cpu = each.load(seconds)
            bare_loads.append(bare.load(seconds))
            (rate_before, cpu_before), (rate_after, cpu_after) = bare_loads[-2:]
            each.ratios.append(rate / statistics.mean([rate_before, rate_after]))
            each.cpu_ratios.append(cpu / statistics.mean([cpu_before, cpu_after]))
    return [rate for rate, _ in bare_loads]


def report(each: Variant, bare: Variant, before: set[str]) -> None:
    low, median, high = statistics.quantiles(each.ratios, n=4)
    served, memory = each.memory[-1]
    same = next((m for count, m in bare.memory if count >= served), bare.memory[-1][1])
    start = time.monotonic()
    each.proxy.stop(seconds=60)
    ended = time.monotonic() - start
    arrived = "no ingest"
    if each.ingest is not None:
        counts = {name: count for name, count in received(each.ingest).items() if name not in before}
        arrived = f"{len(counts)} of {served} arrived, {sum(counts.values()) - len(counts)} twice"
    kept = sum(len(p.read_bytes().splitlines()) for p in each.proxy.log.parent.glob("outbox/*.jsonl"))
    print(
        f"{each.name:26}{median:>11.3f}{f'({low:.2f}-{high:.2f})':>15}{statistics.median(each.cpu_ratios):>9.3f}"
        f"{f'{(memory - same) / 1e6:+.0f} MB':>9}   {arrived}, {kept} left in the outbox, in {ended:.1f} s"
    )


def loop_time(folder: Path, ingest: int) -> None:
    """Time single calls of the handler, in the proxy's Python, while the sender delivers."""
    environ = os.environ | {
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "IMPACT_SERVICE_URL": f"http://127.0.0.1:{ingest}/",
        "IMPACT_SERVICE_TOKEN": "benchmark",
        "IMPACT_OUTBOX": str(folder / "loop"),
    }
    python = LITELLM.parent / "python"
    command = [str(python), "-m", "benchmarks.callback.loop_time"]
    run = subprocess.run(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, check=True)
    names = (
        *("calls in a row", "calls between other work", "(json.dumps of one event there)"),
        *("the check before a call", "added to a part of a stream"),
    )
    print("Microseconds on the event loop:")
    for name, times in zip(names, json.loads(run.stdout), strict=True):
        cuts = statistics.quantiles(times, n=100)
        print(f"{name:33} p50 {cuts[49]:5.1f}, p99 {cuts[98]:5.1f}")


if __name__ == "__main__":
    main()
