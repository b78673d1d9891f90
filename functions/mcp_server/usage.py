"""A user's use of a period, as the API has it, and what each tool says of it: the days, what is missing."""

from dataclasses import dataclass
from datetime import datetime

from impact.calendar import days_between
from impact.types import Item
from impact.usage_reader import UsageReader
from mcp_server.period import Period
from mcp_server.protocol import JSON
from mcp_server.wording import amount, count, listed, plain, quoted, shown_name


@dataclass(frozen=True)
class Usage:
    """A user's days of a period, and their sum, with the API's field names and units."""

    user_id: str
    period: Period
    today: str
    zones: list[str]
    """The time zones in which the days begin: one, unless the operator has changed it."""
    days: list[Item]
    """Those with use, in order."""
    total: Item
    not_final: list[str]

    @property
    def still_to_come_after(self) -> str | None:
        """Today, where the period goes on after it."""
        return self.today if self.period.last > self.today else None

    @property
    def counted_at(self) -> str | None:
        """When the newest of the figures was counted."""
        return max((day["asOf"] for day in self.days), default=None)


def read_usage(reader: UsageReader, user_id: str, period: Period, now: datetime) -> Usage:
    of = (user_id, period.first, period.last)
    open_days = reader.open_days(*of, now)  # before the figures, as the reader itself reads marks first
    page = reader.user(*of, fresh=False, now=now)
    days = page["days"]
    while "next" in page:
        page = reader.user(*of, fresh=False, now=now, cursor=page["next"])
        days += page["days"]
    final = {day["day"]: day["final"] for day in days}
    settings = [reader.calendar.settings_of(day) for day in days_between(period.first, period.last)]
    return Usage(
        user_id,
        period,
        today=reader.calendar.day_of(now),
        zones=list(dict.fromkeys(of_day.zone.key for of_day in settings)),
        days=days,
        total=page["total"],
        not_final=sorted(day for day in final.keys() | open_days if not final.get(day, False)),
    )


def headline(usage: Usage) -> str:
    first, last = usage.period.first, usage.period.last
    which = f"on {first}" if first == last else f"from {first} to {last}, both days included"
    zones = " and ".join(usage.zones)
    return f"Use of user {quoted(usage.user_id)} {which}. Days begin in the time zone {zones}."


def coverage_lines(usage: Usage) -> list[str]:
    """Say what is not in the figures, also where nothing is missing: a model must not have to guess."""
    total, lines = usage.total, ["What is not in these figures, or may change:"]
    if usage.not_final:
        lines.append(f"- Not final: {listed(usage.not_final)}. The figures of these days may still change.")
    else:
        lines.append(f"- Not final: no day{' up to today' if usage.still_to_come_after else ''}.")
    if usage.still_to_come_after:
        lines.append(f"- Still to come: the days after {usage.still_to_come_after}.")
    if usage.counted_at:
        lines.append(f"- Newest figure: of {usage.counted_at}. Later requests may not be counted yet.")
    unpriced, unrated = count(total["unpriced"], "request"), count(total["unrated"], "request")
    return [
        *lines,
        f"- Unpriced: {unpriced} without a known cost. No amount of money contains them.",
        f"- Not converted: {amount(total['unconverted'], 'USD')} for which no euros stand yet.",
        f"- Guessed: {count(total['estimated'], 'request')} whose tokens were guessed. They are contained.",
        f"- Unrated: {unrated} without an estimate. No footprint contains them.",
    ]


def common_fields(usage: Usage) -> JSON:
    """The structured content that every tool has."""
    total = usage.total
    return {
        "userId": shown_name(usage.user_id),
        "from": usage.period.first,
        "to": usage.period.last,
        "timeZones": usage.zones,
        "coverage": {
            "notFinal": usage.not_final,
            "stillToComeAfter": usage.still_to_come_after,
            "countedAt": usage.counted_at,
            "unpriced": total["unpriced"],
            "unconvertedUSD": plain(total["unconverted"]),
            "estimated": total["estimated"],
            "unrated": total["unrated"],
        },
    }
