// The modules of the pages that need no browser. Run by tests/unit/test_page_modules.py.
import assert from "node:assert/strict";
import { test } from "node:test";

import { Api, ApiError, isToken, parseExact } from "../../../functions/page/static/api.js";
import { csv } from "../../../functions/page/static/csv.js";
import * as days from "../../../functions/page/static/days.js";
import * as decimal from "../../../functions/page/static/decimal.js";

test("numbers keep all their digits", () => {
  const text =
    '{"a":0.12345678901234567890123456789012345678,"b":[1,-2.50,1e-7,9E+3],"c":"1.5","d":"x\\"2\\\\","e":true,"f":null}';
  assert.deepEqual(parseExact(text), {
    a: "0.12345678901234567890123456789012345678",
    b: ["1", "-2.50", "1e-7", "9E+3"],
    c: "1.5",
    d: 'x"2\\',
    e: true,
    f: null,
  });
});

test("hostile text is no number and no key", () => {
  for (const text of ['": 1, "x": 2', "\\", "12", "a\u20281", "\ud800", '{"a":1}', "-3e5"]) {
    assert.deepEqual(parseExact(JSON.stringify({ [text]: text, n: 1 })), { [text]: text, n: "1" });
  }
});

test("sums are exact", () => {
  assert.equal(decimal.add("0.1", "0.2"), "0.3");
  assert.equal(decimal.add("1e-7", "2.50"), "2.5000001");
  assert.equal(
    decimal.subtract("1", "0.00000000000000000000000000000000000001"),
    "0.99999999999999999999999999999999999999",
  );
  assert.equal(decimal.subtract("0.5", "0.75"), "-0.25");
  assert.equal(decimal.sum([]), "0");
  assert.equal(decimal.sum(["9E+3", "1"]), "9001");
  assert.equal(decimal.compare("0.10", "0.1"), 0);
  assert.equal(decimal.compare("-1", "0.1"), -1);
  assert.ok(decimal.isZero("0.000"));
  assert.throws(() => decimal.add("1,5", "1"), RangeError);
});

test("sums agree with whole numbers, whatever the digits", () => {
  let state = 7;
  const next = () => (state = (state * 48271) % 2147483647);
  for (let n = 0; n < 2000; n++) {
    const [a, b, scale] = [next() - 1e9, next() - 1e9, next() % 9];
    const text = (v) => `${v}e-${scale}`;
    const back = (v) => decimal.compare(v, text(a + b));
    assert.equal(back(decimal.add(text(a), text(b))), 0);
    assert.equal(decimal.compare(decimal.subtract(text(a), text(b)), text(a - b)), 0);
    assert.equal(decimal.compare(text(a), text(b)), Math.sign(a - b));
  }
});

test("a share and a pace", () => {
  assert.equal(decimal.ratio("1", "4"), 0.25);
  assert.equal(decimal.ratio("1", "0"), 0);
  assert.equal(decimal.scaled("10", 30, 20), "15");
});

test("days are days of a calendar", () => {
  assert.equal(days.plus("2028-02-28", 1), "2028-02-29");
  assert.equal(days.between("2026-11-01", "2026-11-30"), 30);
  assert.equal(days.monthEnd("2026-02-11"), "2026-02-28");
  assert.equal(days.lastMonth("2026-01-31"), "2025-12-01");
  assert.equal(days.sameDayLastMonth("2026-03-31"), "2026-02-28");
  assert.equal(days.sameDayLastMonth("2026-12-31"), "2026-11-30");
  assert.equal(days.sameDayLastMonth("2026-03-15"), "2026-02-15");
  assert.deepEqual(days.list("2026-10-24", "2026-10-26"), ["2026-10-24", "2026-10-25", "2026-10-26"]);
  assert.match(days.today("Pacific/Kiritimati"), /^\d{4}-\d{2}-\d{2}$/);
});

test("a range that the API does not take is this month", () => {
  const of = (query) => days.rangeOf(new URLSearchParams(query), "2026-11-28");
  assert.deepEqual(of("from=2026-01-01&to=2026-01-31"), ["2026-01-01", "2026-01-31"]);
  for (const wrong of [
    "",
    "from=2026-02-30&to=2026-03-01",
    "from=2026-03-02&to=2026-03-01",
    "from=x&to=y",
    "from=2025-01-01&to=2026-11-28",
    "from=0001-01-01&to=0001-01-02",
    "from=2026-12-01&to=2026-12-31",
  ]) {
    assert.deepEqual(of(wrong), ["2026-11-01", "2026-11-28"], wrong);
  }
  assert.deepEqual(of("from=2026-11-01&to=2026-11-30"), ["2026-11-01", "2026-11-28"]); // no day is to come
});

