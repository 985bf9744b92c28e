/**
 * A conversation as a talk: who said what, the newest at the end, where the reader stays unless they have scrolled up.
 */

import { element, keep } from "./dom.js";

const NEAR_PX = 40; // from the end: still reading what is new

export class Talk {
  /** @param {string} label What a screen reader calls it. */
  constructor(label) {
    this.element = element("div", {
      class: "talk", role: "log", tabindex: "0",
      "aria-live": "polite", "aria-relevant": "additions", "aria-label": label,
    });
  }

  /** Have one line for each item; see `keep`. */
  show(items, keyOf, make, update) {
    const { element: list } = this;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < NEAR_PX;
    keep(list, items, keyOf, make, update);
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }
}

/** Make a line of somebody's. */
export function line(kind, who) {
  return element("div", { class: kind }, who ? element("span", { class: "who" }, who) : null, element("p"));
}
