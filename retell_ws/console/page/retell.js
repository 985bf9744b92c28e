/**
 * Plays Retell for one call: tells what is heard, asks, lets the agent speak, and does what an answer asks for once it
 * was spoken. Judges no frame (`acceptance.js`), holds no socket (`lines.js`), shows nothing (`caller.js`).
 *
 * Reminders come only when they are asked for: whoever reads an answer is no silent caller.
 */

import { Acceptance } from "./acceptance.js";
import { Lines } from "./lines.js";
import { Conversation, Mouth } from "./voice.js";

const RECOGNISED_MS = 200; // between two looks at what the caller is saying

const MAX_HAPPENINGS = 500;

/** What Retell writes for a sound without words (§2.6). */
export const SOUND = "(unintelligible audio)";

export class Retell {
  rules = new Acceptance();
  happenings = []; // what was said and what happened, oldest first

  #lines;
  #conversation = new Conversation();
  #mouth = new Mouth();
  #spoken = new WeakMap(); // the happening of each exchange
  #count = 0;
  #hasFloor = false; // it was told that the caller has begun to speak
  #typed = "";
  #typing = null; // until they are looked at
  #speaking = null; // until the next word
  #details;
  #changed;
  #onMessage;

  /**
   * @param {Function} dial As `Lines` takes it.
   * @param {object} details Fields of the call object (§2.2).
   * @param {number} wordMs How long the agent takes for a word; 0 for all of them.
   * @param {() => void} changed Called when there is something new to see.
   * @param {(isOurs: boolean, text: string) => void} onMessage Called with every message but pings and their echoes.
   */
  constructor({ dial, details = {}, wordMs = 375, changed = () => {}, onMessage = () => {} }) {
    this.wordMs = wordMs;
    this.#details = details;
    this.#changed = changed;
    this.#onMessage = onMessage;
    this.#lines = new Lines({
      dial,
      changed,
      connected: () => this.rules.connected(performance.now()),
      hear: (data) => this.#hear(data),
      note: (text) => this.#note(text),
      ended: (reason, why) => this.#ended(reason, why),
    });
  }

  get callId() {
    return this.#lines.callId;
  }

  get state() {
    return this.#lines?.state ?? "dialling";
  }

  get rttMs() {
    return this.#lines.rttMs;
  }

  /** Whether the caller would interrupt: the agent speaks, or is about to. */
  get isBusy() {
    return this.#lines.isOpen && (this.#mouth.isSpeaking || this.rules.isOpen);
  }

  // ---------------------------------------------------------------- what a caller does

  /** The caller is saying this; nothing is asked yet (§2.3). While the agent speaks it is not heard. */
  typing(text) {
    this.#typed = text;
    this.#typing ??= setTimeout(() => this.#recognise(), RECOGNISED_MS);
  }

  /**
   * The caller has said this. While the agent speaks it is an interruption.
   *
   * @param {string} text The words; without any it was a sound.
   * @returns {boolean} Whether there was a line.
   */
  say(text = SOUND) {
    if (!this.#lines.isOpen) return false;
    this.#forgetTyped();
    this.#cut();
    this.#happened({ kind: "caller", text });
    this.#conversation.callerSaid(text);
    this.#update(this.#hasFloor ? null : "user_turn");
    this.#hasFloor = false;
    this.#ask("response_required");
    return true;
  }

  /** The caller is silent (§2.5). */
  remind() {
    if (!this.#lines.isOpen) return;
    this.#cut();
    this.#note("You say nothing: Retell reminds the agent.");
    this.#ask("reminder_required");
  }

  /** Cut the line, and dial again. */
  redial() {
    if (!this.#lines.isOpen) return;
    this.#note("The line was cut. Retell redials.");
    this.#lines.redial();
  }

  hangUp() {
    this.#lines.end("user_hangup");
  }

  // ---------------------------------------------------------------- what is sent

  #send(message) {
    const text = JSON.stringify(message);
    this.#onMessage(true, text);
    this.#lines.send(text);
  }

  #ask(kind) {
    const id = this.rules.ask(performance.now());
    this.#send({ interaction_type: kind, response_id: id, ...this.#transcript() });
    this.#changed();
  }

  #update(turntaking) {
    if (!this.#lines.isOpen) return; // the next message tells it: the transcript comes whole each time
    this.#send({ interaction_type: "update_only", ...this.#transcript(), ...(turntaking && { turntaking }) });
  }

  #transcript() {
    return this.#conversation.fields(this.rules.options.transcript_with_tool_calls === true);
  }

  #recognise() {
    const text = this.#typed.trim();
    this.#forgetTyped();
    if (this.isBusy || !this.#lines.isOpen) return;
    this.#conversation.callerIsSaying(text);
    this.#update(text && !this.#hasFloor ? "user_turn" : null);
    this.#hasFloor = text !== "";
  }

  #forgetTyped() {
    clearTimeout(this.#typing);
    this.#typing = null;
  }

  // ---------------------------------------------------------------- what is heard

  #hear(data) {
    const message = read(data);
    if (message?.response_type !== "ping_pong") this.#onMessage(false, data);
    if (message === null) return;
    const { kind, exchange } = this.rules.receive(message, performance.now());
    switch (kind) {
      case "config":
        this.#configured(this.rules.options);
        break;
      case "ping_pong":
        this.#lines.echoed(message.timestamp);
        break;
      case "speech":
        this.#accepted(exchange);
        break;
      case "tool_call_invocation":
      case "tool_call_result":
        this.#tool(message);
        break;
    }
    this.#changed();
  }

  #configured({ auto_reconnect, call_details }) {
    if (call_details) {
      const call = { call_id: this.callId, call_type: "web_call", call_status: "registered", ...this.#details };
      this.#send({ interaction_type: "call_details", call });
    }
    if (auto_reconnect) this.#lines.keepAlive();
  }

  #tool({ response_type, ...fields }) {
    this.#conversation.beside({ role: response_type, ...fields });
    if (response_type === "tool_call_invocation") this.#note(`Tool ${fields.name}: ${fields.arguments}`);
    else this.#note(`Tool ${fields.successful === false ? "did not work" : "gave"}: ${fields.content}`);
  }

  #ended(reason, why) {
    this.#cut();
    this.#forgetTyped();
    this.#note(`The call has ended: ${reason}${why && ` (${why})`}.`);
  }

  // ---------------------------------------------------------------- what the agent speaks

  #accepted(exchange) {
    if (exchange !== this.#mouth.exchange) {
      if (this.#mouth.exchange) this.#cut();
      this.#mouth.say(exchange);
    }
    if (exchange.text && !this.#spoken.has(exchange)) {
      const said = { kind: "agent", exchange, heard: "", isCut: false };
      this.#spoken.set(exchange, said);
      this.#happened(said);
    }
    if (this.#speaking === null) this.#speak();
  }

  /** Speak the next word, tell of it, and do what follows the last one. */
  #speak() {
    this.#speaking = null;
    const { exchange } = this.#mouth;
    const begins = !this.#mouth.spoken;
    const word = this.#mouth.take(this.wordMs === 0);
    if (word) {
      this.#spoken.get(exchange).heard = this.#mouth.spoken;
      // Interruptions have a counter of their own; below zero they cannot be taken for a response.
      this.#conversation.agentSaid(word, exchange.unasked ? -1 - exchange.id : exchange.id);
      this.#update(begins ? "agent_turn" : null);
      this.#speaking = setTimeout(() => this.#speak(), this.wordMs);
      this.#changed();
    } else if (this.#mouth.isDone) this.#act(exchange);
  }

  /** All was spoken: do what the answer asks for (§3.3). */
  #act({ action, text }) {
    if (action?.kind === "end_call") this.#lines.end("agent_hangup");
    else if (action?.kind === "transfer_number") this.#lines.end("call_transfer", `to ${action.value}`);
    else if (action?.kind === "digit_to_press") this.#note(`The agent presses ${action.value}.`);
    else if (!text && this.rules.latest === 0) this.#note("The agent waits for you to speak.");
    this.#changed();
  }

  /** The agent falls silent; what it has not said was never heard. */
  #cut() {
    const said = this.#spoken.get(this.#mouth.exchange);
    if (said && !this.#mouth.isDone) said.isCut = true;
    clearTimeout(this.#speaking);
    this.#speaking = null;
    this.#mouth.cut();
    this.#conversation.agentStopped();
    this.#changed();
  }

  // ---------------------------------------------------------------- what is shown

  #note(text) {
    this.#happened({ kind: "note", text });
  }

  #happened(what) {
    what.number = this.#count++; // a key: the list is cut at its beginning
    this.happenings.push(what);
    if (this.happenings.length > MAX_HAPPENINGS) this.happenings.shift();
    this.#changed();
  }
}

/** Read a message; null when it is none, which Retell ignores (§1.6). */
function read(data) {
  try {
    const message = JSON.parse(data);
    return typeof message === "object" ? message : null;
  } catch {
    return null;
  }
}
