// Pages that look again by themselves, and the switch that stops them.

import { button, problem } from './ui.js';
import { draw, h } from './dom.js';
import { store } from './session.js';

const KEY = 'shop.still';
/** The longest pause after failures: long enough not to hammer a shop that is down. */
const PAUSE_MAX_MS = 30_000;

/**
 * Calls `look` now and every `ms`, while the page is open, in sight, and not stopped by the person.
 * Returns the switch, the place where problems are shown, and `now`, which looks at once.
 */
export function every(page, ms, look) {
  const said = h('div', {}, h('p', { class: 'fine' }, 'Looking…'));
  const state = { timer: null, fails: 0, turn: 0 };
  const now = async () => {
    const turn = (state.turn += 1);
    clearTimeout(state.timer);
    try {
      await look();
      state.fails = 0;
      draw(said, null, () => null);
    } catch (error) {
      if (page.signal.aborted || error.name === 'AbortError') return;
      state.fails += 1;
      draw(said, [error.status, error.code, error.message], () => problem(error));
      if (error.status === 403 || error.status === 404) return;
    }
    // A look that somebody asked for in the meantime has set its own alarm.
    if (turn === state.turn) plan();
  };
  const plan = () => {
    clearTimeout(state.timer);
    if (page.signal.aborted || isStill() || document.hidden) return;
    state.timer = setTimeout(now, Math.min(ms * 2 ** state.fails, PAUSE_MAX_MS));
  };
  const toggle = button('', () => {
    store.set(KEY, isStill() ? null : '1');
    name();
    if (isStill()) clearTimeout(state.timer);
    else now();
  }, { class: 'live' });
  const name = () => {
    toggle.setAttribute('aria-pressed', String(!isStill()));
    toggle.textContent = isStill() ? 'Live updates off' : 'Live updates on';
  };
  name();
  document.addEventListener('visibilitychange', () => !document.hidden && !isStill() && now(),
    { signal: page.signal });
  page.signal.addEventListener('abort', () => clearTimeout(state.timer));
  return { toggle, said, now };
}

export const isStill = () => store.get(KEY) !== null;
