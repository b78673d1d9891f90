"""Logs and metrics. Neither holds a user id, a token or a prompt."""

import warnings
from collections.abc import Mapping

from aws_lambda_powertools import Logger, Metrics, single_metric
from aws_lambda_powertools.metrics import MetricUnit

logger = Logger()
metrics = Metrics()


# An invocation that has nothing to emit is no mistake.
warnings.filterwarnings("ignore", "No application metrics to publish*")


def emit(name: str, value: float, unit: MetricUnit = MetricUnit.Count) -> None:
    """Emit a metric of the stack, unless it is 0: CloudWatch bills a metric for each hour with a value."""
    if value:
        metrics.add_metric(name, unit, value)


def emit_by(name: str, dimension: str, counts: Mapping[str, int]) -> None:
    """Emit a count for each value of a dimension. CloudWatch bills each value as a metric."""
    for value, count in counts.items():
        stack = {"service": metrics.service or ""}
        with single_metric(name, MetricUnit.Count, count, default_dimensions=stack) as metric:
            metric.add_dimension(dimension, value)
