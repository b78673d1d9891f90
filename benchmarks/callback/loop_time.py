"""How long one call of the callback takes on the event loop, while its courier delivers.

Run by the proxy's Python, since it loads the real handler. Prints the microseconds of each call as JSON, and
of a yardstick beside it, `json.dumps` of one event: on a machine that does other things both are longer.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from litellm_callbacks import proxy_handler_instance as handler
from request_events.capture import capture

CALLS = 4000
TEXT = json.dumps({"messages": ["some text"] * 100})
PAYLOADS = Path(__file__).resolve().parents[2] / "tests/unit/callback/payloads"


async def other_work() -> None:
    """What a proxy's loop does between two calls, for a millisecond: it has the caches and the GIL."""
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        json.loads(TEXT)
        await asyncio.sleep(0)


async def main() -> None:
    payloads = [json.loads(path.read_text())["kwargs"] for path in sorted(PAYLOADS.glob("*_async_*.json"))]
    event = capture(payloads[0])
    times: list[float] = []
    yardstick: list[float] = []
    for number in range(CALLS):
        kwargs = payloads[number % len(payloads)] | {"litellm_call_id": f"call-{number}"}
        start = time.perf_counter()
        await handler.async_log_success_event(
            kwargs=kwargs, response_obj=None, start_time=None, end_time=None
        )
        times.append((time.perf_counter() - start) * 1e6)
        await other_work()
        start = time.perf_counter()
        json.dumps(event)
        yardstick.append((time.perf_counter() - start) * 1e6)
        await other_work()
    json.dump([times, yardstick], sys.stdout)


asyncio.run(main())
