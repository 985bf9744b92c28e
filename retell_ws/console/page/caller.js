/**
 * Try it: be the caller of this server, from the page. The call goes on while other views are looked at.
 */

import { element, put, write } from "./dom.js";
import { Retell, SOUND } from "./retell.js";
import { line, Talk } from "./talk.js";
import { WireLog } from "./wire_log.js";
import { many, milliseconds } from "./words.js";

const PACES = [["as on the phone", 375], ["four times as fast", 94], ["at once", 0]]; // 160 words a minute

const STATES = { dialling: ["dialling", "orange"], open: ["on the line", "green"], ended: ["ended", "grey"] };

export class Caller {
  title = "Try it";

  #api;
  #onState;
  #retell = null;
  #budgetMs = null;
  #isDue = false; // a drawing of what has changed
  #log = new WireLog();
  #pill = element("span", { class: "pill", role: "status" });
  #told = element("p", { class: "note" });
  #talk = new Talk("Your call");
  #text = element("input", { id: "words", autocomplete: "off", maxlength: 2000, oninput: () => this.#typed() });
  #speak = element("button", { class: "primary" }, "Say");
  #pace = element("select", { id: "pace", onchange: () => this.#paced() },
    ...PACES.map(([name, ms]) => element("option", { value: ms }, name)));
  #from = element("input", { id: "from", autocomplete: "off", placeholder: "a web call has none", inputmode: "tel" });
  #variables = element("input", { id: "variables", autocomplete: "off", placeholder: "name=Ada, plan=gold" });
  #start = element("button", { type: "button", class: "primary", onclick: () => this.#call() }, "Call");
  #buttons = {
    silence: element("button", { type: "button", onclick: () => this.#retell.remind() }, "Say nothing"),
    redial: element("button", { type: "button", onclick: () => this.#retell.redial() }, "Cut the line"),
    hangUp: element("button", { type: "button", class: "danger", onclick: () => this.#retell.hangUp() }, "Hang up"),
  };
  #before;
  #composer;

  /**
   * @param {Api} api Asks the server.
   * @param {() => void} onState Called when a call begins or ends.
   */
  constructor(api, onState) {
    this.#api = api;
    this.#onState = onState;
    this.#before = element("div", { class: "before" },
      element("p", { class: "note" }, "This page plays Retell: it dials this server over its real socket. ",
        "You are the caller and type what you say."),
      element("div", { class: "fields" },
        element("label", { for: "from" }, "Your number", this.#from),
        element("label", { for: "variables" }, "Dynamic variables", this.#variables)),
      this.#start);
    this.#composer = element("div", {},
      element("form", { class: "composer", onsubmit: (event) => this.#say(event) },
        element("label", { for: "words", class: "unseen" }, "What you say"), this.#text, this.#speak),
      element("div", { class: "buttons" }, ...Object.values(this.#buttons),
        element("label", { for: "pace", class: "inline" }, "It speaks", this.#pace)));
    this.element = element("section", { class: "view try" },
      element("header", {}, element("h1", {}, "Try it"), this.#pill, this.#told),
      element("div", { class: "card" }, this.#talk.element, this.#composer, this.#before),
      this.#log.element);
  }

  /** Whether a call is under way. */
  get isCalling() {
    return this.#retell !== null && this.#retell.state !== "ended";
  }

  open() {
    this.#draw();
    return () => {};
  }

  /** Hang up, if there is a call: whoever has no token has no call. */
  leave() {
    this.#retell?.hangUp();
  }

  async #call() {
    if (this.isCalling) return; // the second of two clicks: a call that nobody sees would go on for ever
    this.#log.clear();
    put(this.#talk.element);
    this.#retell = new Retell({
      dial: (callId) => this.#api.dial(callId),
      details: this.#details(),
      wordMs: Number(this.#pace.value),
      changed: () => this.#changed(),
      onMessage: (isOurs, text) => this.#log.add(isOurs, text),
    });
    this.#changed();
    this.#text.focus();
    this.#budgetMs ??= await this.#budget();
    this.#changed();
  }

  async #budget() {
    try {
      return (await this.#api.servers()).servers[0].budget_ms; // the one that answers stands first
    } catch {
      return null; // times are shown without it
    }
  }

  #details() {
    const details = { agent_id: "agent_console", call_type: "web_call" };
    const number = this.#from.value.trim();
    if (number) Object.assign(details, { call_type: "phone_call", direction: "inbound", from_number: number });
    const pairs = this.#variables.value.split(",").map((pair) => pair.split(/=(.*)/su).map((one) => one.trim()));
    const named = pairs.filter(([name, value]) => name && value);
    if (named.length) details.retell_llm_dynamic_variables = Object.fromEntries(named);
    return details;
  }

  #typed() {
    this.#retell?.typing(this.#text.value);
  }

  #paced() {
    if (this.#retell) this.#retell.wordMs = Number(this.#pace.value);
  }

  #say(event) {
    event.preventDefault();
    const text = this.#text.value.trim();
    if (!text && !this.#retell.isBusy) return;
    if (this.#retell.say(text || undefined)) this.#text.value = "";
    this.#changed();
  }

  // ---------------------------------------------------------------- what is shown

  /** Draw soon: ten words may come between two pictures. */
  #changed() {
    if (this.#isDue) return;
    this.#isDue = true;
    requestAnimationFrame(() => {
      this.#isDue = false;
      this.#draw();
    });
  }

  #draw() {
    const retell = this.#retell;
    const isOpen = retell?.state === "open";
    const [word, colour] = STATES[retell?.state] ?? ["", ""];
    write(this.#pill, word);
    this.#pill.className = `pill ${colour}`;
    this.#pill.hidden = !retell;
    this.#line(retell);
    this.#before.hidden = this.isCalling;
    write(this.#start, retell ? "Call again" : "Call");
    this.#composer.hidden = !this.isCalling;
    this.#talk.element.hidden = !retell;
    this.#log.element.hidden = !retell;
    this.#buttons.silence.disabled = this.#buttons.redial.disabled = !isOpen;
    write(this.#speak, retell?.isBusy ? "Interrupt" : "Say");
    this.#speak.disabled = !isOpen; // not for want of words: Enter would do nothing until the next drawing
    this.#text.placeholder = retell?.isBusy ? "Enter interrupts…" : "What you say…";
    if (retell) {
      this.#talk.show(retell.happenings, (one) => one.number, makeLine, (item, one) => this.#update(item, one, retell));
    }
    this.#onState();
  }

  #line(retell) {
    if (!retell?.callId) {
      put(this.#told);
      return;
    }
    const rtt = retell.rttMs === null ? "" : ` · echo in ${milliseconds(retell.rttMs)}`;
    if (this.#told.dataset.call !== retell.callId) {
      this.#told.dataset.call = retell.callId;
      put(this.#told, element("a", { href: `#/call/${retell.callId}` }, "its turns"),
        element("span", { title: "How long the server took to echo a ping; Retell sends one every two seconds." }));
    }
    write(this.#told.lastElementChild, rtt);
  }

  #update(item, one, retell) {
    if (one.kind !== "agent") {
      write(item.lastElementChild, one.kind === "caller" && one.text === SOUND ? "(a sound, no words)" : one.text);
      return;
    }
    const [heard, unheard] = item.querySelector("p").children;
    write(heard, one.heard);
    write(unheard, one.exchange.text.slice(one.heard.length));
    item.classList.toggle("cut", one.isCut);
    const isLate = one.exchange.id > 0 && one.exchange.firstSentenceAt - one.exchange.askedAt > this.#budgetMs;
    const times = item.querySelector(".times");
    times.classList.toggle("over", this.#budgetMs !== null && isLate);
    write(times, timing(one, retell));
  }
}

function makeLine(one) {
  if (one.kind === "note") return line("note");
  if (one.kind === "caller") return line("caller", "you");
  const item = line("agent", "agent");
  item.lastElementChild.append(element("span", { class: "heard" }), element("span", { class: "unheard" }));
  item.append(element("small", { class: "times" }));
  return item;
}

/** Say in one line how fast an answer was. */
function timing({ exchange, isCut }, { rules }) {
  const told = [];
  const after = (at) => milliseconds(at - exchange.askedAt);
  if (exchange.unasked) told.push("unasked");
  else {
    if (exchange.firstFrameAt !== null) told.push(`first frame ${after(exchange.firstFrameAt)}`);
    if (exchange.firstSentenceAt !== null) told.push(`first sentence ${after(exchange.firstSentenceAt)}`);
    if (exchange.isComplete) told.push(`done ${after(exchange.completedAt)}`);
  }
  told.push(many(exchange.frames, "frame"));
  if (isCut) told.push("interrupted");
  if (exchange.dropped && exchange.id < rules.latest) told.push(`${exchange.dropped} came too late`);
  return told.join(" · ");
}
