/** The read API. Numbers stay the text that the API wrote. */

const TOKENS = /("(?:[^"\\]|\\.)*")|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)/g;

/** Parse JSON with each number as a string of all its digits. */
export const parseExact = (text) => JSON.parse(text.replace(TOKENS, (_, string, number) => string ?? `"${number}"`));

const PATIENCE_SECONDS = 10;
const KEPT_MS = 60_000; // a figure on the screen may be so old; after that all are read again
const AT_ONCE = 2; // at a first visit, each further one would start a function of its own

export class ApiError extends Error {
  /** @param {number} status 0: no response @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Whether a header can carry a text as a token. */
export const isToken = (text) => /^[\x21-\x7e]{1,8000}$/.test(text);

export class Api {
  #token;
  #abort = new AbortController();
  #kept = new Map();
  #keptSince = 0;
  #asking = 0;
  #waiting = [];

  constructor(token) {
    this.#token = token;
  }

  /** Stop all requests, and forget the token and all figures. */
  forget() {
    this.stop();
    this.#token = "";
    this.#kept.clear();
  }

  /** Stop what is still being read: nobody waits for it any more. */
  stop() {
    this.#abort.abort();
    this.#abort = new AbortController();
  }

  /** Read a route. The same question is asked once a minute. Throws ApiError, or an AbortError if it is stopped. */
  get(path, query) {
    const url = `${path}?${new URLSearchParams(query)}`;
    if (Date.now() - this.#keptSince > KEPT_MS) {
      this.#kept.clear();
      this.#keptSince = Date.now();
    }
    if (!this.#kept.has(url)) {
      const { signal } = this.#abort;
      const answer = this.#inTurn(() => this.#fetch(url, signal, true));
      const drop = () => this.#kept.get(url) === answer && this.#kept.delete(url);
      this.#kept.set(url, answer);
      signal.addEventListener("abort", drop);
      answer.then(() => signal.removeEventListener("abort", drop), drop);
    }
    return this.#kept.get(url);
  }

  /** Read all pages of a user's days. */
  async days(path, query) {
    const whole = await this.get(path, query);
    const days = [...whole.days];
    for (let page = whole; page.next;) {
      page = await this.get(path, { ...query, cursor: page.next });
      days.push(...page.days);
    }
    return { ...whole, days };
  }

  /** Ask as soon as few enough others are being asked, in the order of the questions. */
  async #inTurn(ask) {
    if (this.#asking >= AT_ONCE) await new Promise((start) => this.#waiting.push(start));
    else this.#asking += 1;
    try {
      return await ask();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#asking -= 1;
    }
  }

  async #fetch(url, signal, again) {
    signal.throwIfAborted();
    let response;
    try {
      const headers = { Authorization: `Bearer ${this.#token}` };
      response = await fetch(url, { headers, cache: "no-store", credentials: "omit", signal });
    } catch (error) {
      throw error.name === "AbortError" ? error : new ApiError(0, error.message);
    }
    const busy = response.status === 503 || response.status === 429;
    if (busy && again) {
      await pause(Math.min(Number(response.headers.get("retry-after")) || 1, PATIENCE_SECONDS), signal);
      return this.#fetch(url, signal, false);
    }
    const text = await response.text();
    if (!response.ok) throw new ApiError(response.status, messageOf(text));
    return parseExact(text);
  }
}

/** Wait, but not for what was stopped. */
function pause(seconds, signal) {
  return new Promise((resume) => {
    setTimeout(resume, seconds * 1000);
    signal.addEventListener("abort", resume);
  });
}

function messageOf(text) {
  try {
    const body = JSON.parse(text);
    return String(body.error?.message ?? body.message ?? "");
  } catch {
    return "";
  }
}
