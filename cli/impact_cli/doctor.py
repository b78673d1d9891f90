"""What `impact doctor` makes of what it has read: for each part, what is wrong and what to do.

The functions here read nothing: doctor_parts.py does.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from impact.calendar import Calendar, Settings
from impact.day_settings import next_period
from impact.fx_rates import days_converted_at
from impact.price_store import Correction
from impact.state_store import LateMark
from impact_cli.deploy_preview import DAY_PARAMETERS, describe, describe_changes
from impact_cli.table import TEXT_MAX, visible
from request_events.limits import AHEAD_SECONDS

OK, WARNING, FAULT = "ok", "warning", "fault"

RUNBOOK = "docs/runbook.md"
RESTORING = "docs/runbook.md#restoring-a-table"
OUTBOX_GROWS = "docs/runbook.md#the-proxys-outbox-grows"

ALARMS = (
    ("IngestErrors", "AuthorizerErrors", "SummariesErrors"),
    ("RollupErrors", "RollupWorkerErrors"),
    ("RatesErrors",),
    (
        *("IngestThrottles", "AuthorizerThrottles", "SummariesThrottles"),
        *("RollupThrottles", "RollupWorkerThrottles", "RatesThrottles"),
    ),
    ("RollupMissing", "RatesMissing"),
    ("FailedRollupsWaiting", "FailedSchedulesWaiting"),
    ("RollupQueueWaiting",),
    ("EventsRejected",),
    ("ModelUnpriced",),
    ("StorageFailing",),
    ("ApiFailing",),
    ("LedgerThrottled",),
    ("RollupLagging",),
    ("LateMarksStanding",),
    ("LateMarksExpired",),
)
"""The alarms, as the runbook's sections name them."""

PATIENCE = timedelta(hours=3)
"""How long the rollup may lag behind, and a late mark may stand: as in the alarms of the template."""
CLOCK_WARNING = timedelta(seconds=60)
CLOCK_FAULT = timedelta(seconds=AHEAD_SECONDS)
"""The service rejects events that are that far ahead; AWS rejects requests that are as far off."""
QUEUE_AGE_MAX = timedelta(hours=4)
LISTED = 5
"""Most names in a message."""


@dataclass(frozen=True)
class Finding:
    """What was found at a part: one plain line. `action` says what to do."""

    level: str
    message: str
    action: str | None = None


def ok(message: str) -> Finding:
    return Finding(OK, one_line(message))


def warning(message: str, action: str) -> Finding:
    return Finding(WARNING, one_line(message), action)


def fault(message: str, action: str) -> Finding:
    return Finding(FAULT, one_line(message), action)


def one_line(text: str) -> str:
    """Names and errors come from elsewhere: none can break a line, or steer a terminal."""
    return visible(" ".join(text.split()))


def section(alarm: str) -> str:
    """Where the runbook says what to do about an alarm."""
    names = next((names for names in ALARMS if alarm in names), ("alarms",))
    return f"{RUNBOOK}#{'-'.join(names).lower()}"


def patience(schedule: str) -> timedelta:
    """PATIENCE, or longer if the rollup's schedule runs less often. A cron is taken to run once a day."""
    rate = re.fullmatch(r"rate\((\d+) (minute|hour|day)s?\)", schedule)
    interval = timedelta(**{f"{rate[2]}s": int(rate[1])}) if rate else timedelta(days=1)
    return max(PATIENCE, interval + timedelta(hours=1))


def check_clock(ahead: timedelta) -> list[Finding]:
    """`ahead` says how far this machine's clock is ahead of the API's."""
    off = abs(ahead)
    if off < CLOCK_WARNING:
        return [ok("This machine's clock and the API's agree.")]
    side = "ahead of" if ahead > timedelta(0) else "behind"
    message = f"This machine's clock is {duration(off)} {side} the API's."
    action = "Set the clock, for example by `timedatectl set-ntp true`."
    if off < CLOCK_FAULT:
        return [warning(message, action)]
    return [fault(f"{message} A proxy with such a clock sends events that are rejected, or late.", action)]


def check_status(stack: str, status: str) -> list[Finding]:
    """Look at the state in which CloudFormation has the stack."""
    why = (
        f"aws cloudformation describe-stack-events --stack-name {stack} --query"
        " \"StackEvents[?contains(ResourceStatus, 'FAILED')].[LogicalResourceId, ResourceStatusReason]\""
    )
    if status.endswith("ROLLBACK_COMPLETE"):
        return [
            warning(
                f"{stack}: {status}. The last deployment failed; all is as before it.",
                f"Its first failure says why: {why}",
            )
        ]
    if status.endswith("_COMPLETE"):
        return [ok(f"{stack}: {status}.")]
    if status.endswith("_IN_PROGRESS"):
        return [warning(f"{stack}: {status}. It is being changed.", "Look again when that has ended.")]
    return [fault(f"{stack}: {status}. It is neither as before nor as it should be.", f"See why: {why}")]


