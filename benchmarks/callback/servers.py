"""The provider and the ingest for a proxy: `python -m benchmarks.callback.servers <kind>`.

Each prints its port. `provider` responds to chat completions at once. `ingest [seconds]` responds as the
service does, after so many seconds, and lists at GET /received which events came, and how often.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Awaitable, Callable

Handler = Callable[[str, bytes], Awaitable[bytes]]

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1795418609,
    "model": "gpt-4o",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there"}}
    ],
    "usage": {"prompt_tokens": 1200, "completion_tokens": 300, "total_tokens": 1500},
}


async def provider(line: str, body: bytes) -> bytes:
    return json.dumps(COMPLETION).encode()


class Ingest:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.received: Counter[str] = Counter()

    async def __call__(self, line: str, body: bytes) -> bytes:
        if line.startswith("GET"):
            return json.dumps(self.received).encode()
        await asyncio.sleep(self.seconds)
        events = json.loads(body)
        new = len(self.received)
        # LiteLLM's own sender posts its payloads, which have a call id and a status too.
        self.received.update(
            event.get("eventId") or f"{event.get('litellm_call_id')}:{event.get('status')}"
            for event in events
        )
        created = len(self.received) - new
        return json.dumps({"created": created, "duplicates": len(events) - created, "rejected": []}).encode()


async def serve(handler: Handler) -> None:
    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                line, *headers = head.decode("latin-1").split("\r\n")
                lengths = (h.partition(":")[2] for h in headers if h.lower().startswith("content-length:"))
                body = await reader.readexactly(int(next(lengths, "0")))
                response = await handler(line, body)
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                    % (len(response), response)
                )
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=2**24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    kind, *seconds = sys.argv[1:]
    asyncio.run(serve(provider if kind == "provider" else Ingest(float(seconds[0]))))
