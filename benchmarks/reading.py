"""Requests, read units and time of the reading API, by the shards of a day: as it was, and as it is.

`python -m benchmarks.reading`. On DynamoDB Local where DYNAMODB_LOCAL_URL names one (the read units are its own
then), else on moto, whose times say little. The old way is written down here as it was.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import batched
from typing import Any
from unittest.mock import patch
from uuid import uuid4
from zoneinfo import ZoneInfo

os.environ |= {"AWS_DEFAULT_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
if url := os.environ.get("DYNAMODB_LOCAL_URL"):
    os.environ["AWS_ENDPOINT_URL_DYNAMODB"] = url
