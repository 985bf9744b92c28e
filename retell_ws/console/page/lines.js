/**
 * The sockets of one call: dials, pings, redials, and knows what each end means (protocol §1.4 to §1.6). Reads no
 * message itself.
 */

const PING_MS = 2000; // between two pings (§1.5)
const PONG_LIMIT_MS = 5000; // without an echo, after which the line counts as dead (§1.5)
const OPEN_LIMIT_MS = 7000; // for one dial (§1.4)
const ATTEMPTS = 3; // of one redial, and the pause between them (§1.4)
const PAUSE_MS = 3000;
const DEAD_REDIALS = 2; // after a dead line (§1.5)
const DROPPED_REDIALS = 4; // after a drop (§1.6)

const HUNG_UP = 1000;
const ABNORMAL = 1006;
const DROPPED = 4006; // what the console's socket says for a drop, which a browser cannot be shown otherwise
const REFUSED = 4503; // and for a handshake that was refused

export class Lines {
  callId = null;
  state = "dialling"; // then "open", "dialling" again, and "ended"
  rttMs = null;

  #socket = null;
  #isBegun = false; // a line was there once
  #pings = new Map();
  #timestamp = 0;
  #attempts = 0;
  #died = { dead: 0, dropped: 0 };
  #timers = {};
  #on;

  /**
   * @param {(callId: string|null) => Promise<{callId: string, socket: WebSocket}>} dial Opens a line to a call; to a
   *   new one when there is none.
   * @param {() => void} connected Called with each line that is open.
   * @param {(data: string) => void} hear Called with what comes.
   * @param {(text: string) => void} note Told why the call goes on with another line, and when it does.
   * @param {(reason: string, why: string) => void} ended Told once how the call has ended, in Retell's word (§6.8).
   * @param {() => void} changed Called when the state has changed.
   */
  constructor(on) {
    this.#on = on;
    this.#connect();
  }

  get isOpen() {
    return this.state === "open";
  }

  /** Send a message; into the air when there is no line. */
  send(text) {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(text);
  }

  /** Cut the line without a word, as a broken network does, and dial again. */
  redial() {
    this.#drop();
    this.#connect();
  }

  /** End the call. */
  end(reason, why = "") {
    if (this.state === "ended") return;
    this.state = "ended";
    this.#drop(HUNG_UP);
    this.#on.ended(reason, why);
  }

  /** Ping from now on: the server has asked for it. */
  keepAlive() {
    clearTimeout(this.#timers.ping);
    this.#ping();
  }

  /** Note that the server has echoed a ping, and with it those before. */
  echoed(timestamp) {
    const sent = this.#pings.get(timestamp);
    if (sent === undefined) return;
    for (const one of this.#pings.keys()) if (one <= timestamp) this.#pings.delete(one);
    this.rttMs = performance.now() - sent;
  }

  async #connect() {
    this.state = "dialling";
    this.#on.changed();
    let socket = null;
    try {
      const dialled = await this.#on.dial(this.callId);
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
    socket.onopen = () => socket === this.#socket && this.#on.connected();
    socket.onmessage = ({ data }) => this.#heard(socket, data);
    socket.onclose = (event) => this.#closed(socket, event);
  }

  /** Pass on what was heard. A line counts from there on: the console takes a socket before the server has. */
  #heard(socket, data) {
    if (socket !== this.#socket) return;
    if (this.state === "dialling") {
      clearTimeout(this.#timers.open);
      this.#attempts = 0;
      this.state = "open";
      if (this.#isBegun) this.#on.note("Back on the line.");
      this.#isBegun = true;
    }
    if (typeof data === "string") this.#on.hear(data);
    else this.end("error_llm_websocket_corrupt_payload");
  }

  #closed(socket, { code, reason }) {
    if (socket !== this.#socket) return;
    const wasOpen = this.isOpen;
    this.#drop();
    if (code === HUNG_UP) this.end("agent_hangup");
    else if (code === REFUSED || !wasOpen) this.#failed(reason || `the line closed with ${code}`);
    else if (code === DROPPED || code === ABNORMAL) this.#mend("dropped", DROPPED_REDIALS, "runtime");
    else this.end("error_llm_websocket_runtime", `closed with ${code}${reason && `: ${reason}`}`);
  }

  /** One dial came to nothing: a call does not begin so, and a redial is tried again. */
  #failed(why) {
    if (this.state === "ended") return;
    this.#attempts += 1;
    if (!this.#isBegun) this.end("error_llm_websocket_open", why);
    else if (this.#attempts >= ATTEMPTS) this.end("error_llm_websocket_lost_connection", why);
    else {
      this.state = "dialling";
      this.#timers.pause = setTimeout(() => this.#connect(), PAUSE_MS);
      this.#on.changed();
    }
  }

  #mend(how, limit, reason) {
    this.#died[how] += 1;
    if (this.#died[how] > limit) {
      this.end(`error_llm_websocket_${reason}`);
      return;
    }
    this.#on.note(how === "dead" ? "No echo for 5 s. Retell redials." : "The server dropped the line. Retell redials.");
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

  /** Ping, and give a line up that does not echo. A page that slept, or was kept waiting, has not asked meanwhile. */
  #ping() {
    const [oldest = Infinity] = this.#pings.values();
    if (performance.now() - oldest > PONG_LIMIT_MS) {
      this.#drop();
      this.#mend("dead", DEAD_REDIALS, "lost_connection");
      return;
    }
    this.#timestamp = Math.max(Date.now(), this.#timestamp + 1); // growing, so that each echo names one ping
    this.#pings.set(this.#timestamp, performance.now());
    this.send(JSON.stringify({ interaction_type: "ping_pong", timestamp: this.#timestamp }));
    this.#timers.ping = setTimeout(() => this.#ping(), PING_MS);
  }
}
