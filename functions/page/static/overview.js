/** The figures of everybody, of one value of a dimension, or of one person. */

import { dearest, stackedDays } from "./chart.js";
import * as days from "./days.js";
import { add, compare, isZero, ratio, scaled, subtract, sum } from "./decimal.js";
import { figure, h, named, visible } from "./dom.js";
import * as format from "./format.js";
import { t } from "./format.js";
import { address } from "./frame.js";
import { dataTable } from "./table.js";

export const SERIES_MAX = 6;
const DAYS_LISTED = 4;
const FOOTPRINT = ["energyKWh", "co2eKg", "waterL"];
export const PLURAL = {
  user: "users",
  team: "teams",
  key: "keys",
  tag: "tags",
  model: "models",
  provider: "providers",
};

const REST = "other/other"; // of the models of a day
const NAMED = ["user", "team", "key"];

const amount = (exact, currency = "EUR") => figure(format.money(exact, currency), exact);

/** What costs are shown in: euros, or dollars where no rate is known yet. @param {any} total sums, or a row */
export function moneyOf({ costEUR, unconverted }) {
  const inDollars = isZero(costEUR ?? "0") && !isZero(unconverted ?? "0");
  return inDollars ? { cost: "costUSD", currency: "USD" } : { cost: "costEUR", currency: "EUR" };
}
const counted = (exact) => figure(format.count(exact), exact);

// ------------------------------------------------------------------- month

/** This month's money, how it compares, and where it leads. `rows` are days from the first of last month on. */
export function monthFigures(rows, now, billed) {
  const upTo = (first, last) => rows.filter(({ day }) => day >= first && day <= last);
  const [first, before] = [days.monthStart(now), days.lastMonth(now)];
  const total = (of, name) => sum(of.map((row) => row[name] ?? "0"));
  const month = upTo(first, now);
  const cost = total(month, "costEUR");
  const all = total(month, "billedEUR");
  const { cost: costs, currency } = moneyOf({ costEUR: cost, unconverted: total(month, "unconverted") });
  const name = billed && !isZero(all) ? "billedEUR" : costs;
  const money = total(month, name);
  const earlier = total(upTo(before, days.sameDayLastMonth(now)), name);
  const full = days.between(first, now) - 1;
  const paced =
    full > 0 &&
    pace(total(upTo(first, days.plus(now, -1)), name), money, full, days.between(first, days.monthEnd(now)));
  const usd = total(month, "costUSD");
  const parts = [
    ["cost", cost],
    ["markup", total(month, "markupEUR")],
    ["fee", total(month, "restorationFeeEUR")],
    ["billed", all],
  ];
  return [
    h(
      "div",
      { class: "now" },
      h("p", { class: "label" }, t("soFar", { month: format.monthName(now) })),
      h("p", { class: "headline" }, amount(money, currency)),
      h("p", {}, isZero(earlier) ? t("comparedNone") : compared(money, earlier, currency)),
      compare(all, cost) !== 0 &&
        facts(parts.filter(([, exact]) => !isZero(exact)).map(([key, exact]) => [t(key), amount(exact)])),
      currency !== "USD" &&
        !isZero(usd) &&
        h("p", { class: "minor" }, `${t("dollars")}: `, figure(format.money(usd, "USD"), usd)),
    ),
    h("div", { class: "ahead" }, paceOf(money, paced, full, currency), h("div", { class: "budget", hidden: true })),
  ];
}

/** The full days so far, continued evenly to the month's end; today with its own cost where that is more. */
export function pace(before, money, full, inMonth) {
  const more = subtract(subtract(money, before), scaled(before, 1, full));
  const evenly = scaled(before, inMonth, full);
  return compare(more, "0") > 0 ? add(evenly, more) : evenly;
}

/** Where the month leads if the days to come are like the full ones, and how much of that is spent. */
function paceOf(money, paced, full, currency) {
  if (!paced) return h("p", { class: "pace" }, t("paceNone"));
  const bar = h("div", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--part", `${Math.min(100, ratio(money, paced) * 100)}%`);
  return [
    h("p", { class: "label" }, t("pace")),
    h("p", { class: "pace" }, "≈ ", format.money(paced, currency)),
    bar,
    h("p", { class: "minor" }, t("paceHow", { of: full, days: full })),
  ];
}

function compared(money, earlier, currency) {
  const part = ratio(subtract(money, earlier), earlier);
  const [before, after] = t("comparedMore", { change: format.change(part), money: "\0" }).split("\0");
  return [before, amount(earlier, currency), after];
}

const facts = (pairs) =>
  h(
    "dl",
    { class: "facts" },
    pairs.map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))),
  );

