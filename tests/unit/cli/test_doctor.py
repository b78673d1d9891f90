"""`impact doctor`: what it makes of what it has read, and that every advice leads somewhere."""

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from impact.calendar import Calendar, Period, timestamp
from impact.price_store import Correction
from impact.state_store import LateMark
from impact_cli import doctor, doctor_parts
from impact_cli.doctor import (
    ALARMS,
    FAULT,
    OK,
    WARNING,
    AlarmState,
    Finding,
    RollupState,
    ScheduleState,
    Sender,
    TableState,
)
from impact_cli.main import main
from impact_cli.target import Target
from local.template import resources, template
from tests.events import NOON
from tests.unit.cli.test_deployment import CALENDAR, SETTINGS
from tests.unit.test_docs import PROJECT, leads_nowhere

HOUR = timedelta(hours=1)
PATIENCE = 3 * HOUR
OTHER = replace(SETTINGS, shard_count=8)


def only(found: list[Finding], level: str) -> Finding:
    [finding] = found
    assert finding.level == level
    assert (finding.action is None) == (level == OK)
    return finding


# The clock


@pytest.mark.parametrize(
    ("ahead", "level", "words"),
    [
        (0, OK, "agree"),
        (-59, OK, "agree"),
        (61, WARNING, "1 minute ahead of"),
        (-240, WARNING, "4 minutes behind"),
        (300, FAULT, "5 minutes ahead of"),
        (-7200, FAULT, "2 hours behind"),
    ],
)
def test_a_clock_that_is_off_is_a_warning_then_a_fault(ahead: int, level: str, words: str) -> None:
    assert words in only(doctor.check_clock(timedelta(seconds=ahead)), level).message


# The stack


@pytest.mark.parametrize(
    ("status", "level"),
    [
        ("CREATE_COMPLETE", OK),
        ("UPDATE_COMPLETE", OK),
        ("IMPORT_COMPLETE", OK),
        ("UPDATE_IN_PROGRESS", WARNING),
        ("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", WARNING),
        ("UPDATE_ROLLBACK_IN_PROGRESS", WARNING),
        ("UPDATE_ROLLBACK_COMPLETE", WARNING),
        ("UPDATE_ROLLBACK_FAILED", FAULT),
        ("ROLLBACK_FAILED", FAULT),
        ("DELETE_FAILED", FAULT),
    ],
)
def test_the_state_of_the_stack(status: str, level: str) -> None:
    assert status in only(doctor.check_status("impact", status), level).message


def test_a_stack_of_another_version_is_a_warning() -> None:
    assert only(doctor.check_version("1.2.3", "1.2.3"), OK)
    assert "1.2.2" in only(doctor.check_version("1.2.2", "1.2.3"), WARNING).message
    assert "earlier version" in only(doctor.check_version(None, "1.2.3"), WARNING).message


def test_the_stack_says_the_version_of_this_project() -> None:
    """Its number stands in pyproject.toml; what cannot read that repeats it."""
    repeated = ("pyproject.toml", "cli/pyproject.toml", "layers/callback/pyproject.toml")
    versions = {re.findall(r'(?m)^version = "(.+)"', (PROJECT / name).read_text())[0] for name in repeated}
    assert versions == {template()["Outputs"]["Version"]["Value"]}


# Settings


def settings(calendar: Calendar, requested: Any, deployed: timedelta) -> list[Finding]:
    return doctor.check_settings(calendar, requested, NOON - deployed, PATIENCE, NOON)


def test_settings_that_agree_are_all_right() -> None:
    found = only(settings(CALENDAR, SETTINGS, 24 * HOUR), OK)
    assert found.message.startswith("ShardCount 16, ReportingTimeZone UTC, RetentionDays 400")


def test_a_change_that_is_scheduled_is_all_right_and_named_with_its_day() -> None:
    calendar = Calendar((*CALENDAR.periods, Period("2026-11-25", OTHER)))
    found = only(settings(calendar, OTHER, 24 * HOUR), OK)
    assert found.message == "ShardCount 16 -> 8: for days from 2026-11-25 on. Earlier days keep 16."


def test_a_change_that_the_rollup_has_not_seen_yet_is_a_warning() -> None:
    found = only(settings(CALENDAR, OTHER, HOUR), WARNING)
    assert found.message.startswith("ShardCount is 8 in the stack's parameters, and 16 in the ledger.")
    assert "for days from 2026-11-25 on" in str(found.action)


def test_a_change_that_nothing_schedules_is_a_fault() -> None:
    found = only(settings(CALENDAR, OTHER, 4 * HOUR), FAULT)
    assert "deployed 4 hours ago, and no change is scheduled" in found.message


