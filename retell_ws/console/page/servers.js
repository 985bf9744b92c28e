/**
 * The servers that share the calls: how full they are, whether they drain, and how long their callers waited.
 */

import { element, keep, put, write } from "./dom.js";
import { histogram } from "./histogram.js";
import { poll } from "./poll.js";
import { clock, milliseconds, missing, number, percent } from "./words.js";

const EVERY_MS = 1000;

export class Servers {
  title = "Servers";

  #api;
  #state;
  #told = element("p", { class: "note", role: "status" });
  #cards = element("div", { class: "cards" });
  #asked = null; // the name of the server that answers: no other one can be drained from here

  constructor(api, state) {
    this.#api = api;
    this.#state = state;
    this.element = element("section", { class: "view" },
      element("header", {}, element("h1", {}, "Servers"), this.#told), this.#cards);
  }

  /** Look until told to stop. */
  open() {
    return poll(EVERY_MS, async (signal) => {
      const { complete, servers } = await this.#api.servers(signal);
      this.#state.found(complete ? "" : missing(servers));
      this.#asked = servers[0].name; // it stands first
      const inOrder = servers.toSorted((one, other) => one.name.localeCompare(other.name));
      const calls = servers.reduce((sum, one) => sum + one.calls, 0);
      const room = servers.reduce((sum, one) => sum + one.max_calls, 0);
      write(this.#told, `${number(calls)} of ${number(room)} calls`);
      keep(this.#cards, inOrder, (one) => one.name, () => this.#make(), (card, one) => this.#update(card, one));
    }, (error) => this.#state.failed(error));
  }

  #make() {
    return element("section", { class: "card server" },
      element("div", { class: "head" }, element("h2", { class: "id" }), element("span", { class: "pill" }),
        element("button", { type: "button", class: "drain", hidden: true })),
      element("p", { class: "note" }),
      element("div", { class: "full" }, element("meter", { min: "0", "aria-label": "calls" }), element("span")),
      element("dl", { class: "figures" }),
      element("div", { class: "picture" }));
  }

  #update(card, one) {
    const [name, pill, drain] = card.querySelector(".head").children;
    write(name, one.name);
    drain.hidden = one.name !== this.#asked;
    this.#showDraining(pill, drain, one.draining);
    write(card.querySelector(".note"),
      `${one.blueprint} · ${one.model} · ${one.speculates ? "speculates" : "does not speculate"} · ` +
      `version ${one.version} · since ${clock(one.started_at)}`);
    const meter = card.querySelector("meter");
    meter.max = one.max_calls;
    meter.value = one.calls;
    write(card.querySelector(".full span"), `${number(one.calls)} of ${number(one.max_calls)} calls`);
    this.#picture(card, one);
  }

  #picture(card, { first_sentences: first, budget_ms: budgetMs }) {
    const shape = JSON.stringify([first, budgetMs]);
    if (card.dataset.shape === shape) return;
    card.dataset.shape = shape;
    const all = first.within + first.over;
    const figures = [
      ["within the budget", percent(all ? first.within / all : null)],
      ["p50", milliseconds(first.p50_ms)], ["p95", milliseconds(first.p95_ms)], ["p99", milliseconds(first.p99_ms)],
    ];
    put(card.querySelector("dl"), ...figures.map(([what, value]) =>
      element("div", {}, element("dt", {}, what), element("dd", {}, value))));
    const none = `No first sentence yet. The budget is ${milliseconds(budgetMs)}. `;
    put(card.querySelector(".picture"), all ? histogram(first, budgetMs)
      : element("p", { class: "none" }, none, element("a", { href: "#/try" }, "Try it →")));
  }

  async #drain(pill, button, isOn) {
    button.disabled = true;
    try {
      const { draining } = await this.#api.drain(isOn);
      this.#showDraining(pill, button, draining); // and does not wait for the next look
    } catch (error) {
      this.#state.failed(error);
    }
    button.disabled = false;
  }

  #showDraining(pill, button, isOn) {
    write(pill, isOn ? "draining" : "takes calls");
    pill.className = `pill ${isOn ? "orange" : "green"}`;
    write(button, isOn ? "Take calls again" : "Drain");
    button.onclick = () => this.#drain(pill, button, !isOn);
  }
}