// ------------------------------------------------------------------- range

/** The range picker. A choice becomes the address. */
export function rangePicker({ now, place }, range) {
  const presets = Object.entries(days.PRESETS).map(([name, of]) => [name, of(now)]);
  const chosen = presets.find(([, [from, to]]) => from === range[0] && to === range[1])?.[0] ?? "custom";
  const go = (from, to) => (location.hash = address(place.by, place.value, [from, to]));
  const select = h(
    "select",
    {
      "aria-label": t("range"),
      onchange: ({ target }) =>
        target.value === "custom" ? from.focus() : go(...presets.find(([name]) => name === target.value)[1]),
    },
    [...presets.map(([name]) => name), "custom"].map((name) =>
      h("option", { value: name, selected: name === chosen }, t(name)),
    ),
  );
  const [from, to] = ["from", "to"].map((name, index) =>
    h("input", { type: "date", value: range[index], max: now, required: true, "aria-label": t(name) }),
  );
  const wrong = h("span", { class: "wrong", role: "alert" });
  function apply(event) {
    event.preventDefault();
    const fits =
      from.value && to.value && from.value <= to.value && days.between(from.value, to.value) <= days.DAYS_MAX;
    wrong.textContent = fits ? "" : t("rangeWrong");
    if (fits) go(from.value, to.value);
  }
  return h(
    "form",
    { class: "range", onsubmit: apply },
    select,
    from,
    h("span", { "aria-hidden": "true" }, "–"),
    to,
    h("button", { type: "submit" }, t("apply")),
    wrong,
  );
}

// ------------------------------------------------------------------- chart

/** Parts of each day by model, from the days' own `models`. */
function byModel(rows, { cost }) {
  const amounts = new Map();
  for (const { models } of rows) {
    for (const [name, figures] of Object.entries(models ?? {}))
      amounts.set(name, [...(amounts.get(name) ?? []), figures[cost]]);
  }
  const series = dearest(amounts, SERIES_MAX);
  const shown = series.map((name) => (name === REST ? t("rest") : name));
  return { series: shown, ids: series, parts: (row) => series.map((name) => row.models?.[name]?.[cost] ?? "0") };
}

/** Parts of each day by value: those of the dearest ones, whose items have days. */
export function byValue(all, { cost }) {
  const items = all.filter(({ days: rows }) => rows);
  const costs = items.map(({ days: rows }) => new Map(rows.map((row) => [row.day, row[cost]])));
  return {
    series: items.map(({ value, name }) => name ?? value),
    ids: items.map(({ value }) => value),
    parts: ({ day }) => costs.map((of) => of.get(day) ?? "0"),
  };
}

/** The bars of a range, and the table that says the same. */
export function daysChart(rows, range, { series, ids, parts }, { cost, currency }, file) {
  const byDay = new Map(rows.map((row) => [row.day, row]));
  const all = days.list(...range).map((day) => {
    const row = byDay.get(day) ?? { day, [cost]: "0", final: true, models: {} };
    const known = parts(row);
    return { day, parts: [...known, subtract(row[cost], sum(known))], total: row[cost], final: row.final };
  });
  const partsOf = new Map(all.map((each) => [each.day, each.parts]));
  const others = all.some((day) => compare(day.parts.at(-1), "0") > 0);
  const names = series.length === 0 ? [t("cost")] : others ? [...series, t("others")] : series;
  const columns = (series.length === 0 ? [] : names).map((label, index) => ({
    label: visible(label),
    field: `${cost}: ${ids[index] ?? "others"}`,
    minor: true,
    value: ({ day }) => partsOf.get(day)[index],
    show: ({ day }) => amount(partsOf.get(day)[index], currency),
  }));
  return [
    stackedDays(all, names, currency),
    h("details", {}, h("summary", {}, t("moneyPerDayTable")), daysTable(rows, { cost, currency }, columns, file)),
  ];
}

