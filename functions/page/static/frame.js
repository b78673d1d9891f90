/** What both pages share: the frame around the figures, signing in and out, panels that load, addresses. */

import { Api, ApiError, isToken } from "./api.js";
import { today } from "./days.js";
import { copyExactly, exactSwitch, h } from "./dom.js";
import { t } from "./format.js";

const page = document.getElementById("page");

/** The path and the query behind the # of the address: `#/user/alice?from=2026-11-01&to=2026-11-30`. */
export function place() {
  const [path, query = ""] = location.hash.replace(/^#/, "").split("?");
  const [, by = "", value] = path.split("/");
  return { by, value: value === undefined ? null : decode(value), query: new URLSearchParams(query) };
}

export function address(by, value, range) {
  const path = by ? `#/${by}/${encodeURIComponent(value)}` : "#/";
  return range ? `${path}?${new URLSearchParams({ from: range[0], to: range[1] })}` : path;
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/**
 * Run a page: show who is signed in their figures, and everybody else how to sign in.
 *
 * @param {{key: string, title: string, refused: (config: object) => string, view: (context: object) => Node[],
 *   signIn: (enter: (token: string) => void, config: object) => Node[]}} given
 */
export async function run({ key, title, refused, view, signIn }) {
  document.title = title;
  const config = await readConfig();
  let api = null;
  copyExactly();

  function enter(token) {
    api?.forget();
    if (!isToken(token)) return leave(refused(config));
    sessionStorage.setItem(key, token);
    api = new Api(token);
    draw();
  }

  function leave(message = null) {
    sessionStorage.removeItem(key);
    api?.forget();
    api = null;
    draw(message);
  }

  function draw(message = null) {
    const own = api;
    own?.stop(); // what the view before was waiting for
    const picking = page.querySelector(".range select") === document.activeElement;
    const onError = (error) => own === api && [401, 403].includes(error.status) && leave(refused(config));
    const body = own
      ? view({ api: own, config, now: today(config.timeZone), place: place(), panel: panelFor(onError), onError })
      : [
          h("h1", { tabindex: -1 }, title),
          message && h("p", { class: "alert", role: "alert" }, message),
          ...signIn(enter, config),
        ];
    page.replaceChildren(
      h("a", { class: "skip", href: "#figures", onclick: skip }, t("skip")),
      h(
        "header",
        { class: "top" },
        h("p", { class: "brand" }, title),
        own && h("button", { type: "button", class: "quiet", onclick: () => leave() }, t("signOut")),
      ),
      h("main", { id: "figures", class: own ? "" : "alone" }, ...body.filter(Boolean)),
      h(
        "footer",
        {},
        h("p", {}, t("timeZone", { zone: config.timeZone })),
        own && h("p", {}, t("rounded"), " ", exactSwitch(t("allDigits"))),
      ),
    );
    const heading = page.querySelector("h1");
    (picking ? page.querySelector(".range select") : heading)?.focus(); // arrow keys go on from range to range
    document.title = own && heading.textContent !== title ? `${heading.textContent} – ${title}` : title;
  }

  addEventListener("hashchange", () => draw());
  addEventListener("pageshow", ({ persisted }) => persisted && location.reload()); // "back" after a sign-out
  const kept = sessionStorage.getItem(key);
  if (kept) enter(kept);
  else draw();
  return { enter, leave };
}

/** Read what the page must know before anybody signs in. Where that fails, say so, and offer another try. */
async function readConfig() {
  for (;;) {
    try {
      const response = await fetch("/config.json");
      if (!response.ok) throw new ApiError(response.status, "");
      return await response.json();
    } catch (error) {
      const failed = error instanceof ApiError ? error : new ApiError(0, error.message);
      await new Promise((again) => page.replaceChildren(h("main", { class: "alone" }, problem(failed, again))));
    }
  }
}

function skip(event) {
  event.preventDefault(); // the address is ours
  page.querySelector("h1")?.focus();
}

/** Make panels: a heading, and content that loads, fails, and can be tried again. */
function panelFor(onError) {
  return function panel(title, load, { className = "", tools = [] } = {}) {
    const body = h("div", { class: "body", tabindex: -1 });
    let turn = 0;
    async function fill() {
      turn += 1;
      const mine = turn;
      const hadFocus = body.contains(document.activeElement);
      body.setAttribute("aria-busy", "true");
      body.replaceChildren(h("p", { class: "loading", role: "status" }, t("loading")));
      if (hadFocus) body.focus();
      try {
        const content = await load();
        if (mine === turn) body.replaceChildren(...content.flat().filter(Boolean));
      } catch (error) {
        if (error.name === "AbortError" || mine !== turn) return;
        body.replaceChildren(problem(error, fill));
        if (error instanceof ApiError) onError(error);
        else throw error;
      } finally {
        if (mine === turn) body.removeAttribute("aria-busy");
      }
    }
    fill();
    const heading = title && h("div", { class: "heading" }, h("h2", {}, title), ...tools);
    return Object.assign(h("section", { class: `panel ${className}` }, heading, body), { reload: fill });
  };
}

function problem(error, again) {
  const status = error instanceof ApiError ? error.status : "?";
  const busy = [429, 502, 503, 504].includes(status);
  const words = busy ? t("unavailable") : status === 0 ? t("offline") : t("failed", { status, message: error.message });
  return h(
    "div",
    { class: "alert", role: "alert" },
    h("p", {}, words),
    h("button", { type: "button", onclick: again }, t("retry")),
  );
}
