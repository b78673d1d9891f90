/** A person's page: what they used, and nobody else's figures. */

import { lastMonth, rangeOf } from "./days.js";
import { h, named } from "./dom.js";
import { dayRange, t } from "./format.js";
import { run } from "./frame.js";
import { monthFigures, rangePicker, usagePanels } from "./overview.js";

const TOKEN = "impact.person-token";
const NONCE = "impact.nonce";
const LINK = /^#impact-link\.[\w.-]+$/;

function view(context) {
  const { api, now, panel, place } = context;
  const range = rangeOf(place.query, now);
  const given = { ...context, place: { ...place, by: "", value: null } };
  const query = { from: range[0], to: range[1] };
  const usage = () => api.days("/api/me/summaries", query);
  const isFinal = async () => (await api.get("/api/me/breakdown", { by: "model", ...query })).final;
  const month = () => api.days("/api/me/summaries", { from: lastMonth(now), to: now });
  const title = h("h1", { tabindex: -1 }, t("you"));
  usage().then(
    ({ userId, name }) => title.replaceChildren(`${t("you")}: `, named(name ?? userId)),
    () => {}, // the panels say it
  );
  return [
    title,
    panel(null, async () => monthFigures((await month()).days, now, true), { className: "hero" }),
    h("div", { class: "bar-top" }, h("h2", { class: "dates" }, dayRange(...range)), rangePicker(given, range)),
    ...usagePanels({ panel, range }, usage, { file: "impact", help: t("emptyHelpMe"), isMine: true, isFinal }),
  ];
}

function signIn(enter, config) {
  const go = () => {
    const nonce = base64url(crypto.getRandomValues(new Uint8Array(32)));
    sessionStorage.setItem(NONCE, nonce);
    location.assign(`/sign-in?${new URLSearchParams({ nonce })}`);
  };
  return config.oidc
    ? [h("button", { type: "button", onclick: go }, t("signInWith")), h("p", { class: "minor" }, t("linkInstead"))]
    : [h("p", {}, t("linkNeeded"))];
}

const base64url = (bytes) =>
  btoa(String.fromCharCode(...bytes))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replaceAll("=", "");

/** Take the token out of the address before anything else can see it. */
function takeToken() {
  const { hash } = location;
  if (LINK.test(hash)) {
    clear();
    return { token: hash.slice(1) };
  }
  const answer = new URLSearchParams(hash.slice(1));
  if (!answer.has("id_token") && !answer.has("error")) return {};
  clear();
  const nonce = sessionStorage.getItem(NONCE);
  sessionStorage.removeItem(NONCE);
  const token = answer.get("id_token");
  const ours = nonce !== null && answer.get("state") === nonce && token !== null && nonceOf(token) === nonce;
  return ours ? { token } : { failed: true };
}

const clear = () => history.replaceState(null, "", location.pathname + location.search);

function nonceOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).nonce ?? null;
  } catch {
    return null;
  }
}

const { token, failed } = takeToken();
if (token) sessionStorage.setItem(TOKEN, token);
let page = null;
addEventListener("hashchange", (event) => {
  const taken = takeToken(); // a link that was pasted into an open page
  if (!taken.token) return;
  event.stopImmediatePropagation(); // before the frame draws once more with the token from before
  sessionStorage.setItem(TOKEN, taken.token);
  page?.enter(taken.token);
});
const refused = (config) => t(config.oidc ? "signInEnded" : "linkRefused");
page = await run({ key: TOKEN, title: t("you"), refused, view, signIn });
if (failed) page.leave(t("signInFailed"));
