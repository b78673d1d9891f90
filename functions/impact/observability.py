"""Logs and metrics. Neither ever holds a user id, a token or what a request said."""

from aws_lambda_powertools import Logger, Metrics

logger = Logger()
metrics = Metrics()