# Tables and schedules

TABLE = TableState("impact-RequestEvents", "ACTIVE", is_protected=True, has_recovery=True, has_ttl=True)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status": None}, "is gone"),
        ({"status": "INACCESSIBLE_ENCRYPTION_CREDENTIALS"}, "is INACCESSIBLE"),
        ({"is_protected": False}, "is not protected from deletion."),
        ({"has_recovery": False}, "has no point-in-time recovery"),
        ({"has_ttl": False}, "has no TTL"),
        ({"is_protected": False, "has_ttl": False}, "deletion; it has no TTL"),
    ],
)
def test_a_table_that_is_gone_or_not_as_it_was_is_a_fault(changes: dict[str, Any], words: str) -> None:
    assert words in only(doctor.check_tables([TABLE, replace(TABLE, **changes)]), FAULT).message


def test_tables_that_are_all_right() -> None:
    only(doctor.check_tables([TABLE, replace(TABLE, has_ttl=None, status="UPDATING")]), OK)


SCHEDULE = ScheduleState("impact-Rollup", "rate(1 hour)", "ENABLED", "planner", "planner")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"expression": None}, "is gone"),
        ({"state": "DISABLED"}, "is DISABLED"),
        ({"target": "else"}, "calls else, not planner"),
    ],
)
def test_a_schedule_that_calls_nothing_or_something_else_is_a_fault(
    changes: dict[str, Any], words: str
) -> None:
    assert words in only(doctor.check_schedules([replace(SCHEDULE, **changes)]), FAULT).message
    only(doctor.check_schedules([SCHEDULE]), OK)


# The rollup


@pytest.mark.parametrize(
    ("schedule", "hours"),
    [
        ("rate(1 hour)", 3),
        ("rate(5 minutes)", 3),
        ("rate(6 hours)", 7),
        ("rate(2 days)", 49),
        ("cron(0 3 * * ? *)", 25),
        ("", 25),
    ],
)
def test_patience_follows_the_schedule(schedule: str, hours: int) -> None:
    assert doctor.patience(schedule) == hours * HOUR


def test_patience_is_that_of_the_alarms() -> None:
    alarms = resources("AWS::CloudWatch::Alarm")
    for name in ("RollupLagging", "LateMarksStanding"):
        assert alarms[name]["Threshold"] == PATIENCE.total_seconds()
    assert doctor.patience("rate(1 hour)") == PATIENCE
    assert alarms["RollupQueueWaiting"]["Threshold"] == doctor.QUEUE_AGE_MAX.total_seconds()


def rollup(
    *, lag: timedelta = HOUR, ran: timedelta | None = HOUR, age: timedelta = 48 * HOUR
) -> list[Finding]:
    state = RollupState("2026-11-21", lag, NOON - ran if ran else None)
    return doctor.check_rollup(state, NOON - age, PATIENCE, NOON)


def test_a_rollup_that_runs_and_is_up_to_date_is_all_right() -> None:
    found = only(rollup(), OK)
    assert found.message == "Days are final up to 2026-11-21. The last run was at 2026-11-23 11:00 UTC."


def test_a_rollup_that_lags_or_does_not_run_is_a_fault() -> None:
    assert "closed 4 hours ago" in only(rollup(lag=4 * HOUR), FAULT).message
    assert "has not run for 3 hours" in only(rollup(ran=None), FAULT).message


def test_the_first_run_of_a_new_stack_is_waited_for() -> None:
    assert "not run yet" in only(rollup(ran=None, age=HOUR), OK).message


def marks(*ages: float, day: str = "2026-11-20") -> list[Finding]:
    late = [LateMark(day, shard, 1, NOON - age * HOUR) for shard, age in enumerate(ages)]
    return doctor.check_late_marks([*late, LateMark(day, 99, 3, None)], CALENDAR, PATIENCE, NOON)


def test_late_marks_may_stand_for_some_hours() -> None:
    assert only(marks(), OK).message == "None stand."
    assert "2 late marks" in only(marks(1, 2.9), OK).message
    found = only(marks(1, 3.1, 7), FAULT)
    assert "7 hours: late requests are not in the sums of 2026-11-20" in found.message
    assert "`impact rollup 2026-11-20`" in str(found.action)


def test_late_marks_of_expired_days_are_a_fault_at_once() -> None:
    assert "begun to expire" in only(marks(1, day="2025-10-01"), FAULT).message


# Queues


