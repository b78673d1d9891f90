/** Rows as CSV (RFC 4180), for spreadsheets too. */

const FORMULA = /^[=+\-@\t\r\n]/;
const NUMBER = /^-?\d+(\.\d+)?([eE][+-]?\d+)?$/;

/** Rows as CSV with the API's field names and all digits. What a spreadsheet would run is made text. */
export function csv(shown, rows) {
  const columns = shown.filter(({ field }) => field);
  const lines = [columns.map(({ field }) => field), ...rows.map((row) => columns.map(({ value }) => value(row)))];
  return lines.map((cells) => `${cells.map(cell).join(",")}\r\n`).join("");
}

/** `;` and tab are what cells end with in some languages: they would begin another one. */
function cell(text) {
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",;\t\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
