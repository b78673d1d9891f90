"""What `impact deploy` says before it deploys: from which day on each changed parameter takes effect."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from itertools import pairwise

import click

from impact.calendar import Calendar, Period, Settings, day_before
from impact.day_settings import LEAD_TIME, effective_calendar, next_period
from impact.store import Store
from impact_cli.deployed_stack import settings_of

DAY_PARAMETERS = ("ShardCount", "ReportingTimeZone", "RetentionDays")
"""The parameters that take effect at the beginning of a day."""


class CannotDeploy(click.ClickException):
    """The stack cannot take this change now. The text is one line that says what to do first."""

    def __init__(self, reason: str):
        super().__init__(f"Nothing was deployed. {reason}")


def preview(
    store: Store, current: Mapping[str, str], requested: Mapping[str, str], now: datetime
) -> list[str]:
    """Describe each change and the day on which it takes effect, one a line; no lines if nothing changes.

    `current` are the stack's parameters, `requested` those after the deployment. Raises CannotDeploy, and
    InvalidSettings if a parameter is invalid.
    """
    changed = [name for name in DAY_PARAMETERS if requested[name] != current[name]]
    try:
        has_periods, has_progress = bool(store.state.periods()), store.state.progress() is not None
    except store.client.exceptions.ResourceNotFoundException:
        if changed:
            raise CannotDeploy(
                f"No table {store.state.name}. Restore it (docs/runbook.md) before you change {changed[0]}."
            ) from None
        return []
    if not has_periods and has_progress and changed:
        raise CannotDeploy(
            "This stack is of an earlier version. Deploy this version first without changing"
            f" {' and '.join(changed)}, and change it once the rollup has run, an hour later."
        )
    if not has_periods and not has_progress:
        return [f"{name} {current[name]} -> {requested[name]}: from the first event on." for name in changed]
    return describe_changes(
        effective_calendar(store, lambda: settings_of(current)), settings_of(requested), now
    )


def describe_changes(calendar: Calendar, requested: Settings, now: datetime) -> list[str]:
    """Describe the changes that the planner will store, and those that it will take back."""
    period = next_period(calendar, requested, now)
    if period is None:
        return _changes(calendar, now)
    replaced = next((p for p in calendar.periods if p.first_day == period.first_day), None)
    kept = tuple(p for p in calendar.periods if p is not replaced)
    lines = _taken_back(kept[-1], replaced, period) if replaced else []
    lines += _changes(Calendar((*kept, period)), now)
    day = period.first_day
    until = min(calendar.starts_at(day), requested.starts_at(day)) - LEAD_TIME
    return [
        *lines,
        f"The next run of the rollup stores this. If it runs after {until:%Y-%m-%d %H:%M} UTC,"
        " all is a day later.",
    ]


def describe(settings: Settings) -> dict[str, str]:
    """Write settings as parameters of the stack."""
    values = (str(settings.shard_count), settings.zone.key, str(settings.retention.days))
    return dict(zip(DAY_PARAMETERS, values, strict=True))


def _taken_back(before: Period, replaced: Period, period: Period) -> list[str]:
    old, dropped, new = (describe(each.settings) for each in (before, replaced, period))
    return [
        f"{name} stays {old[name]}: the change to {dropped[name]} on {period.first_day} is taken back."
        for name in DAY_PARAMETERS
        if old[name] == new[name] != dropped[name]
    ]


def _changes(calendar: Calendar, now: datetime) -> list[str]:
    today = calendar.day_of(now)
    return [
        line
        for before, after in pairwise(calendar.periods)
        if after.first_day > today
        for line in _change(calendar, before, after)
    ]


def _change(calendar: Calendar, before: Period, after: Period) -> list[str]:
    old, new = describe(before.settings), describe(after.settings)
    lines = []
    for name in DAY_PARAMETERS:
        if old[name] != new[name]:
            earlier = {describe(p.settings)[name] for p in calendar.periods if p.first_day < after.first_day}
            keep = f"keep {old[name] if len(earlier) == 1 else 'theirs'}"
            whose = "Events of earlier days" if name == "RetentionDays" else "Earlier days"
            length = _other_length(before, after) if name == "ReportingTimeZone" else ""
            lines.append(
                f"{name} {old[name]} -> {new[name]}: for days from {after.first_day} on."
                f" {whose} {keep}{length}."
            )
    return lines


def _other_length(before: Period, after: Period) -> str:
    """Say by how many hours another time zone makes the day before it longer or shorter."""
    day = after.first_day
    hours = (after.settings.starts_at(day) - before.settings.starts_at(day)) / timedelta(hours=1)
    if not hours:
        return ""
    unit = "hour" if abs(hours) == 1 else "hours"
    return f", and {day_before(day)} is {abs(hours):g} {unit} {'longer' if hours > 0 else 'shorter'}"