def check_version(deployed: str | None, own: str) -> list[Finding]:
    if deployed == own:
        return [ok(f"The stack and this command are of version {own}.")]
    of = f"of version {deployed}" if deployed else "of an earlier version, which does not say its number"
    return [
        warning(
            f"The stack is {of}, this command of {own}.",
            "Deploy this version (`impact deploy` in its checkout), or install the command of the stack's.",
        )
    ]


def check_settings(
    calendar: Calendar, requested: Settings, deployed_at: datetime, patient: timedelta, now: datetime
) -> list[Finding]:
    """Compare the stack's parameters with the settings of the ledger's days."""
    lines = describe_changes(calendar, requested, now)
    if next_period(calendar, requested, now) is None:
        same = ", ".join(f"{name} {value}" for name, value in describe(requested).items())
        return [ok(" ".join(lines) or f"{same}: in the stack's parameters and in the ledger.")]
    wanted, stored = describe(requested), describe(calendar.periods[-1].settings)
    differ = " ".join(
        f"{name} is {wanted[name]} in the stack's parameters, and {stored[name]} in the ledger."
        for name in DAY_PARAMETERS
        if wanted[name] != stored[name]
    )
    if now - deployed_at < patient:
        return [warning(f"{differ} The rollup has not scheduled the change yet.", " ".join(lines))]
    return [
        fault(
            f"{differ} The stack was deployed {duration(now - deployed_at)} ago, and no change is scheduled.",
            f"See why the rollup does not schedule it, or deploy the former value: {section('RollupErrors')}",
        )
    ]


@dataclass(frozen=True)
class TableState:
    """What DynamoDB says of a table."""

    name: str
    status: str | None
    """None: there is no such table."""
    is_protected: bool = False
    has_recovery: bool = False
    has_ttl: bool | None = None
    """None: it needs none."""


def check_tables(tables: Sequence[TableState]) -> list[Finding]:
    return [finding for table in tables for finding in _check_table(table)] or [
        ok(f"{', '.join(table.name for table in tables)}: there, protected from deletion, and backed up.")
    ]


def _check_table(table: TableState) -> list[Finding]:
    name = table.name
    if table.status is None:
        return [fault(f"{name} is gone.", f"Restore it at once, AWS keeps a backup for 35 days: {RESTORING}")]
    if table.status not in ("ACTIVE", "UPDATING"):
        return [fault(f"{name} is {table.status}.", RESTORING)]
    lacks = [
        problem
        for is_there, problem in (
            (table.is_protected, "is not protected from deletion"),
            (table.has_recovery, "has no point-in-time recovery, so no backup"),
            (table.has_ttl is not False, "has no TTL, so events stay for longer than RetentionDays"),
        )
        if not is_there
    ]
    action = f"`impact revert-drift`, or by hand: {RESTORING}"
    return [fault(f"{name} {'; it '.join(lacks)}.", action)] if lacks else []


@dataclass(frozen=True)
class ScheduleState:
    """What Scheduler says of a schedule."""

    name: str
    expression: str | None
    """None: there is no such schedule."""
    state: str = ""
    target: str = ""
    """Name of the function that it calls."""
    should_target: str = ""


def check_schedules(schedules: Sequence[ScheduleState]) -> list[Finding]:
    found = [finding for schedule in schedules for finding in _check_schedule(schedule)]
    return found or [
        ok(", ".join(f"{schedule.name} {schedule.expression}" for schedule in schedules) + ": enabled.")
    ]


def _check_schedule(schedule: ScheduleState) -> list[Finding]:
    mend = f"`impact revert-drift` brings it back: {section('RollupMissing')}"
    if schedule.expression is None:
        return [fault(f"The schedule {schedule.name} is gone.", mend)]
    if schedule.state != "ENABLED":
        return [fault(f"The schedule {schedule.name} is {schedule.state}: nothing calls its function.", mend)]
    if schedule.target != schedule.should_target:
        message = f"The schedule {schedule.name} calls {schedule.target}, not {schedule.should_target}."
        return [fault(message, mend)]
    return []


@dataclass(frozen=True)
class RollupState:
    """How far the rollup has come."""

    watermark: str
    """Days up to it are final."""
    lag: timedelta
    last_run: datetime | None
    """None: none since `patient` ago."""


