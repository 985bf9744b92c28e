/**
 * Plays Retell for one call, from its first dial to its end: pings, redials, tells what is heard, asks, and does what
 * an answer asks for once it was spoken. Judges no frame (`acceptance.js`) and shows nothing (`caller.js`).
 *
 * Reminders come only when they are asked for: whoever reads an answer is no silent caller.
 */

import { Acceptance } from "./acceptance.js";
import { Conversation, Mouth } from "./voice.js";

const PING_MS = 2000; // between two pings (§1.5)
const PONG_LIMIT_MS = 5000; // without an echo, after which the line counts as dead (§1.5)
const OPEN_LIMIT_MS = 7000; // for one dial (§1.4)
const ATTEMPTS = 3; // of one redial, and the pause between them (§1.4)
const PAUSE_MS = 3000;
const DEAD_REDIALS = 2; // after a dead line (§1.5)
const DROPPED_REDIALS = 4; // after a drop (§1.6)
const RECOGNISED_MS = 200; // between two looks at what the caller is saying

const HUNG_UP = 1000;
const ABNORMAL = 1006;
const DROPPED = 4006; // what the console's socket says for a drop, which a browser cannot be shown otherwise
const REFUSED = 4503; // and for a handshake that was refused

const MAX_HAPPENINGS = 500;

export class Retell {
  callId = null;
  state = "dialling"; // then "open", "dialling" again, and "ended"
  reason = ""; // Retell's word for how the call ended (§6.8)
  rules = new Acceptance();
  happenings = []; // what was said and what happened, oldest first
  rttMs = null;

  #conversation = new Conversation();
  #mouth = new Mouth();
  #spoken = new WeakMap(); // the happening of each exchange
  #count = 0;
  #socket = null;
  #pings = new Map();
  #heardAt = 0;
  #timestamp = 0;
  #attempts = 0;
  #died = { dead: 0, dropped: 0 };
  #isBegun = false; // a line was there once
  #userTurn = false;
  #typed = null;
  #timers = {};
  #dial;
  #details;
  #changed;
  #onMessage;

  /**
   * @param {(callId: string|null) => Promise<{callId: string, socket: WebSocket}>} dial Opens a line to a call; to a
   *   new one when there is none.
   * @param {object} details Fields of the call object (§2.2).
   * @param {number} wordMs How long the agent takes for a word; 0 for all of them.
   * @param {() => void} changed Called when there is something new to see.
   * @param {(isOurs: boolean, text: string) => void} onMessage Called with every message but pings and their echoes.
   */
  constructor({ dial, details = {}, wordMs = 375, changed = () => {}, onMessage = () => {} }) {
    this.wordMs = wordMs;
    this.#dial = dial;
    this.#details = details;
    this.#changed = changed;
    this.#onMessage = onMessage;
    this.#connect();
  }

  get isSpeaking() {
    return this.#mouth.isSpeaking;
  }

  /** Whether the caller would interrupt: the agent speaks, or is about to. */
  get isBusy() {
    return this.state === "open" && (this.isSpeaking || this.rules.isOpen);
  }

  // ---------------------------------------------------------------- what a caller does

  /** The caller is saying this; nothing is asked yet (§2.3). While the agent speaks it is not heard. */
  typing(text) {
    this.#typed = text;
    this.#timers.typed ??= setTimeout(() => this.#recognise(), RECOGNISED_MS);
  }

  /**
   * The caller has said this. While the agent speaks it is an interruption.
   *
   * @param {string} text The words; for a sound without any, what Retell writes then (§2.6).
   * @returns {boolean} Whether there was a line.
   */
  say(text = "(unintelligible audio)") {
    if (this.state !== "open") return false;
    this.#forgetTyped();
    this.cut();
    this.#happened({ kind: "caller", text });
    this.#conversation.callerSaid(text);
    this.#update(this.#userTurn ? null : "user_turn");
    this.#userTurn = false;
    this.#ask("response_required");
    return true;
  }

  /** The caller is silent (§2.5). */
  remind() {
    if (this.state !== "open") return;
    this.cut();
    this.#note("You say nothing: Retell reminds the agent.");
    this.#ask("reminder_required");
  }

