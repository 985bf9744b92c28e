/**
 * The calls that are live now, on all servers.
 */

import { element, keep, put, write } from "./dom.js";
import { poll } from "./poll.js";
import { many, missing, number, seconds } from "./words.js";

const EVERY_MS = 1000;

const MAX_ROWS = 500; // two hundred servers tell of twenty thousand calls, and a browser would draw nothing else

const TURNS = { idle: "listens", answering: "answers", leaving: "says goodbye" };

export class Calls {
  title = "Calls";

  #servers = [];
  #told = element("p", { class: "note", role: "status" });
  #filter = element("input", {
    type: "search", id: "filter", placeholder: "part of an id", autocomplete: "off", spellcheck: "false",
  });
  #rows = element("tbody");
  #table;
  #none = element("p", { class: "none", hidden: true });
  #api;
  #state;

  constructor(api, state) {
    this.#api = api;
    this.#state = state;
    this.#filter.addEventListener("input", () => this.#show());
    const head = [["call", null], ["server", "minor"], ["agent", null], ["for", "n"]]
      .map(([name, kind]) => element("th", { scope: "col", class: kind }, name));
    this.#table = element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.#rows);
    this.element = element("section", { class: "view" },
      element("header", {}, element("h1", {}, "Calls"), this.#told,
        element("label", { class: "filter", for: "filter" }, "Filter", this.#filter)),
      element("div", { class: "card" }, this.#table, this.#none));
  }

  /** Look until told to stop. */
  open() {
    return poll(EVERY_MS, async (signal) => {
      const { complete, servers } = await this.#api.servers(signal);
      this.#state.found(complete ? "" : missing(servers));
      this.#servers = servers;
      this.#show();
    }, (error) => this.#state.failed(error));
  }

  #show() {
    const part = this.#filter.value.trim().toLowerCase();
    const calls = this.#servers
      .flatMap((server) => server.live.map((call) => ({ ...call, server: server.name })))
      .sort((one, other) => one.since_s - other.since_s);
    const found = calls.filter((call) => call.id.toLowerCase().includes(part));
    const shown = found.slice(0, MAX_ROWS);
    keep(this.#rows, shown, (call) => `${call.server} ${call.id}`, makeRow, updateRow);
    const count = this.#servers.reduce((sum, server) => sum + server.calls, 0);
    const isCut = found.length > shown.length || count > calls.length;
    const newest = Math.min(calls.length, MAX_ROWS);
    write(this.#told, `${many(count, "call")} on ${many(this.#servers.length, "server")}${
      isCut ? `; the newest ${number(newest)} are shown` : ""}`);
    this.#table.hidden = !shown.length;
    this.#none.hidden = shown.length > 0;
    if (shown.length) return;
    if (calls.length) write(this.#none, `No call has “${part}” in its id.`);
    else if (this.#none.dataset.why !== "empty") {
      put(this.#none, "No calls now. ", element("a", { href: "#/try" }, "Try it →"));
    }
    this.#none.dataset.why = calls.length ? "filter" : "empty";
  }
}

function makeRow(call) {
  return element("tr", {},
    element("td", { class: "id" }, element("a", { href: `#/call/${call.id}` }, call.id)),
    element("td", { class: "minor id" }, call.server),
    element("td", {}, element("span", { class: "pill" })),
    element("td", { class: "n" }));
}

function updateRow(row, call) {
  showState(row.querySelector(".pill"), call);
  write(row.lastElementChild, seconds(call.since_s));
}

/** Have a pill say what the agent does in a call. */
export function showState(pill, { attached, turn }) {
  write(pill, attached ? TURNS[turn] ?? turn : "no line");
  pill.className = `pill ${!attached ? "red" : { answering: "blue", leaving: "grey" }[turn] ?? "green"}`;
}
