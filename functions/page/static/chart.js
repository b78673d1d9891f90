/** Money by day as stacked bars: SVG from the figures of the table below it, as wide as there is room. */

import { between, monthEnd, plus } from "./days.js";
import { compare, sum } from "./decimal.js";
import { h, named, svg, visible } from "./dom.js";
import { axisMoney, dayMonth, dayRange, money, monthName, t, weekday } from "./format.js";

const [HEIGHT, TOP, BOTTOM] = [250, 12, 26];
const [LEFT_MIN, CHARACTER_WIDTH, LABEL_GAP] = [60, 6.8, 8];
const [BAR_MAX, LABEL_WIDTH, TIP_GAP] = [40, 64, 28];
const [DAYS_AS_BARS, DAYS_AS_WEEKS] = [62, 200];

/** @typedef {{day: string, parts: string[], total: string, final: boolean}} Day a part a series, in their order */

/**
 * @param {Day[]} days
 * @param {string[]} series names
 * @param {string} currency
 */
export function stackedDays(days, series, currency = "EUR") {
  const bars = grouped(days);
  const highest = bars.reduce((most, { total }) => (compare(total, most) > 0 ? total : most), "0");
  const label = t("chartLabel", { days: days.length, highest: money(highest, currency) });
  const tip = h("div", { class: "tip", role: "status", hidden: true });
  const canvas = h("div", { class: "canvas" });
  let chosen = -1;

  function choose(index) {
    chosen = Math.max(0, Math.min(bars.length - 1, index));
    const group = canvas.querySelectorAll("g")[chosen];
    unmark();
    group.classList.add("chosen");
    tip.replaceChildren(...tipLines(bars[chosen], series, currency));
    tip.hidden = false;
    tip.style.left = `${besides(Number(group.dataset.middle), tip.offsetWidth, canvas.clientWidth)}px`;
  }

  const unmark = () => canvas.querySelector(".chosen")?.classList.remove("chosen");

  function leave() {
    chosen = -1;
    tip.hidden = true;
    unmark();
  }

  function byKey(event) {
    const from = chosen < 0 ? bars.length : chosen;
    const to = { ArrowLeft: from - 1, ArrowRight: chosen + 1, Home: 0, End: bars.length - 1 }[event.key];
    if (event.key === "Escape") leave();
    if (to === undefined) return;
    event.preventDefault();
    choose(to);
  }

  const draw = (width) =>
    canvas.replaceChildren(picture(bars, Number(highest), { width, label, currency, choose, leave }));
  new ResizeObserver(([{ contentRect }]) => contentRect.width && draw(Math.round(contentRect.width))).observe(canvas);
  const legend = series.map((name, index) => h("li", {}, h("span", { class: `key s${index}` }), named(name)));
  return h(
    "figure",
    {},
    h("ul", { class: "legend" }, legend),
    h(
      "div",
      { class: "chart", tabindex: 0, role: "group", "aria-label": t("chartKeys"), onkeydown: byKey, onblur: leave },
      canvas,
      tip,
    ),
    bars.length < days.length &&
      h("p", { class: "minor" }, t(bars[0].unit === "week" ? "barsAreWeeks" : "barsAreMonths")),
  );
}

/**
 * Days together, so that bars stay wide enough to be seen: weeks from Monday on, or months.
 * @param {Day[]} days
 */
export function grouped(days) {
  const unit = days.length <= DAYS_AS_BARS ? "day" : days.length <= DAYS_AS_WEEKS ? "week" : "month";
  const last = days.at(-1).day;
  const bars = [];
  for (let first = days[0].day; first <= last; first = plus(bars.at(-1).last, 1)) {
    const end = unit === "day" ? first : unit === "week" ? sunday(first) : monthEnd(first);
    const until = end < last ? end : last;
    const start = between(days[0].day, first) - 1;
    const own = days.slice(start, start + between(first, until));
    const parts = own[0].parts.map((_, index) => sum(own.map((day) => day.parts[index])));
    bars.push({
      unit,
      first,
      last: until,
      parts,
      total: sum(own.map((day) => day.total)),
      final: own.every((day) => day.final),
    });
  }
  return bars;
}