  /** The agent falls silent; what it has not said was never heard. */
  cut() {
    const said = this.#spoken.get(this.#mouth.exchange);
    if (said && !this.#mouth.isDone) said.isCut = true;
    clearTimeout(this.#timers.word);
    this.#timers.word = null;
    this.#mouth.cut();
    this.#conversation.agentStopped();
    this.#changed();
  }

  /** Cut the line without a word, as a broken network does, and dial again. */
  redial() {
    if (this.state !== "open") return;
    this.#note("The line was cut. Retell redials.");
    this.#drop();
    this.#connect();
  }

  hangUp() {
    this.#end("user_hangup");
  }

  // ---------------------------------------------------------------- lines

  async #connect() {
    this.state = "dialling";
    this.#changed();
    let socket = null;
    try {
      const dialled = await this.#dial(this.callId);
      this.callId = dialled.callId;
      socket = dialled.socket;
    } catch (error) {
      this.#failed(error.message);
      return;
    }
    if (this.state === "ended") {
      socket.close(HUNG_UP);
      return;
    }
    this.#socket = socket;
    this.#timers.open = setTimeout(() => socket.close(DROPPED), OPEN_LIMIT_MS);
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => this.#hear(socket, event.data);
    socket.onclose = (event) => this.#closed(socket, event);
  }

  #opened(socket) {
    if (socket === this.#socket) this.rules.connected(performance.now());
  }

  /** A line counts from its first message on: the console takes a socket before the server has. */
  #begun() {
    clearTimeout(this.#timers.open);
    this.#attempts = 0;
    this.#isBegun = true;
    this.state = "open";
  }

  #closed(socket, { code, reason }) {
    if (socket !== this.#socket) return;
    const wasOpen = this.state === "open";
    this.#drop();
    if (code === HUNG_UP) this.#end("agent_hangup");
    else if (code === REFUSED || !wasOpen) this.#failed(reason || `the line closed with ${code}`);
    else if (code === DROPPED || code === ABNORMAL) this.#mend("dropped", DROPPED_REDIALS, "error_llm_websocket_runtime");
    else this.#end("error_llm_websocket_runtime", `closed with ${code}${reason && `: ${reason}`}`);
  }

  /** One dial came to nothing: a call does not begin so, and a redial is tried again. */
  #failed(why) {
    if (this.state === "ended") return;
    this.#attempts += 1;
    if (this.#isBegun && this.#attempts < ATTEMPTS) {
      this.state = "dialling";
      this.#timers.pause = setTimeout(() => this.#connect(), PAUSE_MS);
      this.#changed();
    } else this.#end(this.#isBegun ? "error_llm_websocket_lost_connection" : "error_llm_websocket_open", why);
  }

