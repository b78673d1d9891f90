"""The limits of an event, and of a POST of events: the callback keeps them, the service enforces them."""

import re

EVENTS_MAX = 500  # events in one POST
BODY_BYTES_MAX = 1024 * 1024  # bytes of one POST's body
EVENT_BYTES_MAX = 2048  # bytes of an event in the ledger, with its keys: two write units of DynamoDB
AHEAD_SECONDS = 300  # how far `ts` may be ahead of the service's clock

# Lengths in characters.
USER_ID_MAX = 256
EVENT_ID_MAX = 128
MODEL_MAX = 256
PROVIDER_MAX = 64
SOURCE_MAX = 64
TIER_MAX = 32
LABEL_MAX = 256  # of each of LABELS, and of a single tag
TAGS_MAX = 50  # tags of one event
TOKENS_MAX = 10**12
SECONDS_MAX = 10**7
COST_MAX = 10**9
DIGITS_MAX = 38  # significant digits of a DynamoDB number, and decimal places that the service takes

LABELS = ("conversationId", "modelGroup", "keyAlias", "teamId", "errorCode", "callType")
"""The event's labels, the most dispensable one first."""

UNKNOWN = "unknown"  # the user or provider of an event that names none

UNFILLED = r"\{\{[^{}]*\}\}"  # a regular expression: matches a template's placeholder that nobody filled in
_PLACEHOLDER = re.compile(UNFILLED)


def is_unfilled(text: str) -> bool:
    """Whether a text holds a placeholder that nobody filled in, such as `{{LIBRECHAT_USER_ID}}`."""
    return "{{" in text and _PLACEHOLDER.search(text) is not None


def names_someone(text: str) -> bool:
    """Whether an id is neither blank nor an unfilled template."""
    return bool(text.strip()) and not is_unfilled(text)


def is_somebody(user_id: str) -> bool:
    """Whether a user id can be a person's: no blank, no unfilled template, not that of unnamed requests."""
    return names_someone(user_id) and user_id != UNKNOWN
