/** The operator's page: everybody's figures, and a page behind each user, team, key, tag, model and provider. */

import { lastMonth, rangeOf } from "./days.js";
import { h, named } from "./dom.js";
import { dayRange, t } from "./format.js";
import { address, run } from "./frame.js";
import {
  PLURAL,
  SERIES_MAX,
  byValue,
  coverage,
  daysChart,
  empty,
  footprint,
  moneyOf,
  monthFigures,
  rangePicker,
  usagePanels,
  valuesTable,
} from "./overview.js";

const FIELD = { user: "userId", team: "teamId", key: "keyAlias", tag: "tag", model: "model", provider: "provider" };
const FIRST_ROWS = 100; // of a table; more are read where somebody asks for them
const STACKED = ["model", "team", "user"];

function view(context) {
  const { place, now } = context;
  const range = rangeOf(place.query, now);
  const given = { ...context, range, query: { from: range[0], to: range[1] } };
  return Object.hasOwn(PLURAL, place.by) && place.value ? valueView(given) : everybody(given);
}

function everybody(given) {
  const { api, now, panel, query, range } = given;
  const totals = () => api.get("/api/totals", query);
  const month = () => api.get("/api/totals", { from: lastMonth(now), to: now });
  return [
    h("h1", { tabindex: -1 }, t("everybody")),
    panel(null, async () => monthFigures((await month()).days, now, false), { className: "hero" }),
    h("div", { class: "bar-top" }, h("h2", { class: "dates" }, dayRange(...range)), rangePicker(given, range)),
    moneyPanel(given, totals),
    tablesPanel(given, totals),
    panel(t("notIn"), async () => {
      const [{ total, days }, { final }] = await Promise.all([totals(), byDay(api, "model", query)]);
      return coverage(total, days, final);
    }),
    panel(t("footprint"), async () => footprint((await totals()).total)),
  ];
}

/** Money per day, stacked by what the switch says. */
function moneyPanel({ api, panel, query, range }, totals) {
  let by = "model";
  const choose = (event) => {
    by = event.target.value;
    money.reload();
  };
  const options = STACKED.map((name) => h("option", { value: name }, t(name)));
  const chooser = h("label", { class: "chooser" }, `${t("by")} `, h("select", { onchange: choose }, options));
  async function load() {
    const of = by;
    const { days, total } = await totals();
    if (!days.length) return [empty(t("emptyHelp"))];
    const money = moneyOf(total);
    const series = byValue((await byDay(api, of, query)).items, money);
    return daysChart(days, range, series, money, `impact-days-${range.join("-")}`);
  }
  const money = panel(t("moneyPerDay"), load, { tools: [chooser] });
  return money;
}

/** What the dearest values cost on each day. It also says whether all days are final. */
const byDay = (api, by, query) => api.get("/api/breakdown", { by, daily: SERIES_MAX, limit: SERIES_MAX + 1, ...query });

/** The dearest users, models, teams ...: one table at a time, each read when it is first shown. */
function tablesPanel({ api, onError, panel, query, range }, totals) {
  let by = "user";
  const order = ["user", "model", "team", "key", "tag", "provider"];
  const tabs = order.map((name) =>
    h("button", { type: "button", "aria-pressed": String(name === by), onclick: () => choose(name) }, t(PLURAL[name])),
  );
  function choose(name) {
    by = name;
    tabs.forEach((tab, place) => tab.setAttribute("aria-pressed", String(order[place] === by)));
    tables.reload();
  }
  async function load() {
    const of = by;
    const ask = (more) => api.get("/api/breakdown", { by: of, ...query, ...more });
    const [{ items, next }, { total }] = await Promise.all([ask({ limit: FIRST_ROWS }), totals()]);
    if (!items.length) return [empty(t("emptyHelp"))];
    let cursor = next;
    async function more() {
      const page = await ask({ cursor }).catch((error) => {
        onError(error);
        throw error;
      });
      cursor = page.next;
      return { rows: page.items, isMore: cursor !== null };
    }
    const options = { file: `impact-${of}-${range.join("-")}`, more: next && more };
    return [valuesTable(of, items, total, range, options), of === "tag" && h("p", { class: "minor" }, t("tagsHelp"))];
  }
  const tables = panel(t("who"), load, {
    tools: [h("div", { class: "tabs", role: "group", "aria-label": t("who") }, tabs)],
  });
  return tables;
}

/** One user, team, key, tag, model or provider. */
function valueView(given) {
  const { api, place, query, range } = given;
  const { by, value } = place;
  const usage = () => api.days("/api/summaries", { [FIELD[by]]: value, ...query });
  const title = h("h1", { tabindex: -1 }, `${t(by)} `, named(value));
  usage().then(
    ({ name }) => name && title.replaceChildren(`${t(by)} `, named(name), " ", h("small", {}, named(value))),
    () => {}, // the panels say it
  );
  return [
    h("nav", { "aria-label": t("back") }, h("a", { href: address("", null, range) }, `← ${t("back")}`)),
    title,
    h("div", { class: "bar-top" }, h("h2", { class: "dates" }, dayRange(...range)), rangePicker(given, range)),
    ...usagePanels(given, usage, {
      file: `impact-${by}`,
      help: t("emptyHelp"),
      hasModels: by === "user",
      isFinal: async () => (await byDay(api, "model", query)).final,
    }),
  ];
}

function signIn(enter) {
  const field = h("input", {
    type: "password",
    id: "token",
    autocomplete: "off",
    required: true,
    spellcheck: "false",
    "aria-describedby": "token-help",
  });
  const submit = (event) => {
    event.preventDefault();
    if (field.value.trim()) enter(field.value.trim());
  };
  return [
    h(
      "form",
      { class: "sign-in", onsubmit: submit },
      h("label", { for: "token" }, t("token")),
      field,
      h("p", { id: "token-help", class: "minor" }, t("tokenHelp")),
      h("button", { type: "submit" }, t("signIn")),
    ),
  ];
}

await run({ key: "impact.read-token", title: t("title"), refused: () => t("tokenRefused"), view, signIn });
