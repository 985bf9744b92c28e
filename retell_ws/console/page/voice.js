/**
 * The agent's voice, and the transcript it makes: which accepted word is spoken next, and what was heard of it. No
 * socket, no clock, no page. It is what `retell_ws.testing.mouth` and `conversation` are.
 */

import { endsASentence } from "./acceptance.js";

/** Speaks one exchange after the other. */
export class Mouth {
  constructor() {
    this.exchange = null;
    this.spoken = "";
  }

  get isSpeaking() {
    return this.exchange !== null && !this.isDone;
  }

  /** Whether all there is, and will be, was spoken. A mouth with nothing to say is not done. */
  get isDone() {
    return this.exchange !== null && this.exchange.isComplete && this.spoken.length === this.exchange.text.length;
  }

  /** Speak this exchange, or go on with it. */
  say(exchange) {
    if (exchange === this.exchange) return;
    this.cut();
    this.exchange = exchange;
  }

  /** Stop: what was not spoken is gone, and what was to follow (a hang-up, a transfer). */
  cut() {
    this.exchange = null;
    this.spoken = "";
  }

  /**
   * Take what is spoken next, with the space behind it; null when it has to be waited for. A word is ready once
   * something follows it, and the first one not before its sentence is there.
   *
   * @param {boolean} all Everything that is there, as if spoken in no time.
   */
  take(all = false) {
    if (!this.exchange) return null;
    const { text, isComplete } = this.exchange;
    if (!this.spoken && !isComplete && !endsASentence(text)) return null;
    const rest = text.slice(this.spoken.length);
    const word = all ? rest : rest.match(/^\s*\S+\s+/u)?.[0] ?? (isComplete ? rest : "");
    this.spoken += word;
    return word || null;
  }
}

/** The transcript as Retell sends it: what was really heard, whole every time (§2.6). */
export class Conversation {
  #items = []; // utterances, and tools in between (§2.7)
  #interim = ""; // what the caller is saying; it changes until they are done
  #speaks = null; // the agent's utterance that still grows

  /** Note the caller's words so far; empty takes them back. */
  callerIsSaying(text) {
    this.#interim = text;
  }

  /** Note what the caller said in the end. */
  callerSaid(text) {
    this.#interim = "";
    this.#speaks = null;
    this.#items.push({ role: "user", content: text, words: [] });
  }

  /** Note words the agent spoke. */
  agentSaid(text, responseId) {
    if (this.#speaks?.metadata.response_id === responseId) this.#speaks.content += text;
    else {
      this.#speaks = { role: "agent", content: text, words: [], metadata: { response_id: responseId } };
      this.#items.push(this.#speaks);
    }
  }

  /** Leave the agent's utterance as it is: it was cut off. */
  agentStopped() {
    this.#speaks = null;
  }

  /** Note something that nobody said. */
  beside(item) {
    this.#items.push(item);
  }

  /** The fields of a message that tell it. */
  fields(withTools) {
    const said = this.#interim ? [{ role: "user", content: this.#interim, words: [] }] : [];
    const items = [...this.#items, ...said];
    const transcript = items.filter((item) => item.role === "agent" || item.role === "user");
    return withTools ? { transcript, transcript_with_tool_calls: items } : { transcript };
  }
}
