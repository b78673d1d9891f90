"""Time of single calls of the callback on the event loop, while its sender delivers.

Run by the proxy's Python, because it loads the real handler. Prints lists of microseconds as JSON: calls in a
row; calls between which the loop does other work, as a proxy's does; in that second loop a yardstick,
`json.dumps` of one event, because everything takes longer on a busy machine; the check before a call; and
what the hook of streams adds to each part.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

from litellm_callbacks import proxy_handler_instance as handler
from request_events.capture import capture

CALLS = 4000
TEXT = json.dumps({"messages": ["some text"] * 100})
FOLDER = Path(__file__).resolve().parents[2] / "tests/unit/callback/payloads"
PAYLOADS = [json.loads(path.read_text())["kwargs"] for path in sorted(FOLDER.glob("*_async_*.json"))]
EVENT = capture(PAYLOADS[0])


async def report(number: int) -> float:
    """Report one request; return the microseconds."""
    kwargs = PAYLOADS[number % len(PAYLOADS)] | {"litellm_call_id": f"call-{number}"}
    start = time.perf_counter()
    await handler.async_log_success_event(kwargs=kwargs, response_obj=None, start_time=None, end_time=None)
    return (time.perf_counter() - start) * 1e6


async def dump() -> float:
    """Run the yardstick; return the microseconds."""
    start = time.perf_counter()
    json.dumps(EVENT)
    return (time.perf_counter() - start) * 1e6


BODY = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "Hello"}],
    "stream": True,
    "additional_drop_params": ["temperature"],
    "extra_body": {"top_k": 3},
}
PARTS = 500


async def check() -> float:
    """Run the check before a call; return the microseconds."""
    start = time.perf_counter()
    await handler.async_pre_call_hook(user_api_key_dict=None, cache=None, data=BODY, call_type="acompletion")
    return (time.perf_counter() - start) * 1e6


async def parts() -> AsyncIterator[int]:
    for part in range(PARTS):
        yield part


async def added_to_a_part() -> float:
    """Return the microseconds that the hook of streams adds to a part of a stream."""
    start = time.perf_counter()
    async for _ in parts():
        pass
    middle = time.perf_counter()
    async for _ in handler.async_post_call_streaming_iterator_hook(
        user_api_key_dict=None, response=parts(), request_data={}
    ):
        pass
    return ((time.perf_counter() - middle) - (middle - start)) * 1e6 / PARTS


async def other_work() -> None:
    """Work for a millisecond, as a proxy's loop does between two calls: it uses the caches and the GIL."""
    end = time.perf_counter() + 0.001
    while time.perf_counter() < end:
        json.loads(TEXT)
        await asyncio.sleep(0)


async def main() -> None:
    in_a_row: list[float] = []
    between: list[float] = []
    yardstick: list[float] = []
    for number in range(CALLS):
        in_a_row.append(await report(number))
        await asyncio.sleep(0)
    for number in range(CALLS, 2 * CALLS):
        await other_work()
        between.append(await report(number))
        await other_work()
        yardstick.append(await dump())
    checks = [await check() for _ in range(CALLS)]
    added = [await added_to_a_part() for _ in range(CALLS // 10)]
    json.dump([in_a_row, between, yardstick, checks, added], sys.stdout)


asyncio.run(main())
