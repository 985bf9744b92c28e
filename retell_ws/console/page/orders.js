/**
 * What may be done to a call from here: say something, hand it on, end it. The last two ask once more.
 */

import { element, put, write } from "./dom.js";

const WAITS = {
  answer: "It comes when the answer under way has come to its end.",
  redial: "The call has no line now: it comes with Retell's redial.",
};

const MAX_TEXT = 2000;

export class Orders {
  #api;
  #callId;
  #text = words("say", "Have the agent say…");
  #told = element("p", { class: "note told", role: "status" });
  #dialog = element("dialog", { "aria-labelledby": "asked" });
  #transfer = element("button", { type: "button", hidden: true, onclick: () => this.#askTransfer() }, "Transfer…");
  #labels = null;

  constructor(api, callId) {
    this.#api = api;
    this.#callId = callId;
    const form = element("form", { class: "composer", onsubmit: (event) => this.#say(event) },
      element("label", { for: "say", class: "unseen" }, "Have the agent say"), this.#text,
      element("button", { class: "primary" }, "Say"));
    this.element = element("div", { class: "orders" },
      form,
      element("div", { class: "buttons" },
        this.#transfer,
        element("button", { type: "button", class: "danger", onclick: () => this.#askEnd() }, "End call…"),
        this.#told),
      this.#dialog);
  }

  /** Offer what there is: nobody is handed on by an agent that knows nobody. What cannot be known yet is offered. */
  async open() {
    try {
      this.#labels ??= (await this.#api.directory()).labels;
    } catch { /* it is asked for again when it is wanted */ }
    this.#transfer.hidden = this.#labels?.length === 0;
  }

  async #say(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text) return;
    this.#text.value = ""; // before it is done, which may take seconds: said twice, it would be heard twice
    if (!(await this.#order("say", { text }, "It was said."))) this.#text.value ||= text;
  }

  #askEnd() {
    const message = words("goodbye", "the agent's own goodbye");
    this.#ask("End this call?", "The agent says goodbye and hangs up.", "End the call",
      [element("label", { for: "goodbye" }, "It says"), message],
      () => this.#order("end", { message: message.value.trim() }, "The call ends."));
  }

  async #askTransfer() {
    try {
      this.#labels ??= (await this.#api.directory()).labels;
    } catch (error) {
      write(this.#told, error.message);
      return;
    }
    if (!this.#labels.length) {
      write(this.#told, "The agent has nobody to hand a call to: give it transfers={…}.");
      return;
    }
    const options = this.#labels.map((label) => element("option", { value: label }, label));
    const to = element("select", { id: "to" }, ...options);
    const message = words("farewell", "what the target says by itself");
    this.#ask("Hand this call on?", "The caller leaves this agent.", "Transfer",
      [element("label", { for: "to" }, "To"), to, element("label", { for: "farewell" }, "It says before"), message],
      () => this.#order("transfer", { to: to.value, message: message.value.trim() }, `The call goes to ${to.value}.`));
  }

  #ask(question, note, yes, fields, order) {
    const close = () => this.#dialog.close();
    put(this.#dialog, element("form", {
      onsubmit: (event) => {
        event.preventDefault();
        close();
        order();
      },
    },
    element("h2", { id: "asked" }, question), element("p", { class: "note" }, note), ...fields,
    element("div", { class: "buttons" },
      element("button", { class: "danger" }, yes),
      element("button", { type: "button", onclick: close }, "Leave it"))));
    this.#dialog.showModal();
  }

  async #order(what, body, done) {
    write(this.#told, "…");
    try {
      const answer = await this.#api.order(this.#callId, what, body);
      write(this.#told, answer.done ? done : WAITS[answer.waits_for] ?? "It will be done.");
      return true;
    } catch (error) {
      write(this.#told, `Not done: ${error.message}`);
      return false;
    }
  }
}

function words(id, placeholder) {
  return element("input", { id, placeholder, maxlength: MAX_TEXT, autocomplete: "off" });
}