function daysTable(rows, { cost, currency }, partColumns, file) {
  const billed = rows.some((row) => row.billedEUR !== undefined && compare(row.billedEUR, row.costEUR) !== 0);
  const columns = [
    { label: t("day"), field: "day", text: true, value: (row) => row.day, show: (row) => format.dayName(row.day) },
    { label: t("cost"), field: cost, value: (row) => row[cost], show: (row) => amount(row[cost], currency) },
    billed && {
      label: t("billed"),
      field: "billedEUR",
      value: (row) => row.billedEUR ?? "0",
      show: (row) => amount(row.billedEUR ?? "0"),
    },
    ...useColumns(),
    ...partColumns,
    {
      label: t("state"),
      field: "final",
      text: true,
      value: (row) => String(row.final),
      show: (row) => t(row.final ? "final" : "notFinal"),
    },
  ];
  return dataTable({ caption: t("moneyPerDay"), file, columns: columns.filter(Boolean), rows });
}

const useColumns = () =>
  [
    ["requests", "requests"],
    ["tokens_in", "tokensIn"],
    ["tokens_out", "tokensOut"],
  ].map(([field, label]) => ({
    label: t(label),
    field,
    value: (row) => row[field] ?? "0",
    show: (row) => counted(row[field] ?? "0"),
  }));

// ------------------------------------------------------------------ values

/** A table of users, teams ..., each with a link to the page of its own, if there are such pages. */
export function valuesTable(by, items, total, range, { file, hasPages = true, more = null }) {
  const { cost, currency } = moneyOf(total);
  const share = (row) => ratio(row[cost], total[cost]);
  const some = (name) => (more && NAMED.includes(by)) || items.some((row) => row[name]);
  const label = ({ value, rest, name }) =>
    rest
      ? h("em", {}, t("rest"))
      : value === null
        ? h("em", {}, t("none"))
        : hasPages
          ? h("a", { href: address(by, value, range) }, named(name ?? value))
          : named(name ?? value);
  const columns = [
    {
      label: t(by),
      field: "value",
      text: true,
      value: (row) => row.value ?? "",
      order: (row) => row.name ?? row.value ?? "",
      show: label,
    },
    some("name") && {
      label: "Id",
      field: "name",
      text: true,
      minor: true,
      value: (row) => row.name ?? "",
      order: (row) => row.value ?? "",
      show: (row) => (row.name ? named(row.value, "id minor") : ""),
    },
    some("costCentre") && {
      label: t("costCentre"),
      field: "costCentre",
      text: true,
      value: (row) => row.costCentre ?? "",
      show: (row) => named(row.costCentre ?? ""),
    },
    { label: t("cost"), field: cost, value: (row) => row[cost], show: (row) => amount(row[cost], currency) },
    { label: t("share"), field: "share", value: (row) => String(share(row)), show: (row) => shareBar(share(row)) },
    ...useColumns(),
    items.some(({ rest }) => rest) && { field: "rest", value: (row) => (row.rest ? "true" : "") },
  ];
  return dataTable({
    caption: t(PLURAL[by]),
    file,
    sorted: t("cost"),
    columns: columns.filter(Boolean),
    rows: items,
    last: (row) => Boolean(row.rest),
    more,
  });
}

function shareBar(part) {
  const bar = h("span", { class: "bar", "aria-hidden": "true" });
  bar.style.setProperty("--part", `${Math.min(100, Math.max(0, part * 100))}%`);
  return h("span", { class: "share" }, bar, h("span", {}, format.percent(part)));
}

/** Rows of a table of models, from the `models` of a sum. */
const modelItems = (models) =>
  Object.entries(models ?? {})
    .map(([name, figures]) => (name === REST ? { value: null, rest: true, ...figures } : { value: name, ...figures }))
    .sort(
      (a, b) => Boolean(a.rest) - Boolean(b.rest) || compare(b.costEUR, a.costEUR) || compare(b.costUSD, a.costUSD),
    );

// ---------------------------------------------------------------- coverage