  #mend(how, limit, reason) {
    this.#died[how] += 1;
    if (this.#died[how] > limit) {
      this.#end(reason);
      return;
    }
    this.#note(how === "dead" ? "No echo for 5 s. Retell redials." : "The server dropped the line. Retell redials.");
    this.#connect();
  }

  /** Leave the line. It may still tell that it closed, and is not listened to. */
  #drop(code = DROPPED) {
    for (const timer of ["open", "pause", "ping"]) clearTimeout(this.#timers[timer]);
    this.#pings.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState < WebSocket.CLOSING) socket.close(code);
  }

  #end(reason, why = "") {
    if (this.state === "ended") return;
    this.cut();
    this.#forgetTyped();
    this.state = "ended";
    this.reason = reason;
    this.#drop(HUNG_UP);
    this.#note(`The call has ended: ${reason}${why && ` (${why})`}.`);
  }

  /** Ping, and give a line up that does not echo. */
  #ping() {
    if (performance.now() - this.#heardAt > PONG_LIMIT_MS) {
      this.#drop();
      this.#mend("dead", DEAD_REDIALS, "error_llm_websocket_lost_connection");
      return;
    }
    this.#timestamp = Math.max(Date.now(), this.#timestamp + 1); // growing, so that each echo names one ping
    this.#pings.set(this.#timestamp, performance.now());
    this.#send({ interaction_type: "ping_pong", timestamp: this.#timestamp });
    this.#timers.ping = setTimeout(() => this.#ping(), PING_MS);
  }

  // ---------------------------------------------------------------- what is sent

  #send(message) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const text = JSON.stringify(message);
    if (message.interaction_type !== "ping_pong") this.#onMessage(true, text);
    this.#socket.send(text);
  }

  #ask(kind) {
    const id = this.rules.ask(performance.now());
    this.#send({ interaction_type: kind, response_id: id, ...this.#transcript() });
    this.#changed();
  }

  #update(turntaking) {
    this.#send({ interaction_type: "update_only", ...this.#transcript(), ...(turntaking && { turntaking }) });
  }

  #transcript() {
    return this.#conversation.fields(this.rules.options.transcript_with_tool_calls === true);
  }

  #recognise() {
    const text = this.#typed.trim();
    this.#forgetTyped();
    if (this.isBusy || this.state !== "open") return;
    this.#conversation.callerIsSaying(text);
    this.#update(text && !this.#userTurn ? "user_turn" : null);
    this.#userTurn = text !== "";
  }

  #forgetTyped() {
    clearTimeout(this.#timers.typed);
    this.#timers.typed = this.#typed = null;
  }

  // ---------------------------------------------------------------- what is heard

  #hear(socket, data) {
    if (socket !== this.#socket || typeof data !== "string") return;
    const now = performance.now();
    if (this.state === "dialling") this.#begun();
    const message = read(data);
    if (message?.response_type !== "ping_pong") this.#onMessage(false, data);
    if (!message) return;
    const heard = this.rules.receive(message, now);
    switch (heard.kind) {
      case "config":
        this.#configured();
        break;
      case "ping_pong":
        this.#echoed(message.timestamp, now);
        break;
      case "speech":
        this.#accepted(heard.exchange);
        break;
      case "tool_call_invocation":
      case "tool_call_result":
        this.#tool(message);
        break;
    }
    this.#changed();
  }

  #configured() {
    const { auto_reconnect, call_details } = this.rules.options;
    if (call_details) {
      const call = { call_id: this.callId, call_type: "web_call", call_status: "registered", ...this.#details };
      this.#send({ interaction_type: "call_details", call });
    }
    clearTimeout(this.#timers.ping);
    this.#heardAt = performance.now();
    if (auto_reconnect) this.#ping();
  }

  #echoed(timestamp, now) {
    const sent = this.#pings.get(timestamp);
    this.#pings.delete(timestamp);
    if (sent === undefined) return;
    this.#heardAt = now;
    this.rttMs = now - sent;
  }

  #tool({ response_type, ...fields }) {
    this.#conversation.beside({ role: response_type, ...fields });
    if (response_type === "tool_call_invocation") this.#note(`Tool ${fields.name}: ${fields.arguments}`);
    else this.#note(`Tool ${fields.successful === false ? "did not work" : "gave"}: ${fields.content}`);
  }

  #accepted(exchange) {
    if (exchange !== this.#mouth.exchange) {
      if (this.#mouth.exchange) this.cut();
      this.#mouth.say(exchange);
    }
    if (exchange.text && !this.#spoken.has(exchange)) {
      const said = { kind: "agent", exchange, heard: "", isCut: false };
      this.#spoken.set(exchange, said);
      this.#happened(said);
    }
    if (!this.#timers.word) this.#speak();
  }

  /** Speak the next word, tell of it, and do what follows the last one. */
  #speak() {
    this.#timers.word = null;
    const { exchange } = this.#mouth;
    const begins = !this.#mouth.spoken;
    const word = this.#mouth.take(this.wordMs === 0);
    if (word) {
      this.#spoken.get(exchange).heard = this.#mouth.spoken;
      // Interruptions have a counter of their own; below zero they cannot be taken for a response.
      this.#conversation.agentSaid(word, exchange.unasked ? -1 - exchange.id : exchange.id);
      this.#update(begins ? "agent_turn" : null);
      this.#timers.word = setTimeout(() => this.#speak(), this.wordMs);
      this.#changed();
    } else if (this.#mouth.isDone) this.#act(exchange);
  }

  /** All was spoken: do what the answer asks for (§3.3). */
  #act({ action, text }) {
    if (action?.kind === "end_call") this.#end("agent_hangup");
    else if (action?.kind === "transfer_number") this.#end("call_transfer", `to ${action.value}`);
    else if (action?.kind === "digit_to_press") this.#note(`The agent presses ${action.value}.`);
    else if (!text && this.rules.latest === 0) this.#note("The agent waits for you to speak.");
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