/** Where a tip begins that hides no bar, if there is room. */
function besides(middle, width, room) {
  const left = middle < room / 2 ? middle + TIP_GAP : middle - TIP_GAP - width;
  return Math.max(0, Math.min(left, room - width));
}

const sunday = (day) => plus(day, (7 - new Date(day).getUTCDay()) % 7);

function nameOf({ unit, first, last }) {
  if (unit === "day") return weekday(first);
  return unit === "month" ? monthName(first) : dayRange(first, last);
}

function tipLines(bar, series, currency) {
  const line = (name, amount) => h("p", {}, h("span", {}, name), h("span", {}, money(amount, currency)));
  const parts = bar.parts.map((part, index) => [part, index]).filter(([part]) => compare(part, "0") > 0);
  return [
    line(h("strong", {}, nameOf(bar)), bar.total),
    ...parts
      .reverse()
      .map(([part, index]) => line([h("i", { class: `key s${index}` }), h("bdi", {}, visible(series[index]))], part)),
    bar.final ? "" : h("p", { class: "minor" }, t("notFinal")),
  ];
}

function picture(bars, highest, { width, label, currency, choose, leave }) {
  const { top, step } = scale(highest);
  const y = (amount) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - amount / top);
  const amounts = [];
  for (let amount = 0; amount < top + step / 2; amount += step) amounts.push(amount);
  const labels = amounts.map((amount) => axisMoney(amount, step, currency));
  const left = Math.max(LEFT_MIN, Math.max(...labels.map(({ length }) => length)) * CHARACTER_WIDTH + LABEL_GAP);
  const slot = (width - left) / bars.length;
  const lines = amounts.map((amount, index) => [
    svg("line", { x1: left, x2: width, y1: y(amount), y2: y(amount), class: amount ? "grid" : "axis" }),
    svg("text", { x: left - LABEL_GAP, y: y(amount) + 4, "text-anchor": "end" }, labels[index]),
  ]);
  const columns = bars.map((bar, index) => {
    const area = { x: left + slot * index, y: TOP, width: slot, height: HEIGHT - TOP - BOTTOM, class: "area" };
    return svg(
      "g",
      {
        "data-middle": left + slot * (index + 0.5),
        onpointerenter: () => choose(index),
        onpointerdown: () => choose(index),
      },
      svg("rect", area),
      column(bar, left + slot * index, slot, y),
    );
  });
  const every = Math.ceil(LABEL_WIDTH / slot);
  const names = bars
    .filter((_, index) => index % every === 0)
    .map(({ first }, index) =>
      svg("text", { x: left + slot * (index * every + 0.5), y: HEIGHT - 6, "text-anchor": "middle" }, dayMonth(first)),
    );
  const size = { viewBox: `0 0 ${width} ${HEIGHT}`, width, height: HEIGHT };
  return svg("svg", { ...size, role: "img", "aria-label": label, onpointerleave: leave }, lines.flat(), columns, names);
}

function column({ parts, final }, x, slot, y) {
  const width = Math.min(BAR_MAX, Math.max(1.5, slot * 0.72));
  let base = 0;
  return parts.map((part, index) => {
    const amount = Math.max(0, Number(part));
    if (amount === 0) return null;
    const [bottom, ceiling] = [y(base), y(base + amount)];
    base += amount;
    const place = { x: x + (slot - width) / 2, y: ceiling, width, height: bottom - ceiling };
    return svg("rect", { ...place, class: `s${index}${final ? "" : " open"}` });
  });
}

/** A round top that is not below the highest, and the step between the lines to it. @param {number} highest */
export function scale(highest) {
  if (!(highest > 0)) return { top: 1, step: 1 };
  const rough = highest / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
  return { top: Math.ceil((highest / step) * 0.999) * step, step };
}

/** Series by what they cost together, dearest first. */
export function dearest(byName, most) {
  const ordered = [...byName].map(([name, amounts]) => [name, sum(amounts)]).sort((a, b) => compare(b[1], a[1]));
  return ordered.slice(0, most).map(([name]) => name);
}