def check_rollup(
    rollup: RollupState, created_at: datetime, patient: timedelta, now: datetime
) -> list[Finding]:
    found = []
    if rollup.last_run is None and now - created_at > patient:
        found.append(
            fault(
                f"The rollup has not run for {duration(patient)}: summaries stay as they are.",
                section("RollupMissing"),
            )
        )
    if rollup.lag > patient:
        found.append(
            fault(
                f"Days are final up to {rollup.watermark}: the next one closed {duration(rollup.lag)} ago.",
                section("RollupLagging"),
            )
        )
    if found:
        return found
    run = f"The last run was at {moment(rollup.last_run)}." if rollup.last_run else "It has not run yet."
    return [ok(f"Days are final up to {rollup.watermark}. {run}")]


def check_late_marks(
    marks: Iterable[LateMark], calendar: Calendar, patient: timedelta, now: datetime
) -> list[Finding]:
    marks = [mark for mark in marks if mark.since]
    expired = [mark for mark in marks if calendar.may_have_expired(mark.day, now)]
    old = [mark for mark in marks if mark not in expired and mark.since and now - mark.since > patient]
    found = []
    if old:
        age = max(now - mark.since for mark in old if mark.since)
        days = sorted({mark.day for mark in old})
        found.append(
            fault(
                f"Late marks stand for {duration(age)}: late requests are not in the sums of {listed(days)}.",
                f"`impact rollup {days[0]}`, and the other days: {section('LateMarksStanding')}"
                if days[1:]
                else f"`impact rollup {days[0]}`: {section('LateMarksStanding')}",
            )
        )
    if expired:
        days = sorted({mark.day for mark in expired})
        found.append(
            fault(
                f"Late marks of {listed(days)}, whose events have begun to expire.",
                section("LateMarksExpired"),
            )
        )
    if found:
        return found
    return [
        ok(f"{count(len(marks), 'late mark')}, which the next rollup clears." if marks else "None stand.")
    ]


def check_dead_letters(waiting: Mapping[str, int]) -> list[Finding]:
    """Look at how many messages each dead-letter queue has."""
    return [
        fault(
            f"{count(number, 'failed call')} in {queue}.",
            f"`impact replay`, when the cause is removed: {section('FailedRollupsWaiting')}",
        )
        for queue, number in waiting.items()
        if number
    ] or [ok(f"{' and '.join(waiting)} are empty.")]


def check_rollup_queue(waiting: int, oldest: timedelta, consumers: Mapping[str, str]) -> list[Finding]:
    """Look at RollupQueue, and at the state of what hands its messages to workers."""
    link = section("RollupQueueWaiting")
    found = []
    if not consumers:
        found.append(fault("RollupQueue is not connected to the workers.", f"`impact revert-drift`: {link}"))
    for state in consumers.values():
        if state not in ("Enabled", "Enabling", "Creating", "Updating"):
            message = f"The workers' connection to RollupQueue is {state}: nothing is recomputed."
            found.append(fault(message, f"`impact revert-drift`: {link}"))
    if oldest > QUEUE_AGE_MAX:
        found.append(fault(f"A message has been in RollupQueue for {duration(oldest)}.", link))
    return found or [ok(f"{count(waiting, 'message')} in RollupQueue.")]


def check_fx_rates(missing: Iterable[str], waiting: Iterable[str]) -> list[Finding]:
    """`missing` are ECB dates without their rate, `waiting` the days whose dollars wait for theirs."""
    dates = sorted(missing)
    if not dates:
        return [ok("Each rate that is due is stored.")]
    days = sorted(set(waiting))
    wait = (
        f"The dollars of {listed(days)} wait for it, without euros."
        if days
        else "No dollars wait for it yet."
    )
    held = [day for date in dates for day in days_converted_at(date)]
    return [
        fault(
            f"No fx rate of {listed(dates)}, which is for {listed(held)}. {wait}",
            f"If the ECB has it, `impact rates enter {dates[0]} USD`: {section('RatesErrors')}",
        )
    ]


def check_prices(
    without: Mapping[str, str], unfinished: Iterable[Correction], patient: timedelta, now: datetime
) -> list[Finding]:
    """`without` are models that had requests without a cost and have no price today: since which day."""
    found = [_check_correction(correction, patient, now) for correction in unfinished]
    if without:
        latest = sorted(sorted(without), key=without.__getitem__, reverse=True)
        models = [f"{visible(model, TEXT_MAX)} (since {without[model]})" for model in latest]
        found.append(
            warning(
                f"No price of {listed(models)}: requests without a cost are missing from all sums.",
                f"`impact price check --since {min(without.values())}` proposes prices,"
                f" `impact price add` appends one: {section('ModelUnpriced')}",
            )
        )
    return found or [ok("Each model that was used has a price.")]


def _check_correction(correction: Correction, patient: timedelta, now: datetime) -> Finding:
    age = now - datetime.fromisoformat(correction.recorded_at)
    first, last = correction.days[0], correction.days[-1]
    days = first if first == last else f"{first} to {last}"
    message = f"Correction {correction.number} ({days}) was begun {duration(age)} ago and is not finished."
    if age <= patient:
        return warning(message, "Nothing: the next rollup finishes it.")
    return fault(message, f"The rollup finishes it. See why it does not: {section('RollupErrors')}")


