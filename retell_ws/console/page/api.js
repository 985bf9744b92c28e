/**
 * Asks the server that gave this page. The token goes into a header, never into an address, where logs would keep it.
 */

const TOKEN = "retell_ws.token"; // in this tab's storage; gone with the tab
const LIMIT_MS = 10_000;

/** The server said no, or nothing: then the status is 0. */
export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Api {
  #token = sessionStorage.getItem(TOKEN) ?? "";

  get hasToken() {
    return this.#token !== "";
  }

  /** Use this token from now on, as long as the tab is open. */
  remember(token) {
    this.#token = token;
    sessionStorage.setItem(TOKEN, token);
  }

  forget() {
    this.#token = "";
    sessionStorage.removeItem(TOKEN);
  }

  servers(signal) {
    return this.#ask("GET", "servers", { signal });
  }

  view(callId, signal) {
    return this.#ask("GET", `calls/${encodeURIComponent(callId)}/view`, { signal });
  }

  directory() {
    return this.#ask("GET", "directory");
  }

  /** Have something done to a call: `say`, `end` or `transfer`. */
  order(callId, what, body) {
    return this.#ask("POST", `calls/${encodeURIComponent(callId)}/${what}`, { body });
  }

  drain(isOn) {
    return this.#ask(isOn ? "POST" : "DELETE", "drain");
  }

  /** Open a line to this server's call port; to a new call when there is no id. */
  async dial(callId) {
    const { call_id, ticket } = await this.#ask("POST", "console/try", { body: callId ? { call_id: callId } : {} });
    const url = address(`console/socket/${encodeURIComponent(call_id)}`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    // A browser can give a socket no header but this one.
    return { callId: call_id, socket: new WebSocket(url, `retell_ws.${ticket}`) };
  }

  async #ask(method, path, { body, signal } = {}) {
    const headers = { Authorization: `Bearer ${this.#token}` };
    if (body) headers["Content-Type"] = "application/json";
    const limit = AbortSignal.timeout(LIMIT_MS);
    let response;
    let answer;
    try {
      response = await fetch(address(path), {
        method,
        headers,
        body: body && JSON.stringify(body),
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
        cache: "no-store",
        credentials: "omit",
      });
      answer = await response.json();
    } catch (error) {
      if (signal?.aborted) throw error;
      if (response && !response.ok) throw new ApiError(response.status, `the server answered ${response.status}`);
      throw new ApiError(0, "the server does not answer");
    }
    if (!response.ok) throw new ApiError(response.status, answer.error ?? `the server answered ${response.status}`);
    return answer;
  }
}

/** Where a path is: seen from this file, so that a proxy may have put the server under a prefix. */
function address(path) {
  return new URL(`../${path}`, import.meta.url);
}
