/** Money per day as stacked bars: SVG from the figures of the table below it. */

import { h, named, svg, visible } from "./dom.js";
import { compare, ratio, sum } from "./decimal.js";
import { dayName, dayShort, money, t } from "./format.js";

const NARROW = matchMedia("(max-width: 40rem)").matches;
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [NARROW ? 560 : 960, 240, 64, 24, 12];
const [GRID_LINES, DAY_LABELS] = [4, NARROW ? 6 : 12];

/**
 * @param {{day: string, parts: string[], total: string, final: boolean}[]} days a part a series, in their order
 * @param {string[]} series names
 */
export function stackedDays(days, series, currency = "EUR") {
  const highest = days.reduce((most, { total }) => (compare(total, most) > 0 ? total : most), "0");
  const top = ceiling(Number(highest));
  const slot = (WIDTH - LEFT) / days.length;
  const bar = Math.max(1, Math.min(slot * 0.72, 34));
  const height = (exact) => (HEIGHT - BOTTOM - TOP) * ratio(exact, String(top));
  const chart = svg("svg", {
    viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
    role: "img",
    "aria-label": t("chartLabel", { days: days.length, highest: money(highest, currency) }),
    class: "chart",
  });
  for (let line = 0; line <= GRID_LINES; line++) {
    const y = HEIGHT - BOTTOM - ((HEIGHT - BOTTOM - TOP) * line) / GRID_LINES;
    chart.append(
      svg("line", { x1: LEFT, x2: WIDTH, y1: y, y2: y, class: line ? "grid" : "axis" }),
      svg("text", { x: LEFT - 8, y: y + 4, "text-anchor": "end" }, money(String((top * line) / GRID_LINES), currency)),
    );
  }
  days.forEach(({ day, parts, total, final }, place) => {
    const x = LEFT + slot * place + (slot - bar) / 2;
    const label = [`${dayName(day)}: ${money(total, currency)}${final ? "" : ` (${t("notFinal")})`}`];
    const rects = [];
    let y = HEIGHT - BOTTOM;
    parts.forEach((part, index) => {
      const size = height(part);
      if (size <= 0) return;
      y -= size;
      label.push(`${visible(series[index])}: ${money(part, currency)}`);
      rects.push(svg("rect", { x, y, width: bar, height: size, class: `s${index} ${final ? "" : "open"}` }));
    });
    const area = svg("rect", { x: LEFT + slot * place, y: TOP, width: slot, height: HEIGHT - BOTTOM - TOP, class: "area" });
    chart.append(svg("g", {}, svg("title", {}, label.join("\n")), area, rects));
    if (place % Math.ceil(days.length / DAY_LABELS) === 0) {
      chart.append(svg("text", { x: x + bar / 2, y: HEIGHT - 6, "text-anchor": "middle" }, dayShort(day)));
    }
  });
  const legend = h(
    "ul",
    { class: "legend" },
    series.map((name, index) => h("li", {}, h("span", { class: `key s${index}` }), named(name))),
  );
  return h("figure", {}, h("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": t("moneyPerDay") }, chart), legend);
}

/** A round number that is not below: 1, 2 or 5 times a power of ten. */
function ceiling(highest) {
  if (!(highest > 0)) return 1;
  const power = 10 ** Math.floor(Math.log10(highest));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= highest) * power;
  return Number(step.toPrecision(3));
}

/** Series by what they cost together, dearest first; all after the first ones are one. */
export function dearest(byName, most) {
  const ordered = [...byName].map(([name, amounts]) => [name, sum(amounts)]).sort((a, b) => compare(b[1], a[1]));
  return ordered.slice(0, most).map(([name]) => name);
}
