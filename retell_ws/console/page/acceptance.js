/**
 * Retell's side of one call as a state machine: which text counts, and what is dropped without a word. No socket, no
 * clock, no page. It is what `retell_ws.testing.acceptance` is, without its judgements.
 *
 * Text counts for the newest id that was asked for, until that id is completed (protocol §4.1).
 */

const SENTENCE = /(?:[!?…。！？]|(?<!\d)\.)["'”’)\]]*(?:\s|$)/u;

const MAX_EXCHANGES = 1000;

/** Say whether a text holds a complete sentence, which is what Retell waits for before it speaks. */
export function endsASentence(text) {
  return SENTENCE.test(text);
}

/** One id, and what came for it. Times are the caller's clock, in milliseconds. */
export class Exchange {
  constructor(id, askedAt, { unasked = false } = {}) {
    this.id = id;
    this.askedAt = askedAt;
    this.unasked = unasked; // an `agent_interrupt`, whose ids are counted apart
    this.text = "";
    this.frames = 0;
    this.firstFrameAt = null;
    this.firstSentenceAt = null;
    this.completedAt = null;
    this.cancelled = false; // an `agent_interrupt` came while it was open
    this.dropped = 0; // frames that came for it too late
    this.action = null;
  }

  get isComplete() {
    return this.completedAt !== null;
  }

  /** Take a piece of its text, and what is to be done once all of it was spoken: one thing, by precedence (§3.3). */
  take(message, now) {
    this.text += message.content;
    this.frames += 1;
    this.firstFrameAt ??= now;
    if (message.content_complete) this.completedAt = now;
    if (this.isComplete || endsASentence(this.text)) this.firstSentenceAt ??= now;
    const { end_call, transfer_number, digit_to_press } = message;
    if (end_call) this.action = { kind: "end_call", value: "" };
    else if (transfer_number && this.action?.kind !== "end_call") {
      this.action = { kind: "transfer_number", value: transfer_number };
    } else if (digit_to_press && !this.action) this.action = { kind: "digit_to_press", value: digit_to_press };
  }
}

/** One call, over all of its sockets. */
export class Acceptance {
  constructor() {
    this.latest = 0;
    this.exchanges = new Map([[0, new Exchange(0, 0)]]); // id 0 is the begin message
    this.interrupt = null; // the newest `agent_interrupt`
    this.options = {};
    this.sockets = 0;
  }

  get current() {
    return this.exchanges.get(this.latest);
  }

  /** Whether an answer is still due. */
  get isOpen() {
    return !(this.current.isComplete || this.current.cancelled);
  }

  /** Note that a new socket is open: it has to tell its `config` again. */
  connected(now) {
    this.sockets += 1;
    this.options = {};
    if (this.sockets === 1) this.exchanges.get(0).askedAt = now;
  }

  /** Give the id of a request that leaves now: the next one, which makes all others mute. */
  ask(now) {
    this.latest += 1;
    this.exchanges.set(this.latest, new Exchange(this.latest, now));
    if (this.exchanges.size > MAX_EXCHANGES) this.exchanges.delete(this.exchanges.keys().next().value);
    return this.latest;
  }

  /**
   * Take one message.
   *
   * @returns {{kind: string, exchange?: Exchange, message: object}} Its kind is `speech`, `dropped`, or the message's
   *   own: `config`, `ping_pong`, `tool_call_invocation`, `tool_call_result`, `update_agent`, `metadata`.
   */
  receive(message, now) {
    switch (message.response_type ?? "response") {
      case "config":
        this.options = message.config ?? {};
        return { kind: "config", message };
      case "response":
        return this.#response(message, now);
      case "agent_interrupt":
        return this.#interrupt(message, now);
      default:
        return { kind: message.response_type, message };
    }
  }

  #response(message, now) {
    const exchange = this.exchanges.get(message.response_id);
    if (exchange !== this.current || !this.isOpen || !isSpeech(message)) {
      if (exchange) exchange.dropped += 1;
      return { kind: "dropped", exchange, message };
    }
    exchange.take(message, now);
    return { kind: "speech", exchange, message };
  }

  #interrupt(message, now) {
    const hangsUp = this.current.isComplete && this.current.action?.kind === "end_call";
    if (hangsUp || !isSpeech(message)) return { kind: "dropped", message };
    if (!this.current.isComplete) this.current.cancelled = true;
    const { interrupt_id: id } = message;
    if (!this.interrupt || id > this.interrupt.id) this.interrupt = new Exchange(id, now, { unasked: true });
    else if (id < this.interrupt.id || this.interrupt.isComplete) return { kind: "dropped", message };
    this.interrupt.take(message, now);
    return { kind: "speech", exchange: this.interrupt, message };
  }
}

/** Retell ignores text of the wrong type without a word (§3.3). */
function isSpeech(message) {
  return typeof message.content === "string" && typeof message.content_complete === "boolean";
}
