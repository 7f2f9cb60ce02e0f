// Server-Sent Events over fetch: unlike EventSource it carries a token; it goes on where it was.

import { send } from './api.js';

const PAUSE_MIN_MS = 500;
const PAUSE_MAX_MS = 15_000;
/** The server comments after 15 s of silence: much longer, and the connection is dead. */
const SILENCE_MAX_MS = 40_000;

/**
 * Follows `path` until `isOver()` or `signal`. Calls `onEvent({ event, id, data })`, and `onState`
 * with `connecting`, `live`, `waiting` (and for how many ms) or `over`.
 */
export async function follow(path, { signal, onEvent, onState, isOver }) {
  let last = null;
  let fails = 0;
  while (!signal.aborted) {
    onState('connecting');
    let asked = 0;
    try {
      await read(path, last, signal, () => onState('live'), (event) => {
        fails = 0;
        if (event.id) last = event.id;
        onEvent(event);
      });
    } catch (error) {
      if (signal.aborted) return;
      if (error.status >= 400 && error.status < 500 && error.status !== 429) throw error;
      asked = (error.retryAfter ?? 0) * 1000;
    }
    if (isOver()) return onState('over');
    const pause = Math.min(PAUSE_MIN_MS * 2 ** fails, PAUSE_MAX_MS) * (0.5 + Math.random() / 2);
    fails += 1;
    onState('waiting', Math.max(asked, pause));
    await wait(Math.max(asked, pause), signal);
  }
}

async function read(path, last, signal, onOpen, onEvent) {
  const dead = new AbortController();
  const headers = { accept: 'text/event-stream', ...(last && { 'last-event-id': last }) };
  const answer = await send('GET', path, {
    headers, signal: AbortSignal.any([signal, dead.signal]),
  });
  onOpen();
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = parser(onEvent);
  let alarm;
  try {
    for (;;) {
      clearTimeout(alarm);
      alarm = setTimeout(() => dead.abort(), SILENCE_MAX_MS);
      const { done, value } = await reader.read();
      if (done) return;
      events(value);
    }
  } finally {
    clearTimeout(alarm);
  }
}

/** Reads a stream piece by piece; a piece may end anywhere. */
export function parser(onEvent) {
  let rest = '';
  let event = {};
  const line = (text) => {
    if (text === '') {
      if (event.data !== undefined) onEvent({ event: 'message', ...event });
      event = {};
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(text);
    if (name === 'data') event.data = event.data === undefined ? value : `${event.data}\n${value}`;
    else if (name === 'event' || name === 'id') event[name] = value;
  };
  return (piece) => {
    rest += piece;
    // A carriage return at the very end may be half of a line's end.
    const lines = rest.split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    lines.forEach(line);
  };
}

/** Waits, or until `signal`. */
export function wait(ms, signal) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    }, { once: true });
  });
}
