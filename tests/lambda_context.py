"""What Lambda hands to a handler beside the event."""

from types import SimpleNamespace
from typing import Any

CONTEXT: Any = SimpleNamespace(
    function_name="ingest",
    memory_limit_in_mb=1024,
    invoked_function_arn="arn:aws:lambda:eu-central-1:0:function:ingest",
    aws_request_id="r-1",
    get_remaining_time_in_millis=lambda: 20_000,
)