def test_dead_letters_are_a_fault_of_each_queue() -> None:
    found = doctor.check_dead_letters({"FailedRollups": 2, "FailedSchedules": 0})
    assert only(found, FAULT).message == "2 failed calls in FailedRollups."
    assert only(doctor.check_dead_letters({"FailedRollups": 0, "FailedSchedules": 0}), OK)


@pytest.mark.parametrize(
    ("hours", "consumers", "words"),
    [
        (5, {"x": "Enabled"}, "for 5 hours"),
        (0, {"x": "Disabled"}, "is Disabled"),
        (0, {}, "not connected"),
    ],
)
def test_a_rollup_queue_that_nobody_empties_is_a_fault(
    hours: int, consumers: dict[str, str], words: str
) -> None:
    assert words in only(doctor.check_rollup_queue(3, hours * HOUR, consumers), FAULT).message


def test_messages_may_wait_in_the_rollup_queue() -> None:
    assert "1,200 messages" in only(doctor.check_rollup_queue(1200, 3 * HOUR, {"x": "Enabled"}), OK).message


# Fx rates, throttling


def test_a_missing_rate_is_a_fault_with_the_days_that_wait() -> None:
    found = only(doctor.check_fx_rates(["2026-11-20"], ["2026-11-22", "2026-11-21"]), FAULT)
    assert "2026-11-20, which is for 2026-11-21, 2026-11-22, 2026-11-23." in found.message
    assert "The dollars of 2026-11-21, 2026-11-22 wait for it" in found.message
    assert "`impact rates enter 2026-11-20 USD`" in str(found.action)
    assert "No dollars wait" in only(doctor.check_fx_rates(["2026-11-20"], []), FAULT).message
    assert only(doctor.check_fx_rates([], []), OK)


def test_throttled_calls_are_a_warning_for_each_table() -> None:
    events, state = ("impact-RequestEvents", "writes"), ("impact-State", "reads")
    found = only(doctor.check_throttles({events: 12, state: 0}), WARNING)
    assert "12 writes of impact-RequestEvents" in found.message
    assert only(doctor.check_throttles({events: 0, state: 0}), OK)


# Alarms

QUIET = AlarmState("ApiFailing", "OK", NOON, tells=True)


def test_an_alarm_that_is_on_or_gone_is_a_fault() -> None:
    found = only(
        doctor.check_alarms([QUIET, replace(QUIET, name="EventsRejected", state="ALARM")], "x"), FAULT
    )
    assert found == Finding(
        FAULT, "EventsRejected is on since 2026-11-23 12:00 UTC.", "docs/runbook.md#eventsrejected"
    )
    gone = replace(QUIET, state=None, tells=False)
    assert "gone: ApiFailing" in only(doctor.check_alarms([gone], "arn"), FAULT).message


def test_alarms_that_tell_nobody_are_one_warning() -> None:
    silent = replace(QUIET, tells=False)
    assert "AlarmTopic is empty" in only(doctor.check_alarms([silent, silent], ""), WARNING).message
    assert "tell nobody" in only(doctor.check_alarms([QUIET, silent], "arn"), WARNING).message
    assert only(doctor.check_alarms([QUIET, replace(QUIET, state="INSUFFICIENT_DATA")], "arn"), OK)


def test_a_topic_without_subscribers_is_a_warning_one_that_is_gone_a_fault() -> None:
    assert doctor.check_topic("arn", 1) == []
    only(doctor.check_topic("arn", 0), WARNING)
    only(doctor.check_topic("arn", None), FAULT)


# Prices

CORRECTION = Correction(3, 2, ("2026-11-01", "2026-11-21"), "a test", timestamp(NOON), "arn", {})


def prices(without: dict[str, str], unfinished: list[Correction], age: timedelta = HOUR) -> list[Finding]:
    return doctor.check_prices(without, unfinished, PATIENCE, NOON + age)


def test_models_without_a_price_are_a_warning_that_names_a_few_the_latest_first() -> None:
    without = {f"openai/m{number}": f"2026-11-{number:02d}" for number in range(1, 9)}
    found = only(prices(without, []), WARNING)
    assert "No price of openai/m8 (since 2026-11-08), openai/m7" in found.message
    assert "openai/m4 (since 2026-11-04) and 3 more: " in found.message
    assert "`impact price check --since 2026-11-01`" in str(found.action)
    assert "docs/runbook.md#modelunpriced" in str(found.action)
    assert only(prices({}, []), OK)


def test_a_hostile_name_of_a_model_cannot_steer_the_terminal_or_a_shell() -> None:
    hostile = "a/\x1b[2J\nok  `rm -rf ~` $(id)" + "x" * 300
    found = only(prices({hostile: "2026-11-23"}, []), WARNING)
    assert (found.message.isprintable(), len(found.message) < 200) == (True, True)
    assert "rm -rf" not in str(found.action)


