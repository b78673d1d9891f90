"""The stack's parameters, from the environment that template.yaml gives each function."""

import os
from datetime import timedelta
from decimal import Decimal
from hashlib import blake2b

from impact.billing import Terms
from impact.calendar import Settings
from impact.day_settings import parse_settings


def settings() -> Settings:
    """The settings of days that the parameters request. Raises InvalidSettings."""
    return parse_settings(
        os.environ.get("REPORTING_TIME_ZONE", "UTC"),
        retention_days=os.environ.get("RETENTION_DAYS", "400"),
        shard_count=os.environ.get("SHARD_COUNT", "16"),
    )


def retention() -> timedelta:
    return timedelta(days=int(os.environ.get("RETENTION_DAYS", "400")))


def service_id() -> str:
    """An id of this service, from its ledger's ARN, which no update changes."""
    ledger = os.environ.get("LEDGER_ARN") or os.environ["REQUEST_EVENTS_TABLE"]
    return blake2b(ledger.encode(), digest_size=8).hexdigest()


def terms() -> Terms:
    kg_per_m2 = os.environ.get("RESTORATION_KG_PER_M2")
    return Terms(
        markup_percent=Decimal(os.environ.get("MARKUP_PERCENT", "0")),
        restoration_fee_percent=Decimal(os.environ.get("RESTORATION_FEE_PERCENT", "0")),
        restoration_kg_per_m2=Decimal(kg_per_m2) if kg_per_m2 else None,
        restoration_source=os.environ.get("RESTORATION_SOURCE") or None,
    )


def electricity_zones() -> dict[str, str]:
    """Zone by LiteLLM provider, from `azure=SWE,bedrock=DEU`."""
    pairs = os.environ.get("ELECTRICITY_ZONES", "").split(",")
    return dict(pair.split("=", 1) for pair in pairs if pair)


def operator_country() -> str | None:
    return os.environ.get("OPERATOR_COUNTRY") or None
