/**
 * Where the time of each turn went: bars on one axis, with the budget on it. Drawn from measurements alone.
 */

import { drawing, element, keep, put, write } from "./dom.js";
import { milliseconds, NONE, number } from "./words.js";

/**
 * The parts of a turn in their order: the name, as `/metrics` has it, its colour, and its end, in seconds after the
 * request was read.
 */
const PARTS = [
  ["decoded", "grey", (turn) => turn.decoded_s],
  ["prompt", "pink", (turn) => turn.prompt_s],
  ["connect", "orange", (turn) => (turn.connect_s == null ? null : (turn.prompt_s ?? 0) + turn.connect_s)],
  ["first token", "blue", (turn) => turn.first_token_s],
  ["first sentence", "green", (turn) => turn.first_sentence_s],
  ["done", "sky", (turn) => turn.done_s],
];

const COLUMNS = [
  "id", "decoded", "prompt", "connect", "first token", "first frame", "first sentence", "done", "tokens", "how",
];

const STEPS = [50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10_000, 20_000, 60_000];
const TICKS = 6;
const WIDTH = 1000; // of a bar's own coordinates: it is stretched to the page's
const MIN_WIDTH = 3; // a part of some microseconds shall be seen

/**
 * Cut a turn into its parts, in milliseconds. What nobody measured is no part, and none ends before the one ahead of
 * it: a speculation had done some of them before Retell asked.
 *
 * @returns {{name: string, colour: string, from: number, to: number}[]}
 */
export function parts(turn) {
  const found = [];
  let from = 0;
  for (const [name, colour, endOf] of PARTS) {
    const end = endOf(turn);
    if (end == null || end * 1000 < from) continue;
    found.push({ name, colour, from, to: end * 1000 });
    from = end * 1000;
  }
  return found;
}

/** Say how a turn was answered, where that is not the usual way. */
export function badges(turn) {
  const found = [];
  const ahead = milliseconds(turn.head_start_s * 1000);
  if (turn.adopted) {
    found.push(["adopted", "green", `A speculation was taken: the model was asked ${ahead} before Retell asked.`]);
  }
  if (turn.cached) found.push(["cache", "green", "The answer came from the cache."]);
  if (turn.hedged) found.push(["hedged", "orange", "The model was slow and was asked once more."]);
  if (turn.fallback) found.push(["fallback", "orange", "Another model than the agent's has answered."]);
  if (turn.held) found.push(["held", "orange", "A holding phrase was said first."]);
  if (turn.outcome === "superseded") found.push(["superseded", "grey", "A newer request made it mute."]);
  if (turn.outcome === "failed") found.push(["failed", "red", "One of the agent's own lines ended it."]);
  return found;
}

/**
 * Choose the axis that holds all turns and the budget, in milliseconds.
 *
 * @returns {{from: number, to: number, ticks: number[]}} It begins before 0 where a speculation was ahead.
 */
export function axis(turns, budgetMs) {
  const ends = turns.flatMap((turn) => parts(turn).map((part) => part.to));
  const longest = Math.max(budgetMs * 1.2, ...ends, 100);
  const ahead = Math.max(0, ...turns.filter((turn) => turn.adopted).map((turn) => turn.head_start_s * 1000));
  const step = STEPS.find((one) => longest / one <= TICKS) ?? STEPS.at(-1);
  const ticks = [];
  for (let at = 0; at <= longest; at += step) ticks.push(at);
  // A long head start would leave no room for what came after it.
  return { from: -Math.min(ahead, longest / 3), to: longest, ticks };
}

export class Waterfall {
  #head = element("div", { class: "ticks", "aria-hidden": "true" });
  #rows = element("ol", { class: "falls", "aria-label": "Turns, newest first" });
  #body = element("tbody");

