/**
 * How the console writes numbers and times: as a report does.
 */

export const NONE = "–";
const NARROW = "\u202f"; // a narrow space that does not break, before a unit

/** Write a count, with thousands apart. */
export function number(value) {
  return value == null ? NONE : Math.round(value).toLocaleString("en").replaceAll(",", NARROW);
}

/** Write milliseconds in the unit that fits them. */
export function milliseconds(value) {
  if (value == null) return NONE;
  if (value >= 99_950) return `${number(value / 1000)}${NARROW}s`;
  if (value >= 999.5) return `${(value / 1000).toFixed(value >= 9_995 ? 1 : 2)}${NARROW}s`;
  if (value >= 9.95) return `${value.toFixed(0)}${NARROW}ms`;
  return value ? `${value.toFixed(value >= 0.995 ? 1 : 2)}${NARROW}ms` : `0${NARROW}ms`;
}

/** Write a long duration: `4 h 12 min`, `3 min 20 s`, `12 s`. */
export function seconds(value) {
  const whole = Math.floor(value);
  if (whole >= 3600) return `${Math.floor(whole / 3600)}${NARROW}h ${Math.floor((whole % 3600) / 60)}${NARROW}min`;
  if (whole >= 60) return `${Math.floor(whole / 60)}${NARROW}min ${whole % 60}${NARROW}s`;
  return `${whole}${NARROW}s`;
}

/** Write a share; what is not all does not read as all, nor what is not nothing as nothing. */
export function percent(share) {
  if (share == null) return NONE;
  let text = (100 * share).toFixed(1);
  if (share < 1 && text === "100.0") text = "99.9";
  if (share > 0 && text === "0.0") text = "<0.1";
  return `${text.replace(/\.0$/, "")}${NARROW}%`;
}

/** Write a time of day. */
export function clock(atS) {
  return new Date(atS * 1000).toLocaleTimeString("en-GB");
}

/** Write a count of something. */
export function many(count, what) {
  return `${number(count)} ${what}${count === 1 ? "" : "s"}`;
}

/** Say what is missing when not all servers have told how they are doing. The one that was asked always has. */
export function missing(servers) {
  return servers.length > 1 ? "Not all servers have answered: calls of theirs are missing here."
    : "The other servers cannot be asked now: this is one server's view.";
}