test("what a spreadsheet would run is text in a CSV", () => {
  const columns = [
    { field: "value", value: (row) => row.id },
    { field: "costEUR", value: (row) => row.cost },
  ];
  const ids = ["=1+1", "+x", "-x", "@x", "\tx", "\n=1", "a;=1+1", "a,b", 'a"b', "a\nb", "plain"];
  const rows = ids.map((id) => ({ id, cost: "-0.10" }));
  assert.equal(
    csv(columns, rows),
    'value,costEUR\r\n\'=1+1,-0.10\r\n\'+x,-0.10\r\n\'-x,-0.10\r\n\'@x,-0.10\r\n"\'\tx",-0.10\r\n"\'\n=1",-0.10\r\n"a;=1+1",-0.10\r\n"a,b",-0.10\r\n"a""b",-0.10\r\n"a\nb",-0.10\r\nplain,-0.10\r\n',
  );
});

function answering(...answers) {
  const asked = [];
  globalThis.fetch = async (url, options) => {
    asked.push({ url, ...options });
    const [status, body, headers = {}] = answers.shift();
    return new Response(body, { status, headers });
  };
  return asked;
}

test("the token is a header, and the same question is asked once", async () => {
  const asked = answering([200, '{"total":{"costEUR":1.10}}']);
  const api = new Api("secret");
  const [one, other] = await Promise.all([
    api.get("/api/totals", { from: "a" }),
    api.get("/api/totals", { from: "a" }),
  ]);
  assert.equal(one, other);
  assert.equal(one.total.costEUR, "1.10");
  assert.equal(asked.length, 1);
  assert.equal(asked[0].headers.Authorization, "Bearer secret");
  assert.ok(!asked[0].url.includes("secret"));
});

test("figures are read again after a minute, all of them", async (context) => {
  context.mock.timers.enable({ apis: ["Date"], now: 1e12 });
  const asked = answering([200, "{}"], [200, "{}"], [200, "{}"], [200, "{}"]);
  const api = new Api("t");
  await Promise.all([api.get("/a", {}), api.get("/b", {})]);
  context.mock.timers.tick(59_000);
  await api.get("/a", {});
  assert.equal(asked.length, 2);
  context.mock.timers.tick(2_000);
  await Promise.all([api.get("/a", {}), api.get("/b", {})]);
  assert.equal(asked.length, 4);
});

test("two at a time are asked, and what was stopped is not asked at all", async () => {
  const waiting = [];
  const asked = [];
  globalThis.fetch = (url, { signal }) => {
    asked.push(url.slice(0, 2));
    return new Promise((resolve, reject) => {
      waiting.push(() => resolve(new Response("{}", { status: 200 })));
      signal.addEventListener("abort", () => reject(signal.reason));
    });
  };
  const api = new Api("t");
  const before = ["/a", "/b", "/c"].map((path) => api.get(path, {}));
  await Promise.resolve();
  assert.deepEqual(asked, ["/a", "/b"]);
  api.stop();
  for (const each of before) await assert.rejects(each, { name: "AbortError" });
  assert.deepEqual(asked, ["/a", "/b"]);
  const after = ["/a", "/d", "/e"].map((path) => api.get(path, {})); // the same question as one that was stopped
  await Promise.resolve();
  assert.deepEqual(asked, ["/a", "/b", "/a", "/d"]);
  while (waiting.length > 0) {
    waiting.shift()();
    await new Promise((resume) => setImmediate(resume));
  }
  await Promise.all(after);
  assert.deepEqual(asked, ["/a", "/b", "/a", "/d", "/e"]);
});

test("a busy service is asked once more, then said", async () => {
  answering([503, "", { "retry-after": "0.01" }], [200, "{}"]);
  assert.deepEqual(await new Api("t").get("/x", {}), {});
  answering([503, "", { "retry-after": "0.01" }], [503, '{"error":{"message":"busy"}}']);
  const api = new Api("t");
  await assert.rejects(
    api.get("/x", {}),
    (error) => error instanceof ApiError && error.status === 503 && error.message === "busy",
  );
  answering([200, '{"n":1}']);
  assert.deepEqual(await api.get("/x", {}), { n: "1" }); // a failure is not kept
});

test("all pages of a user's days are read", async () => {
  const asked = answering([200, '{"days":[1],"total":{},"next":"c"}'], [200, '{"days":[2],"total":{}}']);
  const { days: read } = await new Api("t").days("/api/me/summaries", { from: "a" });
  assert.deepEqual(read, ["1", "2"]);
  assert.match(asked[1].url, /cursor=c/);
});

