// Money, times and durations as people read them.

import { h } from './dom.js';

export const money = (it) => (it ? `${it.amount} ${it.currency}` : '');

const NUMBER = new Intl.NumberFormat('en');
export const number = (it) => (it === null || it === undefined ? '–' : NUMBER.format(it));

/** `1 key`, `2 keys`. */
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

/** A time of the API in microseconds: two events of one millisecond still have an order. */
export function micros(text) {
  const [, seconds, fraction = ''] = /^(.{19})(?:\.(\d+))?/.exec(text);
  return Date.parse(`${seconds}Z`) * 1000 + Number(fraction.slice(0, 6).padEnd(6, '0'));
}

/** A duration given in microseconds. */
export function duration(us) {
  const sign = us < 0 ? '−' : '';
  const ms = Math.abs(us) / 1000;
  if (ms < 0.0005) return '0 ms';
  if (ms < 1) return `${sign}${ms.toFixed(2)} ms`;
  if (ms < 10) return `${sign}${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${sign}${Math.round(ms)} ms`;
  if (ms < 10_000) return `${sign}${(ms / 1000).toFixed(2)} s`;
  if (ms < 60_000) return `${sign}${(ms / 1000).toFixed(1)} s`;
  return sign + span(ms / 1000);
}

/** A duration given in seconds, a minute or more, in one unit or two: `4 min 3 s`. */
function span(seconds, most = 2) {
  const whole = Math.round(seconds);
  const units = [[86_400, 'd'], [3600, 'h'], [60, 'min'], [1, 's']];
  const first = units.findIndex(([size]) => whole >= size);
  const parts = units.slice(first, first + most).reduce(
    ({ left, words }, [size, name]) => {
      const n = Math.floor(left / size);
      return { left: left - n * size, words: n ? [...words, `${n} ${name}`] : words };
    },
    { left: whole, words: [] },
  );
  return parts.words.join(' ');
}

/** Seconds as a short text; null where nothing is known. */
export function seconds(value) {
  return value === null || value === undefined ? '–' : duration(value * 1e6);
}

const CLOCK = new Intl.DateTimeFormat('en-GB', {
  hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3,
});
const DAY = new Intl.DateTimeFormat('en-GB', {
  day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit', second: '2-digit',
});

/** A moment by the clock: `10:00:00.123`. */
export function clock(text) {
  return h('time', { datetime: text, title: text }, CLOCK.format(new Date(text)));
}

/** A moment with its day. */
export function moment(text) {
  if (!text) return '–';
  return h('time', { datetime: text, title: text }, DAY.format(new Date(text)));
}

/** A moment as its distance from now, kept right while it is shown. */
export function ago(text) {
  if (!text) return '–';
  return h('time', { datetime: text, title: text, 'data-ago': '' }, distance(text));
}

function distance(text) {
  const passed = (Date.now() - Date.parse(text)) / 1000;
  const far = Math.abs(passed);
  if (far < 1) return 'now';
  const words = far < 60 ? `${Math.floor(far)} s` : span(far, far < 3600 ? 1 : 2);
  return passed < 0 ? `in ${words}` : `${words} ago`;
}

/** Brings every shown distance up to the present. */
export function tick() {
  for (const node of document.querySelectorAll('time[data-ago]')) {
    const text = distance(node.dateTime);
    if (node.textContent !== text) node.textContent = text;
  }
}

/** The beginning and the end of an id: UUIDv7s of one minute begin alike. */
export const short = (id) => (id.length > 16 ? `${id.slice(0, 8)}…${id.slice(-6)}` : id);

/** `payment_processed` as `payment processed`. */
export const plain = (word) => (word ?? '').replaceAll('_', ' ');

/** The same with a capital. */
export const title = (word) => {
  const text = plain(word);
  return text.charAt(0).toUpperCase() + text.slice(1);
};
