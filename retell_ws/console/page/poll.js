/**
 * Looks at something again and again: never twice at once, not while nobody sees the page.
 */

const LOST_MS = 2000; // until the next look, when one has failed

/**
 * Look now, and from then on.
 *
 * @param {number} everyMs Between the end of one look and the next.
 * @param {(signal: AbortSignal) => Promise} look Looks once.
 * @param {(error: Error) => void} failed Told why a look has failed; the next one comes all the same.
 * @returns {() => void} Stops it, and the look under way.
 */
export function poll(everyMs, look, failed) {
  let under = null; // the look under way
  let timer = null;

  async function once() {
    timer = null;
    const mine = (under = new AbortController());
    let pause = everyMs;
    try {
      await look(mine.signal);
    } catch (error) {
      if (mine.signal.aborted) return;
      failed(error);
      pause = LOST_MS;
    }
    if (mine !== under) return;
    under = null;
    timer = setTimeout(once, pause);
  }

  function pause() {
    clearTimeout(timer);
    under?.abort();
    timer = under = null;
  }

  function seen() {
    pause();
    if (!document.hidden) once();
  }

  document.addEventListener("visibilitychange", seen);
  seen();
  return () => {
    document.removeEventListener("visibilitychange", seen);
    pause();
  };
}
