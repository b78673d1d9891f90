"""Pauses and reserves fit into the time limits of the functions that wait for them."""

from datetime import timedelta

from impact import dynamodb, ecb, fx_conversion, fx_rates, recompute, rollup_queue
from local.template import resources
from rollup import app as planner

FUNCTIONS = resources("AWS::Serverless::Function")


def seconds(function: str) -> int:
    return int(FUNCTIONS[function]["Timeout"])


def longest(pause: float, attempts: int) -> float:
    """Seconds of all pauses between attempts, of which the second one doubles the first, and so on."""
    return sum(pause * (1 << attempt) for attempt in range(1, attempts))


def test_a_recompute_has_attempts_enough_and_pauses_that_leave_time_for_them() -> None:
    assert recompute.ATTEMPTS >= 5
    assert longest(recompute.PAUSE_SECONDS, recompute.ATTEMPTS) < seconds("RollupWorkerFunction") / 30


def test_summaries_that_are_left_out_are_read_again_within_the_time_limit() -> None:
    # The first pause is not doubled.
    pauses = longest(dynamodb.PAUSE_SECONDS / 2, dynamodb.UNPROCESSED_MAX)
    assert 5 < pauses < seconds("SummariesFunction") / 2


def test_a_message_is_sent_again_while_the_planner_has_time() -> None:
    pauses = longest(rollup_queue.PAUSE_SECONDS, rollup_queue.ATTEMPTS)
    assert 1 < pauses < (seconds("RollupFunction") - planner.RESERVE_SECONDS) / 30


def test_an_ecb_that_hangs_leaves_time_to_store_what_is_known() -> None:
    assert seconds("RatesFunction") / 2 > 2 * ecb.TIMEOUT


def test_rates_in_memory_are_hours_younger_than_the_days_that_they_convert() -> None:
    assert fx_conversion.RETRY_SECONDS < fx_conversion.CACHE_SECONDS <= 3600


def test_each_missing_rate_of_the_ecbs_file_of_90_days_is_asked_for() -> None:
    assert timedelta(days=80) <= fx_rates.DUE < timedelta(days=90)
