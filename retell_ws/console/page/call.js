/**
 * One call: its talk as it goes on, where the time of its turns went, and what may be done to it.
 */

import { showState } from "./calls.js";
import { element, write } from "./dom.js";
import { Orders } from "./orders.js";
import { poll } from "./poll.js";
import { line, Talk } from "./talk.js";
import { Waterfall } from "./waterfall.js";
import { many, milliseconds, seconds } from "./words.js";

const EVERY_MS = 400;

const WHO = { agent: "agent", user: "caller" };

export class Call {
  #api;
  #state;
  #callId;
  #budgetMs = null;
  #server = null;
  #lines = [];
  #first = 0; // the place of the first line shown among all there were
  #pill = element("span", { class: "pill" });
  #told = element("p", { class: "note" });
  #talk = new Talk("What is said in this call");
  #silence = element("p", { class: "none" }, "Nothing was said yet.");
  #waterfall = new Waterfall();
  #noTurns = element("p", { class: "none" }, "No turn was measured yet.");
  #turnsTold = element("p", { class: "note" });
  #orders;

  constructor(api, state, callId) {
    this.#api = api;
    this.#state = state;
    this.#callId = callId;
    this.title = callId;
    this.#waterfall.element.hidden = true;
    this.#orders = new Orders(api, callId);
    this.element = element("section", { class: "view" },
      element("header", {},
        element("a", { href: "#/calls" }, "← Calls"), element("h1", { class: "id" }, callId), this.#pill, this.#told),
      element("div", { class: "cards" },
        element("section", { class: "card", "aria-label": "Talk" },
          element("h2", {}, "Talk"), this.#silence, this.#talk.element, this.#orders.element),
        element("section", { class: "card", "aria-label": "Turns" },
          element("h2", {}, "Turns"), this.#turnsTold, this.#noTurns, this.#waterfall.element)));
  }

  /** Look until told to stop. A call that no server has may be back with Retell's redial. */
  open() {
    this.#orders.open();
    return poll(EVERY_MS, async (signal) => {
      this.#show(await this.#withBudget(await this.#api.view(this.#callId, signal), signal));
      this.#state.found("");
    }, (error) => {
      if (error.status === 404) this.#gone();
      else this.#state.failed(error);
    });
  }

  /** Ask for the budget of the server that has the call, whenever that is another one, until it answers. */
  async #withBudget(view, signal) {
    if (view.server !== this.#server) {
      const { servers } = await this.#api.servers(signal);
      const found = servers.find((one) => one.name === view.server);
      if (found) [this.#server, this.#budgetMs] = [found.name, found.budget_ms];
    }
    return view;
  }

  #show({ server, status, lines, speaking, turns }) {
    this.#offer(true);
    showState(this.#pill, status);
    write(this.#told, `${seconds(status.since_s)} on ${server}`);
    this.#first += moved(this.#lines, lines);
    this.#lines = lines;
    const said = lines.map((one, n) => ({ ...one, key: this.#first + n }));
    if (speaking?.text) {
      said.push({ role: "agent", text: speaking.text, isLive: true, key: `live ${speaking.response_id}` });
    }
    this.#talk.show(said, (one) => `${one.key} ${one.role}`, makeLine, updateLine);
    this.#silence.hidden = said.length > 0;
    this.#talk.element.hidden = !said.length;
    this.#noTurns.hidden = turns.length > 0;
    this.#waterfall.element.hidden = !turns.length;
    if (turns.length) this.#waterfall.show(turns, this.#budgetMs ?? 0);
    const asked = turns.filter((turn) => turn.response_id > 0 && turn.first_sentence_s != null);
    const within = asked.filter((turn) => turn.first_sentence_s * 1000 <= this.#budgetMs);
    write(this.#turnsTold, asked.length && this.#budgetMs
      ? `${within.length} of ${many(asked.length, "first sentence")} within ${milliseconds(this.#budgetMs)}` : "");
  }

  #gone() {
    this.#state.found("");
    write(this.#told, "This call is over, or no server has it.");
    write(this.#pill, "over");
    this.#pill.className = "pill grey";
    if (!this.#talk.element.childElementCount) write(this.#silence, "Nothing of it is kept here.");
    this.#offer(false);
  }

  /** Let orders be given, or none; a question that is open may still be left. */
  #offer(isOn) {
    for (const one of this.element.querySelectorAll(".orders > :not(dialog) :is(button, input)")) one.disabled = !isOn;
  }
}

/**
 * Count the lines that have left at the beginning: only the last ones of a call are shown, and a line is known by its
 * place among all. The last one may have grown since.
 */
export function moved(old, lines) {
  const isSame = (one, other) => one.role === other?.role && one.text === other.text;
  for (let gone = 0; gone < old.length; gone++) {
    if (old.slice(gone, -1).every((one, n) => isSame(one, lines[n]))) return gone;
  }
  return 0;
}

function makeLine(one) {
  const who = WHO[one.role];
  return who ? line(one.role === "user" ? "caller" : "agent", who) : line("note");
}

function updateLine(item, one) {
  item.classList.toggle("live", one.isLive === true);
  write(item.lastElementChild, WHO[one.role] ? one.text : `${one.name || one.role.replaceAll("_", " ")}: ${one.text}`);
}
