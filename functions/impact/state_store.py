"""State: the table of fx rates, settings of days, late marks, totals and the rollup's watermark."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from impact import keys
from impact.calendar import FIRST_DAY, Period, Settings, day_before, timestamp
from impact.dynamodb import Table, Version, item_from_wire, to_wire
from impact.fx_rates import FX_LOOKBACK_DAYS, FxRate, FxRates
from impact.keys import MARK_GROUP, day_shard, fx_rate_key, parse_day_shard, parse_fx_rate_key
from impact.types import Item

LAST_DAY = "9999-12-31"


@dataclass(frozen=True)
class LateMark:
    """The late mark of a (day, shard), as it was read."""

    day: str
    shard: int
    number: int = 0
    """How often the mark was set. It only grows, so a mark that was set again differs from the one before."""
    since: datetime | None = None  # when it was set first since it was last cleared; None if it is not set


@dataclass(frozen=True)
class StoredDailyTotal:
    """A day's total, stored so that readers need not add up its shards."""

    changes: int  # how often a total of the day's shards has changed since the day closed
    sums: Item | None  # None: not known, or out of date since one of these changes


@dataclass(frozen=True)
class Progress:
    """Days up to the watermark are final, except where a late mark is set."""

    watermark: str
    shard_count: int  # of the stack's first days: an earlier release reads it