// What draws needs a browser's languages, and nothing else of a browser until it draws.
Object.defineProperty(globalThis, "navigator", { value: { languages: ["en-GB"] }, configurable: true });
globalThis.document = { documentElement: {}, getElementById: () => null };
const { grouped, scale } = await import("../../../functions/page/static/chart.js");
const { axisMoney, money, t } = await import("../../../functions/page/static/format.js");
const { moneyOf, pace } = await import("../../../functions/page/static/overview.js");

const daysOf = (first, last) =>
  days.list(first, last).map((day, index) => ({ day, parts: ["0.1", "0.2"], total: "0.3", final: index > 0 }));

test("few days are bars of their own", () => {
  const bars = grouped(daysOf("2026-11-01", "2026-11-30"));
  assert.equal(bars.length, 30);
  assert.deepEqual(
    [bars[0].first, bars[0].last, bars[0].final, bars[1].final],
    ["2026-11-01", "2026-11-01", false, true],
  );
});

test("many days are weeks or months, and no cent is lost", () => {
  for (const [first, last, unit] of [
    ["2026-09-02", "2026-11-28", "week"],
    ["2025-11-28", "2026-11-28", "month"],
  ]) {
    const all = daysOf(first, last);
    const bars = grouped(all);
    assert.equal(bars[0].unit, unit);
    assert.deepEqual([bars[0].first, bars.at(-1).last], [first, last]);
    bars.slice(1).forEach((bar, index) => assert.equal(bar.first, days.plus(bars[index].last, 1)));
    assert.equal(decimal.sum(bars.map((bar) => bar.total)), decimal.sum(all.map((day) => day.total)));
    for (const bar of bars) assert.equal(decimal.compare(decimal.sum(bar.parts), bar.total), 0);
    if (unit === "week") bars.slice(1).forEach((bar) => assert.equal(new Date(bar.first).getUTCDay(), 1));
  }
});

test("an axis ends on a round number that is not below the highest bar", () => {
  for (const highest of [0.0000123, 0.49, 1, 3, 7.84, 99, 100, 12345]) {
    const { top, step } = scale(highest);
    assert.ok(top >= highest * 0.999, String(highest));
    assert.ok(top / step <= 5.001 && top / step >= 1, String(highest));
  }
  assert.deepEqual(scale(0), { top: 1, step: 1 });
});

test("a pace is never below what is spent", () => {
  assert.equal(decimal.compare(pace("20", "20", 20, 30), "30"), 0); // nothing yet today
  assert.equal(decimal.compare(pace("20", "20.5", 20, 30), "30"), 0); // less than on an average day
  assert.equal(decimal.compare(pace("20", "120", 20, 30), "129"), 0); // 99 more than on an average day
  assert.equal(decimal.compare(pace("0", "5", 3, 30), "5"), 0);
});

test("small amounts have two digits, and no amount fewer than its cents", () => {
  const shown = ["0.999", "0.5", "0.0012", "0", "1234.5", "0.123"].map((exact) => money(exact));
  assert.deepEqual(shown, ["€1.00", "€0.50", "€0.0012", "€0.00", "€1,234.50", "€0.12"]);
});

test("an axis has the decimals that its steps need", () => {
  const labels = [scale(0.18), scale(1900), scale(0.0009), scale(6e-7)].map(({ top, step }) =>
    axisMoney(top, step, "EUR"),
  );
  assert.deepEqual(labels, ["€0.20", "€2,000.00", "€0.00100", "€0.0000006"]);
});

test("words agree with their number", () => {
  assert.equal(t("unpriced", { of: "1", n: "1" }), "1 request has no known cost.");
  assert.equal(t("unpriced", { of: "15", n: "15" }), "15 requests have no known cost.");
});

test("costs are in dollars only where nothing is in euros", () => {
  assert.equal(moneyOf({ costEUR: "0", unconverted: "1.5" }).currency, "USD");
  assert.equal(moneyOf({ costEUR: "0.1", unconverted: "1.5" }).currency, "EUR");
  assert.equal(moneyOf({ costEUR: "0", unconverted: "0" }).currency, "EUR");
});

test("a token that no header can carry is none", () => {
  assert.ok(isToken("abc.DEF-_123"));
  for (const text of ["", "a b", "a\n", "é", "\u202e", "x".repeat(8001)])
    assert.ok(!isToken(text), JSON.stringify(text));
});

test("a column without a field is not in the CSV", () => {
  const columns = [{ field: "value", value: (row) => row.value }, { value: () => "picture" }];
  assert.equal(csv(columns, [{ value: "=1" }]), "value\r\n'=1\r\n");
});
