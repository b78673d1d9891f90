"""How long one call of the callback takes on the event loop, while its courier delivers.

Run by the proxy's Python, since it loads the real handler: prints the microseconds of each call, as JSON.
"""

import asyncio
import json
import sys
import time
from pathlib import Path

from litellm_callbacks import proxy_handler_instance as handler

CALLS = 5000
PAYLOADS = Path(__file__).resolve().parents[2] / "tests/unit/callback/payloads"


async def main() -> None:
    payloads = [json.loads(path.read_text())["kwargs"] for path in sorted(PAYLOADS.glob("*_async_*.json"))]
    times: list[float] = []
    for number in range(CALLS):
        kwargs = payloads[number % len(payloads)] | {"litellm_call_id": f"call-{number}"}
        start = time.perf_counter()
        await handler.async_log_success_event(
            kwargs=kwargs, response_obj=None, start_time=None, end_time=None
        )
        times.append((time.perf_counter() - start) * 1e6)
        await asyncio.sleep(0.001)  # about 700 calls a second
    json.dump(times, sys.stdout)


asyncio.run(main())