class StateStore(Table):
    """What the service knows beside events and summaries, by kind and key."""

    # Fx rates. The first rate of an ECB date stays; its corrections lie beside it.

    def fx_rates(self, first: str, last: str) -> FxRates:
        """Read the rates in effect of the ECB dates from first to last, both included."""
        entries = self.fx_rate_entries(first, last)
        return FxRates({parse_fx_rate_key(item["key"])[0]: Decimal(item["usd"]) for item in entries})

    def fx_rate_entries(self, first: str, last: str | None = None) -> list[Item]:
        """Read the rates of the ECB dates from first to last, with their corrections, in order.

        The last entry of a date is in effect. Without `last`, those of one date.
        """
        entries = self._between(keys.FX_RATE, first, last or first)
        return sorted(entries, key=lambda item: parse_fx_rate_key(item["key"]))

    def fx_rate_of(self, day: str) -> FxRate | None:
        """Read the rate that a day is converted at, or None while it is not known."""
        return self.fx_rates(day_before(day, FX_LOOKBACK_DAYS), day).of(day)

    def put_fx_rate(self, rate: FxRate, *, source: str, now: datetime, reason: str | None = None) -> bool:
        """Store the first rate of an ECB date. Return False if the date has one: that one stays."""
        why = {} if reason is None else {"reason": reason}
        return self._put_fx_rate(fx_rate_key(rate.date), rate, {"source": source} | why, now)

    def put_fx_correction(
        self, rate: FxRate, number: int, *, replaces: Decimal, source: str, reason: str, now: datetime
    ) -> bool:
        """Store the rate in effect from now on. `number` counts the corrections of its date from 1.

        Return False if that correction is there already: it stays.
        """
        why = {"source": source, "reason": reason, "replaces": replaces}
        return self._put_fx_rate(fx_rate_key(rate.date, number), rate, why, now)

    def _put_fx_rate(self, key: str, rate: FxRate, why: Item, now: datetime) -> bool:
        item = {"kind": keys.FX_RATE, "key": key, "usd": rate.usd, "recordedAt": timestamp(now)} | why
        return self.put_once("attribute_not_exists(usd)", item)

    # The settings of days

    def periods(self) -> tuple[Period, ...]:
        """Read from which day on which settings are in effect, in order."""
        return tuple(_period(item) for item in self._between(keys.PERIOD, FIRST_DAY, LAST_DAY))

    def put_first_period(self, period: Period, now: datetime) -> bool:
        """Store the first settings of the stack. Return False if there are some: those stay."""
        return self.put_if("attribute_not_exists(shardCount)", _period_item(period, now))

    def put_period(self, period: Period, now: datetime) -> None:
        """Store settings for a day to come, in place of those that were to begin on that day."""
        self.client.put_item(TableName=self.name, Item=to_wire(_period_item(period, now)))

    # Late marks, MARK_GROUP shards to an item

    def mark_late(self, day: str, shards: Iterable[int], now: datetime) -> None:
        """Ask for shards of a closed day, all of one group, to be recomputed.

        A delayed retry of the SDK's may mark them once more, which does no harm.
        """
        shards = list(shards)
        [group] = {shard // MARK_GROUP for shard in shards}
        since = ", ".join(f"since{shard} = if_not_exists(since{shard}, :now)" for shard in shards)
        number = ", ".join(f"left{shard} :one" for shard in shards)
        values = {":now": int(now.timestamp()), ":one": 1}
        self.update(_mark_key(day, group), f"SET {since} ADD {number}", values)

    def late_mark(self, day: str, shard: int) -> LateMark:
        marks = _marks(self._get(_mark_key(day, shard // MARK_GROUP)) or {})
        return next((mark for mark in marks if mark.shard == shard), LateMark(day, shard))

    def late_marks(self, first: str = FIRST_DAY, last: str = LAST_DAY) -> list[LateMark]:
        """List the marks that are set, of the days from first to last."""
        items = self._between(keys.MARK, first, last)
        return [mark for item in items for mark in _marks(item) if mark.since]

    def marked(self, first: str = FIRST_DAY, last: str = LAST_DAY) -> set[tuple[str, int]]:
        """List the marked (day, shard)s of the days from first to last."""
        return {(mark.day, mark.shard) for mark in self.late_marks(first, last)}

    def clear_mark(self, mark: LateMark) -> bool:
        """Clear a mark unless it was set again since it was read. Return whether it is cleared."""
        condition = f"attribute_not_exists(since{mark.shard}) OR left{mark.shard} = :number"
        key = _mark_key(mark.day, mark.shard // MARK_GROUP)
        return self.update_if(condition, key, f"REMOVE since{mark.shard}", {":number": mark.number})

    def delete_cleared_marks(self, before: str) -> None:
        """Delete the cleared marks of days before one: those days take no more events."""
        for item in list(self._between(keys.MARK, FIRST_DAY, day_before(before))):
            if not any(mark.since for mark in _marks(item)):
                key = to_wire({"kind": keys.MARK, "key": item["key"]})
                self.client.delete_item(TableName=self.name, Key=key)

    def migrate_old_marks(self, now: datetime) -> None:
        """Replace the marks that an earlier release has set, an item each."""
        for item in list(self._between(keys.OLD_MARK, FIRST_DAY, LAST_DAY)):
            day, shard = parse_day_shard(item["key"])
            self.mark_late(day, [shard], now)
            self.delete_if(
                "attribute_not_exists(#token) OR #token = :token",
                {"kind": keys.OLD_MARK, "key": item["key"]},
                ExpressionAttributeNames={"#token": "token"},
                ExpressionAttributeValues=to_wire({":token": item["token"]}),
            )

    # Totals of (day, shard)s

    def shard_total(self, day_shard: str) -> Item | None:
        return self._get({"kind": keys.SHARD_TOTAL, "key": day_shard})

    def shard_totals(self, first: str, last: str) -> Iterator[Item]:
        """Read the totals of all (day, shard)s from the first to the last day."""
        return self._between(keys.SHARD_TOTAL, first, last)

    def users_by_shard(self, day: str) -> dict[int, int]:
        """Return how many users each shard of a day has, without the empty ones."""
        return {total["shard"]: total["users"] for total in self.shard_totals(day, day) if total["users"]}

    def first_day_with_total(self) -> str | None:
        """The first day with a shard total; None before the first rollup."""
        kind = to_wire({":k": keys.SHARD_TOTAL})
        pages = self.pages(
            KeyConditionExpression="kind = :k", ExpressionAttributeValues=kind, Limit=1, ConsistentRead=True
        )
        return next((parse_day_shard(item["key"]["S"])[0] for item in next(pages)), None)

    def put_shard_total(self, day_shard: str, total: Item, before: Version | None) -> bool:
        """Replace the version that was read (None: there was none). Return whether it was still there."""
        return self.replace({"kind": keys.SHARD_TOTAL, "key": day_shard} | total, before)

    # Totals of days

    def outdate_daily_total(self, day: str) -> None:
        """Record that a shard total of a closed day has changed: the day's stored total is out of date."""
        self.update({"kind": keys.DAILY_TOTAL, "key": day}, "ADD changes :one", {":one": 1})

    def daily_totals(self, first: str, last: str) -> dict[str, StoredDailyTotal]:
        """Read the stored totals of the days from the first to the last, by day."""
        return {
            item["key"]: StoredDailyTotal(
                item["changes"], item["sums"] if item.get("summed") == item["changes"] else None
            )
            for item in self._between(keys.DAILY_TOTAL, first, last)
        }

    def put_daily_total(self, day: str, sums: Item, changes: int) -> bool:
        """Store a day's total. Return False if a shard total has changed since `changes` was read.

        Read `changes` before the shard totals.
        """
        key, values = {"kind": keys.DAILY_TOTAL, "key": day}, {":sums": sums, ":changes": changes}
        return self.update_if("changes = :changes", key, "SET sums = :sums, summed = :changes", values)

    # The watermark

    def progress(self) -> Progress | None:
        item = self._get({"kind": keys.PROGRESS, "key": "progress"})
        return Progress(item["finalThrough"], item["shardCount"]) if item else None

    def put_progress(self, progress: Progress) -> None:
        """Store the watermark, unless that would move it back."""
        item: Item = {"kind": keys.PROGRESS, "key": "progress", "finalThrough": progress.watermark}
        condition = "attribute_not_exists(finalThrough) OR finalThrough < :day"
        self.put_if(
            condition, item | {"shardCount": progress.shard_count}, {":day": {"S": progress.watermark}}
        )

    def _get(self, key: Item) -> Item | None:
        response = self.client.get_item(TableName=self.name, Key=to_wire(key), ConsistentRead=True)
        return item_from_wire(response["Item"]) if response.get("Item") else None

    def _between(self, kind: str, first_day: str, last_day: str) -> Iterator[Item]:
        if first_day > last_day:  # an error to DynamoDB, and nothing to moto
            return iter(())
        pages = self.pages(
            KeyConditionExpression="kind = :k AND #key BETWEEN :a AND :b",
            ExpressionAttributeNames={"#key": "key"},
            # "~" sorts after every shard number.
            ExpressionAttributeValues=to_wire({":k": kind, ":a": first_day, ":b": f"{last_day}#~"}),
            ConsistentRead=True,
        )
        return (item_from_wire(item) for page in pages for item in page)


def _mark_key(day: str, group: int) -> Item:
    return {"kind": keys.MARK, "key": day_shard(day, group)}


def _marks(item: Item) -> list[LateMark]:
    """Read the marks of an item, cleared ones too, by shard."""
    shards = sorted(int(name.removeprefix("left")) for name in item if name.startswith("left"))
    day = parse_day_shard(item["key"])[0] if shards else ""
    since = {shard: item.get(f"since{shard}") for shard in shards}
    return [
        LateMark(day, shard, item[f"left{shard}"], datetime.fromtimestamp(at, UTC) if at else None)
        for shard, at in since.items()
    ]


def _period(item: Item) -> Period:
    retention = timedelta(days=item["retentionDays"])
    return Period(item["key"], Settings(ZoneInfo(item["timeZone"]), retention, item["shardCount"]))


def _period_item(period: Period, now: datetime) -> Item:
    zone, days = period.settings.zone.key, period.settings.retention.days
    settings = {"timeZone": zone, "retentionDays": days, "shardCount": period.settings.shard_count}
    return {"kind": keys.PERIOD, "key": period.first_day} | settings | {"recordedAt": timestamp(now)}
