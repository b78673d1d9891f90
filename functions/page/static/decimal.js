/**
 * Exact decimals as the text that the API wrote ("12.340"). A JavaScript number would round them.
 */

/** @param {string} text @returns {{digits: bigint, scale: number}} */
function parse(text) {
  const [, sign, whole, fraction = "", exponent = "0"] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(text) ?? fail(text);
  const scale = fraction.length - Number(exponent);
  const digits = BigInt(sign + whole + fraction);
  return scale < 0 ? { digits: digits * 10n ** BigInt(-scale), scale: 0 } : { digits, scale };
}

function fail(text) {
  throw new RangeError(`not a decimal: ${text}`);
}

function align(a, b) {
  const [one, other] = [parse(a), parse(b)];
  const scale = Math.max(one.scale, other.scale);
  return [one.digits * 10n ** BigInt(scale - one.scale), other.digits * 10n ** BigInt(scale - other.scale), scale];
}

function write(digits, scale) {
  const sign = digits < 0n ? "-" : "";
  const text = String(digits < 0n ? -digits : digits).padStart(scale + 1, "0");
  if (scale === 0) return sign + text;
  const fraction = text.slice(-scale).replace(/0+$/, "");
  return sign + text.slice(0, -scale) + (fraction && `.${fraction}`);
}

export function add(a, b) {
  const [one, other, scale] = align(a, b);
  return write(one + other, scale);
}

export function subtract(a, b) {
  const [one, other, scale] = align(a, b);
  return write(one - other, scale);
}

export function compare(a, b) {
  const [one, other] = align(a, b);
  return one < other ? -1 : one > other ? 1 : 0;
}

export const sum = (amounts) => amounts.reduce(add, "0");
export const isZero = (text) => parse(text).digits === 0n;

/** a / b as a number, for lengths and percentages; 0 where b is 0. */
export function ratio(a, b) {
  const [one, other] = align(a, b);
  return other === 0n ? 0 : Number((one * 10n ** 12n) / other) / 1e12;
}

/** a * n / m, cut after 6 more digits: a pace is no bill. */
export function scaled(a, n, m) {
  const { digits, scale } = parse(a);
  return write((digits * BigInt(n) * 10n ** 6n) / BigInt(m), scale + 6);
}
