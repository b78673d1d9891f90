/** Days as text, YYYY-MM-DD, in the reporting time zone. */

const MS = 86_400_000;

export function today(timeZone) {
  const format = new Intl.DateTimeFormat("en", { timeZone, year: "numeric", month: "2-digit", day: "2-digit" });
  const parts = Object.fromEntries(format.formatToParts(new Date()).map(({ type, value }) => [type, value]));
  return `${parts.year}-${parts.month}-${parts.day}`;
}

export const plus = (day, days) => new Date(Date.parse(day) + days * MS).toISOString().slice(0, 10);
export const between = (first, last) => Math.round((Date.parse(last) - Date.parse(first)) / MS) + 1;
export const monthStart = (day) => `${day.slice(0, 7)}-01`;
export const monthEnd = (day) => plus(monthStart(plus(monthStart(day), 31)), -1);
export const lastMonth = (day) => monthStart(plus(monthStart(day), -1));
export const list = (first, last) => Array.from({ length: between(first, last) }, (_, n) => plus(first, n));

/** The same day of the month before, or that month's last day. */
export function sameDayLastMonth(day) {
  const end = monthEnd(lastMonth(day));
  return day.slice(8) > end.slice(8) ? end : end.slice(0, 8) + day.slice(8);
}

export const PRESETS = {
  thisMonth: (now) => [monthStart(now), now],
  lastMonth: (now) => [lastMonth(now), monthEnd(lastMonth(now))],
  last7: (now) => [plus(now, -6), now],
  last30: (now) => [plus(now, -29), now],
  last90: (now) => [plus(now, -89), now],
  thisYear: (now) => [`${now.slice(0, 4)}-01-01`, now],
};

export const DAYS_MAX = 366;

/** The range of an address, if it is one that the API takes, up to today; else this month. */
export function rangeOf(query, now) {
  const [from, to] = [query.get("from"), query.get("to")];
  const isDay = (text) =>
    /^2\d{3}-\d{2}-\d{2}$/.test(text ?? "") && !Number.isNaN(Date.parse(text)) && plus(text, 0) === text;
  if (!isDay(from) || !isDay(to) || from > to || from > now || between(from, to) > DAYS_MAX) {
    return PRESETS.thisMonth(now);
  }
  return [from, to < now ? to : now];
}
