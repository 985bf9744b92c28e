/**
 * The console: asks for the token, and shows one view at a time, named behind the # of the address.
 */

import { Api } from "./api.js";
import { Call } from "./call.js";
import { Caller } from "./caller.js";
import { Calls } from "./calls.js";
import { put, write } from "./dom.js";
import { Servers } from "./servers.js";

const REFUSED = {
  401: "That is not this server's token.",
  403: "This server has no admin token: start it with --admin-token.",
};

const byId = (id) => document.getElementById(id);

class App {
  #api = new Api();
  #tried = new Caller(this.#api, () => this.#mark());
  #close = () => {};

  constructor() {
    byId("token-form").addEventListener("submit", (event) => this.#enter(event));
    byId("forget").addEventListener("click", () => this.#leave(""));
    byId("skip").addEventListener("click", (event) => {
      event.preventDefault(); // the address names the view
      byId("view").focus();
    });
    addEventListener("hashchange", () => this.#route());
    // A line that just breaks would be waited for; whoever leaves the page hangs up.
    addEventListener("beforeunload", (event) => this.#tried.isCalling && event.preventDefault());
    addEventListener("pagehide", () => this.#tried.leave());
    if (this.#api.hasToken) this.#show();
    else this.#leave("");
  }

  async #enter(event) {
    event.preventDefault();
    const button = event.submitter ?? byId("token-form").querySelector("button");
    this.#api.remember(byId("token").value.trim());
    write(byId("refused"), "");
    button.disabled = true;
    try {
      await this.#api.directory(); // the cheapest question that wants a token
      byId("token").value = "";
      this.#show();
    } catch (error) {
      this.#leave(REFUSED[error.status] ?? `Cannot tell: ${error.message}.`);
    }
    button.disabled = false;
  }

  #leave(why) {
    this.#close();
    this.#close = () => {};
    this.#tried.leave();
    this.#api.forget();
    document.body.classList.remove("known");
    put(byId("view"));
    this.found("");
    document.title = "Console";
    write(byId("refused"), why);
    byId("token").focus();
  }

  #show() {
    document.body.classList.add("known");
    this.#route();
  }

  #route() {
    if (!this.#api.hasToken) return;
    this.#close();
    this.found("");
    const [, name, id] = location.hash.match(/^#\/([a-z]+)(?:\/([A-Za-z0-9_-]{1,128}))?$/u) ?? [];
    const view = this.#view(name, id);
    document.title = `${view.title} · Console`;
    put(byId("view"), view.element);
    const here = { [this.#tried.title]: "#/try", Servers: "#/servers" }[view.title] ?? "#/calls"; // also for one call
    for (const link of byId("views").querySelectorAll("a")) {
      if (link.hash === here) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    this.#close = view.open();
  }

  #view(name, id) {
    if (name === "call" && id) return new Call(this.#api, this, id);
    if (name === "servers") return new Servers(this.#api, this);
    if (name === "try") return this.#tried;
    return new Calls(this.#api, this);
  }

  #mark() {
    byId("views").querySelector('[href="#/try"]').classList.toggle("calling", this.#tried.isCalling);
  }

  // ---------------------------------------------------------------- what views tell

  /** A look has worked. @param {string} warning What it could not see. */
  found(warning) {
    this.#tell(warning, "warning");
  }

  /** A look has failed. */
  failed(error) {
    if (error.status in REFUSED) this.#leave(REFUSED[error.status]);
    else if (error.status) this.#tell(`The server says: ${error.message}`, "warning");
    else this.#tell("Connection lost, trying again…", "lost");
  }

  #tell(text, kind) {
    const state = byId("state");
    write(state, text);
    state.className = kind;
    state.hidden = !text;
  }
}

new App();
