// Small curves of what a figure did while the page was open.

import { s } from './dom.js';

const [WIDTH, HEIGHT] = [160, 36];
/** At a look every three seconds: the last six minutes. */
const KEPT = 120;
/** Fewer values than these begin at the right, so that a curve does not start as one stroke. */
const FULL = 20;

const series = new Map();

/** Keeps `value` under `name`; null is a gap. */
export function note(name, value) {
  const known = series.get(name) ?? [];
  series.set(name, [...known, value].slice(-KEPT));
}

/** The curve of `name`, from 0 to its maximum. */
export function sparkline(name, label) {
  const values = series.get(name) ?? [];
  const most = Math.max(...values.filter((it) => it !== null), 0) || 1;
  const steps = Math.max(values.length, FULL) - 1;
  const x = (at) => (WIDTH * (at + steps + 1 - values.length)) / steps;
  const y = (value) => HEIGHT - 2 - ((HEIGHT - 4) * value) / most;
  const parts = [];
  values.forEach((value, at) => {
    if (value === null) return;
    const starts = at === 0 || values[at - 1] === null;
    parts.push(`${starts ? 'M' : 'L'}${x(at).toFixed(1)} ${y(value).toFixed(1)}`);
  });
  const last = values.at(-1);
  return s('svg', {
    class: 'spark', viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': label,
    preserveAspectRatio: 'none',
  },
  s('path', { d: parts.join('') || 'M0 0', class: 'curve' }),
  last !== null && last !== undefined
    && s('path', { d: `M${x(values.length - 1).toFixed(1)} ${y(last).toFixed(1)}h0.01`,
      class: 'now' }));
}
