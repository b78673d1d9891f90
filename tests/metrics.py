"""Reads the metrics that a function's log has for CloudWatch, in embedded metric format (EMF)."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Metric:
    """A metric's namespace, name and dimensions in CloudWatch."""

    namespace: str
    name: str
    dimensions: frozenset[tuple[str, str]]


def emitted(output: str) -> Iterator[tuple[Metric, str, float]]:
    """Yield each metric in the lines of a log, with its unit and value. None may be 0, which costs money."""
    for line in output.splitlines():
        blob = json.loads(line) if line.startswith('{"_aws"') else {}
        for directive in blob.get("_aws", {}).get("CloudWatchMetrics", []):
            for metric, unit, value in _of(blob, directive):
                assert value, f"{metric.name} is 0"
                yield metric, unit, value


def _of(blob: dict[str, Any], directive: dict[str, Any]) -> Iterator[tuple[Metric, str, float]]:
    for names in directive["Dimensions"]:
        dimensions = frozenset((name, blob[name]) for name in names)
        for metric in directive["Metrics"]:
            known = Metric(directive["Namespace"], metric["Name"], dimensions)
            yield from ((known, metric["Unit"], value) for value in blob[metric["Name"]])


def values(output: str, **dimensions: str) -> Counter[str]:
    """Add up the metrics in a log's lines that have exactly these dimensions, beside the stack's name."""
    wanted = frozenset(({"service": "impact"} | dimensions).items())
    sums: Counter[str] = Counter()
    for metric, _, value in emitted(output):
        if metric.dimensions == wanted:
            sums[metric.name] += value  # type: ignore[assignment]
    return sums


_FUNCTION: list[tuple[str, ...]] = [("FunctionName",)]
_TABLE: list[tuple[str, ...]] = [("TableName",)]
AWS_METRICS: dict[str, dict[str, list[tuple[str, ...]]]] = {
    # docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    "AWS/Lambda": {
        "Invocations": _FUNCTION,
        "Errors": _FUNCTION,
        "Throttles": _FUNCTION,
        "Duration": _FUNCTION,
        "ConcurrentExecutions": [*_FUNCTION, ()],
    },
    # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-metrics.html
    "AWS/ApiGateway": {name: [("ApiId",)] for name in ("4xx", "5xx", "Count", "Latency")},
    # docs.aws.amazon.com/amazondynamodb/latest/developerguide/metrics-dimensions.html
    "AWS/DynamoDB": {
        "ReadThrottleEvents": _TABLE,
        "WriteThrottleEvents": _TABLE,
        "ConsumedReadCapacityUnits": _TABLE,
        "ConsumedWriteCapacityUnits": _TABLE,
    },
    # docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    "AWS/SQS": {
        name: [("QueueName",)]
        for name in ("ApproximateNumberOfMessagesVisible", "ApproximateAgeOfOldestMessage")
    },
}
"""By namespace and name, the dimensions under which AWS documents those of its metrics that are used here."""