/** What is not in the figures, each with what to do. `final`: all days are, those without use too. */
export function coverage(total, rows, final, { isMine = false, inRest = [] } = {}) {
  const open = rows.filter(({ final }) => !final).map(({ day }) => day);
  const listed = (open.length > DAYS_LISTED ? "… " : "") + open.slice(-DAYS_LISTED).map(format.dayMonth).join(", ");
  const some = (name) => total[name] !== undefined && !isZero(total[name]);
  const counts = (amount) => ({ of: amount, n: format.count(String(amount)) });
  const found = [
    some("unpriced") && [t("unpriced", counts(total.unpriced)), t(isMine ? "unpricedMe" : "unpricedDo")],
    some("unconverted") && [t("unconverted", { money: format.money(total.unconverted, "USD") }), t("unconvertedDo")],
    some("unrated") && [t("unrated", counts(total.unrated)), isMine ? "" : t("unratedDo")],
    some("estimated") && [t("estimated", counts(total.estimated)), t("estimatedDo")],
    some("repriced") && [t("repriced", counts(total.repriced)), isMine ? "" : t("repricedDo")],
    open.length > 0 && [t("openDays", { ...counts(open.length), days: listed }), t("openDaysDo")],
    open.length === 0 && !final && [t("openSome"), t("openDaysDo")],
    inRest.length > 0 && [t("inRest", counts(inRest.length)), t("inRestDo")],
  ].filter(Boolean);
  if (!found.length) return [h("p", { class: "fine" }, t("nothingMissing"))];
  return [
    h(
      "ul",
      { class: "missing" },
      found.map(([what, how]) => h("li", {}, h("strong", {}, what), " ", how)),
    ),
  ];
}

// --------------------------------------------------------------- footprint

export function footprint(total) {
  const known = FOOTPRINT.filter((name) => total[name]);
  if (!known.length || isZero(total.rated ?? "0")) return [h("p", {}, t("footprintUnknown"))];
  const pairs = known.map((name) => [
    t(name),
    figure(format.range(name, total[name]), `${total[name].low} - ${total[name].high}`, "range"),
  ]);
  if (total.restoredM2) pairs.push([t("restoredM2"), figure(format.square(total.restoredM2), total.restoredM2)]);
  return [facts(pairs), h("p", { class: "minor" }, t("footprintSource", { n: format.count(total.rated) }))];
}

export const empty = (help) => h("div", { class: "empty" }, h("p", {}, h("strong", {}, t("empty"))), h("p", {}, help));

const sumFacts = (total) =>
  facts([
    [t("cost"), amount(total[moneyOf(total).cost], moneyOf(total).currency)],
    ...(total.billedEUR !== undefined && compare(total.billedEUR, total.costEUR) !== 0
      ? [
          [t("markup"), amount(total.markupEUR ?? "0")],
          [t("fee"), amount(total.restorationFeeEUR ?? "0")],
          [t("billed"), amount(total.billedEUR)],
        ]
      : []),
    [t("requests"), counted(total.requests)],
    [t("tokensIn"), counted(total.tokens_in)],
    [t("tokensOut"), counted(total.tokens_out)],
  ]);

// ------------------------------------------------------------------- usage

/**
 * The panels of one value or person: sums, money per day by model, models, what is missing, footprint.
 *
 * @param {{panel: Function, range: string[]}} given
 * @param {() => Promise<any>} usage reads the days and their sum
 * @param {{file: string, help: string, isFinal: () => Promise<boolean>, isMine?: boolean, hasModels?: boolean}} options
 */
export function usagePanels({ panel, range }, usage, { file, help, isFinal, isMine = false, hasModels = true }) {
  async function chart() {
    const { days: rows, total } = await usage();
    const money = moneyOf(total);
    return rows.length
      ? daysChart(rows, range, byModel(rows, money), money, `${file}-days-${range.join("-")}`)
      : [empty(help)];
  }
  async function models() {
    const { total } = await usage();
    const items = modelItems(total.models);
    const options = { file: `${file}-models-${range.join("-")}`, hasPages: !isMine };
    return items.length ? [valuesTable("model", items, total, range, options)] : [empty(help)];
  }
  async function missing() {
    const [{ days: rows, total, inRest }, final] = await Promise.all([usage(), isFinal()]);
    return coverage(total, rows, final, { isMine, inRest });
  }
  return [
    panel(null, async () => [sumFacts((await usage()).total)], { className: isMine ? "" : "hero" }),
    panel(t("moneyPerDay"), chart),
    hasModels && panel(t("models"), models),
    panel(t("notIn"), missing),
    panel(t("footprint"), async () => footprint((await usage()).total)),
  ];
}
