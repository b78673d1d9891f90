"""The made-up months: the same for the same seed, plausible, and nothing that the service would reject."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from impact.footprint import ModelNames
from local import FUNCTIONS
from local.months.__main__ import NEEDED, NoStack, main, stack_environment
from local.months.events import Event, Months
from local.months.people import MODELS, TEAMS, User, hostile_people, people
from request_events.event import RequestEvent

NOW = datetime(2026, 11, 27, 16, 30, tzinfo=UTC)  # a Friday
BERLIN = ZoneInfo("Europe/Berlin")


def months(days: int = 60, users: Sequence[User] | None = None, seed: int = 0, now: datetime = NOW) -> Months:
    first = now.astimezone(BERLIN).date() - timedelta(days=days - 1)
    return Months(people(20, seed) if users is None else users, first, now, BERLIN, 200, seed)


def all_events(of: Months) -> list[Event]:
    return [event for day in of.days() for event in of.events(day)]


def test_the_same_seed_makes_the_same_events() -> None:
    assert all_events(months()) == all_events(months())
    assert all_events(months()) != all_events(months(seed=1))
    more = all_events(months(days=90))
    assert all(event in more for event in all_events(months(days=5)))


def test_every_event_is_one_that_the_service_takes() -> None:
    events = all_events(months(days=20, users=people(10, 0) + hostile_people()))
    for event in events:
        RequestEvent.model_validate(event)
    assert len({event["eventId"] for event in events}) == len(events)


def test_each_is_of_its_day_in_the_reporting_time_zone_and_none_is_ahead() -> None:
    of = months()
    for day in of.days():
        for event in of.events(day):
            at = datetime.fromisoformat(event["ts"])
            assert at.astimezone(BERLIN).date() == day
            assert at <= NOW


def test_weeks_have_a_rhythm_and_use_grows() -> None:
    of = months(days=180)
    by_day = {day: len(list(of.events(day))) for day in of.days()[:-1]}

    def mean(of_days: list[date]) -> float:
        return sum(by_day[day] for day in of_days) / len(of_days)

    working = [day for day in by_day if day.weekday() < 5]
    assert mean([day for day in by_day if day.weekday() >= 5]) < mean(working) / 4
    assert mean(working[-20:]) > 1.3 * mean(working[:20])
    hours = Counter(datetime.fromisoformat(e["ts"]).astimezone(BERLIN).hour for e in all_events(of))
    assert sum(hours[hour] for hour in range(8, 18)) > 0.8 * hours.total()


def test_a_few_ask_for_most_and_something_of_everything_is_there() -> None:
    events = all_events(months(users=people(40, 0)))
    by_user = Counter(event["userId"] for event in events)
    assert sum(number for _, number in by_user.most_common(8)) > len(events) / 3
    assert {event["status"] for event in events} == {"success", "failure"}
    assert any(event.get("cacheHit") for event in events)
    assert any(event.get("estimated") for event in events)
    assert any("teamId" not in event for event in events)
    assert {event.get("teamId") for event in events} >= {team.id for team in TEAMS}
    assert {event["model"] for event in events} == {model.name for model in MODELS}


def test_a_model_has_no_price_one_no_footprint_and_a_team_no_name() -> None:
    names = ModelNames.read(FUNCTIONS / "impact" / "ecologits_models.toml")
    assert [model.prices for model in MODELS].count(None) == 1
    unrated = [m for m in MODELS if not m.embeds and not names.find(m.provider, m.name)]
    assert any(model.prices for model in unrated)
    assert [team.name for team in TEAMS].count(None) == 1
    assert people(3, 0) == people(30, 0)[:3]
    assert len({user.id for user in people(200, 0)}) == 200


def test_hostile_ids_are_only_there_if_they_are_asked_for() -> None:
    assert not any(user.id.startswith(("<", "=")) for user in people(500, 0))
    ids = [user.id for user in hostile_people()]
    assert [len(id_) for id_ in ids if id_.startswith("W")] == [256]
    assert any("<script" in id_ for id_ in ids)


def test_without_a_stack_it_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert main([f"--env-file={tmp_path / 'none'}"]) == 1
    assert "run make local first" in capsys.readouterr().err
    file = tmp_path / ".local.env"
    file.write_text("".join(f"{name}=http://127.0.0.1:1\n" for name in NEEDED))
    monkeypatch.setattr("impact_client.client.BACKOFF_SECONDS", 0)
    assert main([f"--env-file={file}"]) == 1
    assert "run make local first" in capsys.readouterr().err


def test_the_environment_comes_before_the_file(tmp_path: Path) -> None:
    file = tmp_path / ".local.env"
    file.write_text("IMPACT_STACK=of-the-file\n")
    given = dict.fromkeys(NEEDED, "of-the-environment")
    assert stack_environment(given, file) == given
    assert stack_environment({"IMPACT_STACK": "alone"}, file) == {"IMPACT_STACK": "of-the-file"}
    with pytest.raises(NoStack):
        stack_environment({}, tmp_path / "none")


@pytest.mark.parametrize("wrong", ["--days=0", "--users=-1", "--requests=x"])
def test_wrong_options_are_errors_of_usage(wrong: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([wrong])
    assert ended.value.code == 2