  constructor() {
    const head = COLUMNS.map((name) => element("th", { scope: "col", class: name === "how" ? null : "n" }, name));
    this.element = element("div", { class: "waterfall" },
      this.#head,
      this.#rows,
      element("ul", { class: "key" },
        ...PARTS.map(([name, colour]) => element("li", { class: colour }, name)),
        element("li", { class: "ahead" }, "ahead of the request"),
        element("li", { class: "dashed" }, "budget")),
      element("details", {},
        element("summary", {}, "In numbers"),
        element("p", { class: "note" }, "Milliseconds after Retell's request was read; connect is a duration."),
        element("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Turns in numbers" },
          element("table", {}, element("thead", {}, element("tr", {}, ...head)), this.#body))));
  }

  /** Show these turns, the latest last. */
  show(turns, budgetMs) {
    const scale = axis(turns, budgetMs);
    const newestFirst = turns.toReversed();
    const keyOf = (turn) => `${turn.response_id} ${turn.at}`;
    put(this.#head, ...scale.ticks.map((at) => {
      const tick = element("span", {}, at === scale.ticks.at(-1) ? milliseconds(at) : String(at));
      const percent = place(at, scale) / (WIDTH / 100);
      tick.style.left = `${percent}%`;
      tick.classList.toggle("end", percent > 92);
      return tick;
    }));
    keep(this.#rows, newestFirst, keyOf, makeRow, (row, turn) => updateRow(row, turn, scale, budgetMs));
    keep(this.#body, newestFirst, keyOf, numbers, () => {});
  }
}

function makeRow(turn) {
  const id = element("span", { class: "id" }, turn.response_id ? `#${turn.response_id}` : "greeting");
  const told = badges(turn).map(([name, colour, title]) => element("span", { class: `badge ${colour}`, title }, name));
  const bar = drawing("svg", { viewBox: `0 0 ${WIDTH} 20`, preserveAspectRatio: "none", role: "img" });
  return element("li", {}, element("div", { class: "said" }, id, ...told, element("b")), bar);
}

function updateRow(row, turn, scale, budgetMs) {
  const firstMs = turn.first_sentence_s == null ? null : turn.first_sentence_s * 1000;
  const bold = row.querySelector("b");
  write(bold, milliseconds(firstMs));
  bold.classList.toggle("over", turn.response_id > 0 && firstMs > budgetMs);
  bold.title = "to the first sentence";
  const shape = JSON.stringify([scale, budgetMs]);
  if (row.dataset.shape === shape) return; // the same bar: whoever hovers over it goes on reading
  row.dataset.shape = shape;
  const bar = row.querySelector("svg");
  bar.setAttribute("aria-label", spoken(turn));
  put(bar, ...bars(turn, scale, budgetMs));
}

function* bars(turn, scale, budgetMs) {
  const zero = place(0, scale);
  yield drawing("rect", { class: "rest", x: 0, y: 9, width: WIDTH, height: 2 });
  if (turn.adopted) {
    const from = place(Math.max(-turn.head_start_s * 1000, scale.from), scale);
    yield hint("rect", { class: "ahead", x: from, y: 4, width: zero - from, height: 12 },
      `the model was asked ${milliseconds(turn.head_start_s * 1000)} before the request`);
  }
  for (const part of parts(turn)) {
    const x = place(part.from, scale);
    const width = Math.max(place(part.to, scale) - x, MIN_WIDTH);
    yield hint("rect", { class: part.colour, x, y: 4, width, height: 12 },
      `${part.name}: ${milliseconds(part.to - part.from)}, until ${milliseconds(part.to)}`);
  }
  if (turn.held && turn.first_frame_s != null) {
    const x = place(turn.first_frame_s * 1000, scale);
    yield hint("rect", { class: "mark", x: x - 2, y: 0, width: 4, height: 20 },
      `a holding phrase was said at ${milliseconds(turn.first_frame_s * 1000)}`);
  }
  const limit = place(budgetMs, scale);
  yield drawing("line", { class: "limit", x1: limit, x2: limit, y1: 0, y2: 20 });
}

function hint(tag, attributes, text) {
  return drawing(tag, attributes, drawing("title", {}, text));
}

/** Where a moment is on the axis. */
function place(ms, scale) {
  return ((Math.min(ms, scale.to) - scale.from) / (scale.to - scale.from)) * WIDTH;
}

function spoken(turn) {
  const told = parts(turn).map((part) => `${part.name} at ${milliseconds(part.to)}`);
  return `Turn ${turn.response_id}: ${told.join(", ") || "not measured"}`;
}

function numbers(turn) {
  const { decoded_s, prompt_s, connect_s, first_token_s, first_frame_s, first_sentence_s, done_s } = turn;
  const times = [decoded_s, prompt_s, connect_s, first_token_s, first_frame_s, first_sentence_s, done_s];
  const tokens = turn.output_tokens ? `${number(turn.input_tokens)} → ${number(turn.output_tokens)}` : NONE;
  const told = badges(turn);
  const how = [turn.model, ...told.map(([name]) => name)].filter(Boolean).join(", ");
  return element("tr", {},
    element("td", { class: "n" }, String(turn.response_id)),
    ...times.map((time) => element("td", { class: "n" }, bare(time))),
    element("td", { class: "n" }, tokens),
    element("td", { title: told.map(([, , title]) => title).join(" ") || null }, how || NONE));
}

/** Write seconds as milliseconds, without the unit. */
function bare(time) {
  return time == null ? NONE : (time * 1000).toFixed(time < 0.01 ? 2 : 0);
}