@pytest.mark.parametrize(
    ("age", "level", "words"),
    [(HOUR / 2, WARNING, "30 minutes"), (3 * HOUR, WARNING, "3 hours"), (4 * HOUR, FAULT, "4 hours")],
)
def test_a_correction_that_is_not_finished_is_a_warning_then_a_fault(
    age: timedelta, level: str, words: str
) -> None:
    found = only(prices({}, [CORRECTION], age), level)
    assert found.message == (
        f"Correction 3 (2026-11-01 to 2026-11-21) was begun {words} ago and is not finished."
    )
    one = replace(CORRECTION, days=("2026-11-01",))
    assert "Correction 3 (2026-11-01) was begun" in only(prices({}, [one], age), level).message


def test_both_are_named() -> None:
    found = prices({"a/b": "2026-11-23"}, [CORRECTION, replace(CORRECTION, number=4)])
    assert [finding.level for finding in found] == [WARNING] * 3


# Senders


def test_events_of_litellm_without_a_source_are_of_an_old_callback() -> None:
    new, old = Sender("litellm/1.106.2", has_call_type=True), Sender(None, has_call_type=True)
    own = Sender(None, has_call_type=False)
    assert only(doctor.check_senders("2026-11-23", {new: 3, own: 1}, is_sample=False), OK).message == (
        "2026-11-23, 4 events: litellm/1.106.2 (3), no source named (1)."
    )
    seen, found = doctor.check_senders("2026-11-23", {new: 3, old: 2}, is_sample=True)
    assert seen.level == OK
    assert "2 of 5 events looked at on 2026-11-23" in only([found], WARNING).message


def test_no_event_is_a_warning() -> None:
    only(doctor.check_senders("2026-11-23", {}, is_sample=False), WARNING)


def test_a_hostile_name_of_a_sender_cannot_steer_the_terminal() -> None:
    hostile = Sender("\x1b[2Jmalory\nok  all is well", has_call_type=True)
    found = only(doctor.check_senders("2026-11-23", {hostile: 1}, is_sample=False), OK)
    assert found.message.isprintable()


# All parts


def test_each_alarm_of_the_template_has_its_section_of_the_runbook() -> None:
    assert sorted(name for names in ALARMS for name in names) == sorted(resources("AWS::CloudWatch::Alarm"))
    links = {doctor.section(name) for names in ALARMS for name in names} | {doctor.section("unknown")}
    assert [link for link in links if leads_nowhere(link, PROJECT)] == []


class _Broken:
    """A session whose CloudFormation knows a stack, and whose other services all fail."""

    region_name = "eu-central-1"

    def client(self, service: str, **options: Any) -> Any:
        if service == "cloudformation":
            return _CloudFormation()
        if service == "sqs":
            raise RuntimeError("no\nqueues")
        raise ClientError({"Error": {"Code": "AccessDenied", "Message": f"not {service}"}}, "Describe")


class _CloudFormation:
    def describe_stacks(self, **names: str) -> Any:
        parameters = {"ReportingTimeZone": "UTC", "RetentionDays": "400", "ShardCount": "x"}
        return {
            "Stacks": [
                {
                    "StackStatus": "CREATE_COMPLETE",
                    "CreationTime": NOON,
                    "Parameters": [
                        {"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()
                    ],
                }
            ]
        }

    def get_paginator(self, operation: str) -> Any:
        return self

    def paginate(self, **names: str) -> Any:
        return [{"StackResourceSummaries": []}]


def test_a_part_that_cannot_be_looked_at_is_a_fault_and_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Target, "session", lambda target: _Broken())
    monkeypatch.setattr(doctor_parts, "store_of", lambda session, stack: None)
    report = doctor_parts.look_at_stack(Target("a test"), NOON)
    assert list(report) == list(doctor_parts.PARTS)
    assert only(report["stack"], OK)
    assert "ShardCount: invalid literal" in only(report["settings"], FAULT).message
    assert "It cannot be looked at" in only(report["tables"], FAULT).message
    assert "not dynamodb" in report["tables"][0].message
    assert report["dead letters"][0].message.isprintable()
    assert {finding.level for found in report.values() for finding in found} == {OK, WARNING, FAULT}


def test_without_anything_configured_it_says_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("IMPACT_CONFIG", "/nonexistent/config.toml")
    assert main(["doctor", "--quiet"]) == 1
    out = capsys.readouterr().out
    assert "fault    API" in out
    assert "AWS cannot be called: You must specify a region." in out
    assert out.isascii()
