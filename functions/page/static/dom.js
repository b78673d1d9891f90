/** Elements. Text is only ever text: what users chose is hostile. */

/** @param {string} tag @param {Record<string, unknown>} attributes `on...`: a listener; false, null: left out */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** What is invisible, or turns the order of letters around, is shown as its code. */
export function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => `\\u{${c.codePointAt(0).toString(16)}}`);
}

/** A name or an id that somebody chose. */
export function named(text, className = "id") {
  const shown = visible(text);
  return h("bdi", { class: className, title: shown }, shown);
}

/** A rounded figure: the exact one is its title, and what is copied. */
export function figure(shown, exact, className = "") {
  return h("data", { class: className, value: exact, title: exact, "data-exact": exact }, shown);
}

/** A button that shows all digits of every figure, for those who do not point. @param {string} words */
export function exactSwitch(words) {
  const isOn = () => document.documentElement.classList.contains("exact");
  function turn({ currentTarget }) {
    document.documentElement.classList.toggle("exact");
    currentTarget.setAttribute("aria-pressed", String(isOn()));
  }
  return h("button", { type: "button", class: "quiet", "aria-pressed": String(isOn()), onclick: turn }, words);
}

/** Let a copy have exact figures in place of rounded ones. */
export function copyExactly() {
  document.addEventListener("copy", (event) => {
    const selection = document.getSelection();
    if (!selection?.rangeCount || !event.clipboardData) return;
    const range = selection.getRangeAt(0);
    const start = range.commonAncestorContainer;
    const within = start instanceof Element ? start : start.parentElement;
    const inside = within?.closest("[data-exact]");
    const text = inside ? inside.dataset.exact : exactText(range.cloneContents(), within);
    if (text === null) return;
    event.clipboardData.setData("text/plain", text);
    event.preventDefault();
  });
}

/** The text of a selection as the browser would copy it, with exact figures: null if it has none. */
function exactText(fragment, within) {
  const figures = fragment.querySelectorAll("[data-exact]");
  if (figures.length === 0) return null;
  for (const each of figures) each.textContent = each.dataset.exact;
  const cells = within?.localName === "tr" ? h("table", {}, h("tr", {}, fragment)) : null;
  const rows = ["tbody", "thead", "table"].includes(within?.localName) ? h("table", {}, fragment) : null;
  const copied = h("div", { class: "copied" }, cells ?? rows ?? fragment);
  document.body.append(copied);
  const text = copied.innerText; // with tabs between cells, and lines between blocks
  copied.remove();
  return text;
}
