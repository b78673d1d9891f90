/** Sortable tables, with what is on the screen as CSV. */

import { csv } from "./csv.js";
import { h } from "./dom.js";
import { compare } from "./decimal.js";
import { t } from "./format.js";

const PAGE = 20;
const BYTE_ORDER_MARK = "\ufeff"; // tells Excel that the file is UTF-8

/**
 * @typedef {object} Column
 * @property {string} [label] as the header shows it. Without one it is in the CSV alone
 * @property {string} [field] name of the API's field: the header of the CSV. Without one it is not in the CSV
 * @property {(row: any) => string} value exact text: what the CSV has
 * @property {(row: any) => string} [order] what is sorted by, if that is not the value
 * @property {(row: any) => Node | string} [show]
 * @property {boolean} [text] sorted and aligned as text
 * @property {boolean} [minor] left out where there is little room
 */

/**
 * @param {{caption: string, file: string, columns: Column[], rows: any[], sorted?: string, last?: (row: any) => boolean,
 *   more?: (() => Promise<{rows: any[], isMore: boolean}>) | null}} given `more` reads rows that are not here yet;
 *   `sorted` is the label by which they are sorted at first, the largest first
 */
export function dataTable({ caption, file, columns: all, rows, sorted, last = () => false, more: read = null }) {
  const columns = all.filter(({ label }) => label);
  let sort = { column: null, down: true };
  let shown = PAGE;
  let isMore = read !== null;
  const body = h("tbody");
  const headers = columns.map((column, index) =>
    h(
      "th",
      { scope: "col", class: classOf(column), "aria-sort": column.label === sorted ? "descending" : "none" },
      h("button", { type: "button", onclick: () => sortBy(index) }, column.label),
    ),
  );
  const more = h("button", { type: "button", class: "quiet", onclick: showMore });
  const scroll = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": caption });
  const table = h("table", {}, h("caption", {}, caption), h("thead", {}, h("tr", {}, headers)), body);

  function ordered() {
    if (sort.column === null) return rows;
    const { value: exact, order: value = exact, text } = columns[sort.column];
    const by = text ? (a, b) => value(a).localeCompare(value(b)) : (a, b) => compare(value(a) || "0", value(b) || "0");
    return [...rows].sort((a, b) => last(a) - last(b) || (sort.down ? by(b, a) : by(a, b)));
  }

  async function sortBy(index) {
    while (isMore) if (!(await readOn())) return; // rows that are not here yet have their place, too
    const again = headers[index].getAttribute("aria-sort") !== "none";
    const isDown = headers[index].getAttribute("aria-sort") === "descending";
    sort = { column: index, down: again ? !isDown : !columns[index].text };
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
    focusOn(body.rows[first]);
  }

  /** Read further rows. Says whether that worked; if not, the button offers another try. */
  async function readOn() {
    if (more.disabled) return false; // it is being done
    more.disabled = true;
    more.textContent = t("loading");
    scroll.setAttribute("aria-busy", "true");
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
      scroll.removeAttribute("aria-busy");
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
    const content = csv(all, ordered().slice(0, shown));
    const url = URL.createObjectURL(new Blob([BYTE_ORDER_MARK, content], { type: "text/csv" }));
    h("a", { href: url, download: `${file}.csv` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
  }

  scroll.append(table);
  draw();
  return h(
    "div",
    { class: "data" },
    scroll,
    h(
      "div",
      { class: "actions" },
      more,
      h("button", { type: "button", class: "quiet", onclick: download, "aria-label": `CSV: ${caption}` }, "CSV"),
    ),
  );
}

function focusOn(row) {
  const link = row?.querySelector("a");
  if (row && !link) row.cells[0].tabIndex = -1;
  (link ?? row?.cells[0])?.focus();
}

const classOf = ({ text, minor }) => [!text && "number", minor && "wide"].filter(Boolean).join(" ") || null;
