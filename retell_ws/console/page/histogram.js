/**
 * How long callers waited for the first sentence, against the budget: one column for each span of time.
 */

import { drawing } from "./dom.js";
import { milliseconds, number, percent } from "./words.js";

const WIDTH = 560;
const HEIGHT = 150;
const FOOT = 28; // for what is written below
const HEAD = 16; // and above
const GAP = 2;

/**
 * Draw one server's first sentences. The spans are of different lengths, so each column has the same width.
 *
 * @param {{bounds_ms: number[], counts: number[]}} first Upper bounds, and how many were in each span; the last
 *   span has no bound.
 * @param {number} budgetMs The budget.
 */
export function histogram(first, budgetMs) {
  const { bounds, counts } = seen(first, budgetMs);
  const all = first.within + first.over;
  const width = WIDTH / counts.length;
  const most = Math.max(...counts, 1);
  const floor = HEIGHT - FOOT;
  const columns = counts.map((count, n) => {
    const height = count && Math.max((count / most) * (floor - HEAD), 2);
    const from = n ? bounds[n - 1] : 0;
    const to = bounds[n];
    const span = to === undefined ? `over ${milliseconds(from)}` : `${milliseconds(from)} to ${milliseconds(to)}`;
    return drawing("g", {},
      drawing("title", {}, `${span}: ${number(count)}, ${percent(count / (all || 1))}`),
      drawing("rect", { class: "target", x: n * width, y: 0, width, height: floor }),
      drawing("rect", {
        class: from >= budgetMs ? "orange" : "blue",
        x: n * width + GAP / 2, y: floor - height, width: width - GAP, height, rx: 2,
      }));
  });
  const limit = placeOf(budgetMs, bounds) * width;
  const isRight = limit > WIDTH * 0.75; // no room for the word behind the line
  const within = `${number(first.within)} within ${milliseconds(budgetMs)}`;
  const told = `First sentences: ${within}, ${number(first.over)} over it`;
  return drawing("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": told },
    drawing("line", { class: "axis", x1: 0, x2: WIDTH, y1: floor, y2: floor }),
    ...columns,
    drawing("line", { class: "limit", x1: limit, x2: limit, y1: 0, y2: floor }),
    drawing("text", { x: limit + (isRight ? -5 : 5), y: 11, "text-anchor": isRight ? "end" : "start" },
      `budget ${milliseconds(budgetMs)}`),
    ...labels(bounds).map((n) => drawing("text", { x: (n + 1) * width, y: HEIGHT - 6, "text-anchor": "middle" },
      milliseconds(bounds[n]))));
}

/** Leave out what is empty beyond the budget: hardly any server needs fifteen seconds. */
export function seen({ bounds_ms: bounds, counts }, budgetMs) {
  const last = Math.max(counts.findLastIndex((count) => count > 0), Math.ceil(placeOf(budgetMs, bounds)) + 1);
  return { bounds: bounds.slice(0, last + 1), counts: counts.slice(0, last + 1) };
}

/** Find where a time is, counted in columns: on its bound, or between two of them. */
export function placeOf(ms, bounds) {
  const n = bounds.findIndex((bound) => ms <= bound);
  if (n < 0) return bounds.length + 0.5;
  const from = n ? bounds[n - 1] : 0;
  return n + (ms - from) / (bounds[n] - from);
}

/** Choose which bounds are written: as many as can be read side by side, also on a phone. */
function labels(bounds) {
  const every = Math.ceil((bounds.length + 1) / 6);
  return bounds.map((_, n) => n).filter((n) => n % every === every - 1 && n < bounds.length - every / 2);
}
