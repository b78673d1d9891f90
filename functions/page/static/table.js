/** Sortable tables, with what is on the screen as CSV. */

import { csv } from "./csv.js";
import { h } from "./dom.js";
import { compare } from "./decimal.js";
import { t } from "./format.js";

const PAGE = 20;

/**
 * @typedef {object} Column
 * @property {string} label as the header shows it
 * @property {string} [field] name of the API's field: the header of the CSV. Without one it is not in the CSV
 * @property {(row: any) => string} value exact text: what the CSV has
 * @property {(row: any) => string} [order] what is sorted by, if that is not the value
 * @property {(row: any) => Node | string} [show]
 * @property {boolean} [text] sorted and aligned as text
 * @property {boolean} [minor] left out where there is little room
 */

/**
 * @param {{caption: string, file: string, columns: Column[], rows: any[], last?: (row: any) => boolean,
 *   more?: (() => Promise<{rows: any[], isMore: boolean}>) | null}} given `more` reads rows that are not here yet
 */
export function dataTable({ caption, file, columns, rows, last = () => false, more: read = null }) {
  let sort = { column: null, down: true };
  let shown = PAGE;
  let isMore = read !== null;
  const body = h("tbody");
  const headers = columns.map((column, index) =>
    h(
      "th",
      { scope: "col", class: classOf(column), "aria-sort": "none" },
      h("button", { type: "button", onclick: () => sortBy(index) }, column.label),
    ),
  );
  const more = h("button", { type: "button", class: "quiet", onclick: showMore });
  const table = h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, headers)), body);

  function ordered() {
    if (sort.column === null) return rows;
    const { value: exact, order: value = exact, text } = columns[sort.column];
    const by = text ? (a, b) => value(a).localeCompare(value(b)) : (a, b) => compare(value(a) || "0", value(b) || "0");
    return [...rows].sort((a, b) => last(a) - last(b) || (sort.down ? by(b, a) : by(a, b)));
  }

  async function sortBy(index) {
    while (isMore) if (!(await readOn())) return; // rows that are not here yet have their place, too
    const again = sort.column === index;
    sort = { column: index, down: again ? !sort.down : !columns[index].text };
    headers.forEach((header, place) => {
      header.setAttribute("aria-sort", place !== index ? "none" : sort.down ? "descending" : "ascending");
    });
    draw();
  }

  async function showMore() {
    const first = shown;
    if (rows.length <= first + PAGE * 5 && isMore && !(await readOn())) return;
    shown = Math.min(rows.length, first + PAGE * 5);
    draw();
    body.rows[first]?.querySelector("a")?.focus();
  }

  /** Read further rows. Says whether that worked; if not, the button offers another try. */
  async function readOn() {
    if (more.disabled) return false; // it is being done
    more.disabled = true;
    more.textContent = t("loading");
    try {
      const page = await read();
      rows = [...rows, ...page.rows];
      isMore = page.isMore;
      return true;
    } catch {
      more.textContent = t("retry");
      return false;
    } finally {
      more.disabled = false;
    }
  }

  function draw() {
    const visibleRows = ordered().slice(0, shown);
    body.replaceChildren(
      ...visibleRows.map((row) =>
        h(
          "tr",
          {},
          columns.map((column, index) => {
            const content = column.show ? column.show(row) : column.value(row);
            const given = index === 0 ? { scope: "row" } : {};
            return h(index === 0 ? "th" : "td", { ...given, class: classOf(column) }, content);
          }),
        ),
      ),
    );
    more.textContent = isMore ? t("showMoreOf") : t("showMore", { left: rows.length - visibleRows.length });
    more.hidden = rows.length <= shown && !isMore;
  }

  function download() {
    const content = csv(columns, ordered().slice(0, shown));
    const url = URL.createObjectURL(new Blob([content], { type: "text/csv" }));
    h("a", { href: url, download: `${file}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  draw();
  return h(
    "div",
    { class: "data" },
    h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption }, table),
    h(
      "div",
      { class: "actions" },
      more,
      h("button", { type: "button", class: "quiet", onclick: download, "aria-label": `CSV: ${caption}` }, "CSV"),
    ),
  );
}

const classOf = ({ text, minor }) => [!text && "number", minor && "wide"].filter(Boolean).join(" ") || null;
