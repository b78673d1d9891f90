/** Numbers, money and dates in the conventions of the browser's language; and its words. */

const LANGUAGES = ["en", "de"];

export const locale = navigator.languages.find((tag) => LANGUAGES.includes(tag.slice(0, 2).toLowerCase())) ?? "en";
const language = locale.slice(0, 2).toLowerCase();
const { default: words } = await import(`./i18n/${language}.js`);
document.documentElement.lang = language;

const plurals = new Intl.PluralRules(language);

/** The words of a key, with `{name}` filled in. Where they depend on a number, that is `given.of`. */
export function t(key, given = {}) {
  const found = words[key];
  const text = typeof found === "string" ? found : (found[plurals.select(Number(given.of))] ?? found.other);
  return text.replace(/\{(\w+)\}/g, (_, name) => String(given[name] ?? ""));
}

const kept = new Map();

function number(options) {
  const key = JSON.stringify(options);
  if (!kept.has(key)) kept.set(key, new Intl.NumberFormat(locale, options));
  return kept.get(key);
}

const CENTS = { minimumFractionDigits: 2, maximumFractionDigits: 2 };
const SMALL = { ...CENTS, minimumSignificantDigits: 2, maximumSignificantDigits: 2, roundingPriority: "morePrecision" };

/** Cents; of less than 1 at least two digits. @param {string} exact @param {string} currency */
export function money(exact, currency = "EUR") {
  const digits = Math.abs(Number(exact)) < 1 && Number(exact) !== 0 ? SMALL : CENTS;
  return number({ style: "currency", currency, ...digits }).format(exact);
}

/** Money beside a line of an axis, with the decimals that a step between two lines needs. */
export function axisMoney(amount, step, currency) {
  const [, decimals] = step.toFixed(12).replace(/0+$/, "").split(".");
  const digits = Math.max(2, decimals.length);
  return number({
    style: "currency",
    currency,
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  }).format(amount);
}

export const count = (exact) => number({ maximumFractionDigits: 0 }).format(exact);
export const short = (exact) => number({ notation: "compact", maximumSignificantDigits: 3 }).format(exact);
export const percent = (part) => number({ style: "percent", maximumFractionDigits: part < 0.1 ? 1 : 0 }).format(part);
export const change = (part) =>
  number({ style: "percent", maximumFractionDigits: 0, signDisplay: "exceptZero" }).format(part);

const UNITS = { energyKWh: "kWh", co2eKg: "kg", waterL: "l" };

/** A footprint as a range: "0.18 – 0.31 kg". */
export function range(name, { low, high }) {
  const digits = number({ maximumSignificantDigits: 2 });
  const [one, other] = [digits.format(low), digits.format(high)];
  return `${one === other ? one : `${one} – ${other}`} ${UNITS[name]}`;
}

export const square = (exact) => `${number({ maximumSignificantDigits: 2 }).format(exact)} m²`;

const date = (day, options) => new Intl.DateTimeFormat(locale, { timeZone: "UTC", ...options }).format(new Date(day));
export const dayName = (day) => date(day, { day: "numeric", month: "short", year: "numeric" });
export const weekday = (day) => date(day, { weekday: "short", day: "numeric", month: "short", year: "numeric" });
export const dayMonth = (day) => date(day, { day: "numeric", month: "short" });
export const monthName = (day) => date(day, { month: "long", year: "numeric" });
export const dayRange = (first, last) =>
  new Intl.DateTimeFormat(locale, { timeZone: "UTC", day: "numeric", month: "short", year: "numeric" }).formatRange(
    new Date(first),
    new Date(last),
  );
