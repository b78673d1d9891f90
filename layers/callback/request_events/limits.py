"""What a RequestEvent may hold: the sender keeps to it, the service insists on it."""

import re

UNKNOWN = "unknown"
"""Stands for a user or a provider that nobody could tell."""

USER_ID_MAX = 256
EVENT_ID_MAX = 128
MODEL_MAX = 256
PROVIDER_MAX = 64
SOURCE_MAX = 64
TIER_MAX = 32
LABEL_MAX = 256
"""Longest callType, modelGroup, teamId, keyAlias, conversationId, errorCode or single tag, in characters."""
TAGS_MAX = 50
TOKENS_MAX = 10**12
SECONDS_MAX = 10**7
COST_MAX = 10**9
DIGITS_MAX = 38
"""Significant digits that a DynamoDB number holds, and the decimal places that we take."""

AHEAD_SECONDS = 300
"""How far the time of an event may be ahead of the service's clock."""

UNFILLED = r"\{\{[^{}]*\}\}"
"""A regular expression: what in an id says that nobody filled in its template."""
_PLACEHOLDER = re.compile(UNFILLED)


def is_unfilled(text: str) -> bool:
    """Tell a template that nobody filled in, such as `{{LIBRECHAT_USER_ID}}`."""
    return "{{" in text and _PLACEHOLDER.search(text) is not None


def names_someone(text: str) -> bool:
    """Tell whether an id says anything: it is neither blank nor an unfilled template."""
    return bool(text.strip()) and not is_unfilled(text)