def check_throttles(throttled: Mapping[tuple[str, str], int]) -> list[Finding]:
    """Look at how often DynamoDB throttled, by table and kind (writes, reads), in the last day."""
    return [
        warning(
            f"DynamoDB throttled {number} {kind} of {table} in the last 24 hours. They were tried again.",
            section("LedgerThrottled"),
        )
        for (table, kind), number in throttled.items()
        if number
    ] or [ok("DynamoDB throttled nothing in the last 24 hours.")]


@dataclass(frozen=True)
class AlarmState:
    """What CloudWatch says of an alarm."""

    name: str
    """Its logical id in the template."""
    state: str | None
    """None: there is no such alarm."""
    since: datetime | None = None
    tells: bool = False
    """Whether somebody is notified."""


def check_alarms(alarms: Sequence[AlarmState], topic: str) -> list[Finding]:
    found = [
        fault(
            f"{alarm.name} is on since {moment(alarm.since)}.",
            section(alarm.name),
        )
        for alarm in alarms
        if alarm.state == "ALARM"
    ]
    if gone := [alarm.name for alarm in alarms if alarm.state is None]:
        found.append(fault(f"Alarms are gone: {listed(gone)}.", "`impact revert-drift` brings them back."))
    if not topic:
        found.append(
            warning(
                "Nobody is told when an alarm goes off: the parameter AlarmTopic is empty.",
                "`impact deploy AlarmTopic=arn:aws:sns:...`: docs/operating.md#alarms-dashboard-logs",
            )
        )
    elif silent := [alarm.name for alarm in alarms if alarm.state is not None and not alarm.tells]:
        found.append(
            warning(
                f"Alarms that tell nobody, though there is a topic: {listed(silent)}.",
                "`impact revert-drift` connects them to the topic again.",
            )
        )
    return found or [ok(f"{len(alarms)} alarms, none is on.")]


def check_topic(topic: str, confirmed: int | None) -> list[Finding]:
    """Look at the subscribers of the alarms' topic. None: there is no such topic."""
    if confirmed is None:
        action = "`impact deploy AlarmTopic=arn:aws:sns:...`: docs/operating.md#alarms-dashboard-logs"
        return [fault(f"Nobody is told when an alarm goes off: the topic {topic} is gone.", action)]
    if not confirmed:
        return [
            warning(
                f"Nobody is told when an alarm goes off: the topic {topic} has no confirmed subscription.",
                "`aws sns subscribe`, and confirm it: docs/operating.md#alarms-dashboard-logs",
            )
        ]
    return []


@dataclass(frozen=True)
class Sender:
    """How an event says where it comes from."""

    source: str | None
    has_call_type: bool


def check_senders(day: str, senders: Mapping[Sender, int], *, is_sample: bool) -> list[Finding]:
    """Look at who reported the events of a day, or of a sample of it."""
    if not senders:
        return [
            warning(
                "No event since yesterday: nobody chats, or nothing reports it.",
                f"`impact send` shows whether the service takes one. The proxy: {OUTBOX_GROWS}",
            )
        ]
    names: Counter[str] = Counter()
    for sender, number in senders.items():
        names[visible(sender.source or "no source named", 40)] += number
    total = sum(names.values())
    of = f"{total} events looked at" if is_sample else count(total, "event")
    shown = listed([f"{name} ({number})" for name, number in names.most_common()])
    found = [ok(f"{day}, {of}: {shown}.")]
    if old := sum(number for sender, number in senders.items() if sender.has_call_type and not sender.source):
        found.append(
            warning(
                f"An old callback reports: {old} of {of} on {day} come from LiteLLM and name no source.",
                "In the proxy: `pip install --upgrade ./layers/callback` of this version, and restart it:"
                " docs/litellm.md#add-the-callback-to-your-proxy",
            )
        )
    return found


def duration(length: timedelta) -> str:
    """Two hours, say, in words."""
    minutes = round(length / timedelta(minutes=1))
    if minutes < 120:
        return count(minutes, "minute") if minutes else f"{round(length.total_seconds())} seconds"
    hours = round(length / timedelta(hours=1))
    return f"{hours} hours" if hours < 72 else f"{hours // 24} days"


def moment(instant: datetime | None) -> str:
    return f"{instant:%Y-%m-%d %H:%M} UTC" if instant else "an unknown time"


def count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[Any]) -> str:
    """The first few names, and how many more there are."""
    shown = ", ".join(str(name) for name in names[:LISTED])
    return shown if len(names) <= LISTED else f"{shown} and {len(names) - LISTED} more"
