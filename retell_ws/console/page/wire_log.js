/**
 * What goes over the line, both ways, to be opened by whoever wants to know. Pings are left out.
 */

import { element, write } from "./dom.js";

const MAX_ENTRIES = 300;
const MAX_SHOWN = 1500; // characters of one message: transcripts come whole each time

export class WireLog {
  #count = 0;
  #began = 0;
  #summary = element("summary", {}, "What goes over the line");
  #list = element("ol", { class: "wire", tabindex: "0", "aria-label": "Messages" });

  constructor() {
    this.element = element("details", { class: "card log", hidden: true }, this.#summary, this.#list);
  }

  clear() {
    this.#count = 0;
    this.#began = performance.now();
    this.#list.replaceChildren();
  }

  add(isOurs, text) {
    this.#count += 1;
    write(this.#summary, `What goes over the line (${this.#count})`);
    const at = ((performance.now() - this.#began) / 1000).toFixed(3);
    const shown = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}… (${text.length} characters)` : text;
    const isAtEnd = this.#list.scrollHeight - this.#list.scrollTop - this.#list.clientHeight < 40;
    this.#list.append(element("li", { class: isOurs ? "out" : "in" },
      element("span", { class: "at" }, `${at} ${isOurs ? "Retell →" : "← server"}`), element("code", {}, shown)));
    if (this.#list.childElementCount > MAX_ENTRIES) this.#list.firstElementChild.remove();
    if (isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }
}
