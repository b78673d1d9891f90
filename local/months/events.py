"""What the people ask of the models, day by day: RequestEvents. Pure: the same for the same seed and days.

A working day has a morning and an afternoon, a weekend has little, and there is more of everything towards
the end. Some requests fail, some are answered by a cache, and of some the tokens are guessed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

from impact.calendar import timestamp
from local.months.people import KEYS, MODELS, TAGS, Model, User

Event = dict[str, Any]

WEEKEND = {5: 0.14, 6: 0.09}
"""What a Saturday and a Sunday have of a working day."""
GROWTH_PER_DAY = 1.004
"""Twelve percent a month."""
FAILED, CACHED, GUESSED = 0.02, 0.03, 0.01
"""Which part of the requests fail, come from a cache, and have tokens that the sender guessed."""
BY_ID = {model.id: model for model in MODELS}


@dataclass(frozen=True)
class Months:
    """Days of use: from the first to the moment that is now."""

    users: Sequence[User]
    first: date
    now: datetime
    zone: ZoneInfo
    requests_a_day: float
    """About how many a working day has at the end."""
    seed: int = 0

    def days(self) -> list[date]:
        last = self.now.astimezone(self.zone).date()
        return [self.first + timedelta(days=n) for n in range((last - self.first).days + 1)]

    def events(self, day: date) -> Iterator[Event]:
        """Make a day's events. None is later than now."""
        of_day = Random(f"{self.seed}/{day}")
        age = (self.now.astimezone(self.zone).date() - day).days
        expected = self.requests_a_day * WEEKEND.get(day.weekday(), 1) / GROWTH_PER_DAY**age
        expected *= of_day.uniform(0.8, 1.2)
        whole = sum(user.weight for user in self.users)
        for user in self.users:
            random = Random(f"{self.seed}/{day}/{user.id}")
            for number in range(_about(expected * user.weight / whole, random)):
                event = _event(user, day, number, self.zone, random)
                if event["ts"] <= timestamp(self.now):
                    yield event


def _about(expected: float, random: Random) -> int:
    """A whole number whose mean is the expected one: Poisson's, by the pauses between requests."""
    number, left = 0, expected
    while (left := left - random.expovariate(1)) > 0:
        number += 1
    return number


def _event(user: User, day: date, number: int, zone: ZoneInfo, random: Random) -> Event:
    model = _model(user, random)
    # A chat sends what was said before along, so it asks much more than it is answered.
    asked = int(min(random.lognormvariate(8.6, 1.0), 150_000)) + 20
    answered = 0 if model.embeds else int(min(random.lognormvariate(6.1, 0.8), 12_000)) + 5
    event: Event = {
        "userId": user.id,
        "eventId": f"months-{day}-{random.getrandbits(48):012x}-{number}",
        "ts": timestamp(_time(day, zone, random)),
        "model": model.name,
        "provider": model.provider,
        "modelGroup": model.name,
        "callType": "aembedding" if model.embeds else "acompletion",
        "status": "success",
        "tokens_in": asked,
        "tokens_out": answered,
        "latency": _seconds(random.uniform(0.2, 0.9) + answered / model.tokens_per_second),
        "keyAlias": _key(day, random),
        "tags": random.sample(TAGS, random.choice((0, 1, 1, 2))),
        "source": "litellm/1.106.2",
        "conversationId": f"{random.getrandbits(64):016x}",
    }
    if user.team:
        event["teamId"] = user.team
    if model.prices:
        event["costUSD"] = _cost(model.prices, asked, answered)
    return event | _outcome(random, model)


def _outcome(random: Random, model: Model) -> Event:
    """What differs for a request that failed, came from a cache, or was stopped."""
    chance = random.random()
    if chance < FAILED:
        return {
            "status": "failure",
            "errorCode": "429",
            "tokens_in": 0,
            "tokens_out": 0,
            "costUSD": Decimal(0),
        }
    if chance < FAILED + CACHED:
        return {"cacheHit": True, "costUSD": Decimal(0), "latency": Decimal("0.004")}
    if chance < FAILED + CACHED + GUESSED and not model.embeds:
        return {"estimated": True, "stream": True, "errorCode": "499"}
    return {}


def _model(user: User, random: Random) -> Model:
    if random.random() < 0.6:
        return BY_ID[user.model]
    return random.choices(MODELS, [model.share for model in MODELS])[0]


def _key(day: date, random: Random) -> str:
    weights = (6, 3, 1) if day.weekday() < 5 else (3, 1, 4)
    return random.choices(list(KEYS), weights)[0]


def _time(day: date, zone: ZoneInfo, random: Random) -> datetime:
    """A moment of the day, by the clocks of the reporting time zone: mostly in office hours."""
    hour = random.choice((random.gauss(10.3, 1.1), random.gauss(15, 1.4), random.gauss(13.5, 3.5)))
    moment = datetime.combine(day, time(), zone) + timedelta(hours=min(max(hour, 0.0), 23.9))
    return moment.astimezone(UTC)


def _cost(prices: tuple[str, str], asked: int, answered: int) -> Decimal:
    """Dollars, exactly."""
    return (asked * Decimal(prices[0]) + answered * Decimal(prices[1])).scaleb(-6)


def _seconds(seconds: float) -> Decimal:
    return Decimal(f"{seconds:.3f}")
