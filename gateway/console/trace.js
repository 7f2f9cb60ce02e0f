// The trace of an order as a waterfall.

import { get, path } from './api.js';
import { h, put } from './dom.js';
import { duration, micros } from './format.js';
import { groupBy } from './groups.js';
import { traceAddress } from './oidc.js';
import { button, problem, tell } from './ui.js';

/** Spans reach Jaeger in batches, some seconds after they ended. */
const LOOKS_MS = [300, 3000, 8000, 20_000];
/** More rows than anybody reads at once. */
const SHOWN = 150;

/** The room of the waterfall; `follow` looks again when the order has moved. */
export function trace(id, signal, jaegerUrl) {
  const node = h('div', { class: 'trace' }, h('p', { class: 'fine' }, 'Looking for the trace…'));
  let timers = [];
  let seen = null;
  let drawn = null;
  const look = async () => {
    try {
      const found = await get(path('orders', id, 'trace'), { signal });
      if (found.spans.length === 0) {
        if (drawn === null) put(node, h('p', { class: 'fine' }, found.missing));
        return;
      }
      const seal = found.spans.map((it) => it.span_id).sort().join();
      if (seal === drawn) return;
      drawn = seal;
      put(node, waterfall(found, jaegerUrl));
    } catch (error) {
      if (!signal.aborted && drawn === null) put(node, problem(error, { quiet: true }));
    }
  };
  const follow = ({ events }) => {
    if (seen === events.length) return;
    seen = events.length;
    timers.forEach(clearTimeout);
    timers = LOOKS_MS.map((ms) => setTimeout(look, ms));
  };
  signal.addEventListener('abort', () => timers.forEach(clearTimeout));
  return { node, follow, reveal: (span) => reveal(node, span) };
}

function reveal(node, span) {
  const row = node.querySelector(`[data-span="${CSS.escape(span)}"]`);
  if (!row) return tell('This span is not in the trace, or not yet.', 'warn');
  row.scrollIntoView({ block: 'center' });
  return row.focus();
}

/** Spans depth first, children by their start; who has no known parent begins a tree. */
export function ordered(spans) {
  const byId = new Map(spans.map((it) => [it.span_id, it]));
  const children = groupBy(spans, (it) =>
    (byId.has(it.parent_span_id) ? it.parent_span_id : null));
  const rows = [];
  const visit = (parent, depth) => {
    const below = children.get(parent) ?? [];
    below.sort((a, b) => micros(a.started_at) - micros(b.started_at));
    for (const span of below) {
      rows.push({ span, depth });
      visit(span.span_id, depth + 1);
    }
  };
  visit(null, 0);
  return rows;
}

function waterfall(found, jaegerUrl) {
  const rows = ordered(found.spans);
  if (rows.length === 0) return h('p', { class: 'fine' }, 'The trace has no spans yet.');
  const starts = rows.map(({ span }) => micros(span.started_at));
  const from = Math.min(...starts);
  const to = Math.max(...rows.map(({ span }, at) => starts[at] + span.duration_us));
  const whole = Math.max(to - from, 1);
  const list = h('ol', { class: 'spans' });
  const draw = (n) => put(list, rows.slice(0, n).map((it) => spanRow(it, from, whole)));
  draw(SHOWN);
  const services = new Set(found.spans.map((it) => it.service));
  const address = traceAddress(jaegerUrl, found.trace_id);
  return [
    h('p', { class: 'fine' }, `${rows.length} spans of ${services.size} services in `,
      duration(whole), ' · ', h('span', { class: 'mono' }, found.trace_id),
      address && [' · ', h('a', { href: address, target: '_blank', rel: 'noreferrer' },
        'open in Jaeger')]),
    scale(whole), list,
    rows.length > SHOWN && button(`Show all ${rows.length}`, (event) => {
      draw(rows.length);
      event.target.remove();
    }, { class: 'small' }),
  ];
}

function scale(whole) {
  return h('div', { class: 'scale', 'aria-hidden': 'true' },
    [0, 0.25, 0.5, 0.75, 1].map((part) => h('span', {}, duration(whole * part))));
}

function spanRow({ span, depth }, from, whole) {
  const at = micros(span.started_at) - from;
  const percent = (us) => `${((100 * us) / whole).toFixed(3)}%`;
  return h('li', {
    class: `span ${span.service}${span.error ? ' error' : ''}`, tabindex: '-1',
    'data-span': span.span_id,
    vars: {
      '--depth': Math.min(depth, 7), '--at': percent(at), '--took': percent(span.duration_us),
    },
  },
  h('span', { class: 'label', title: `${span.service} ${span.operation}` },
    h('span', { class: `who ${span.service}` }, span.service), ' ', span.operation,
    span.error && h('strong', { class: 'bad-text' }, ' failed')),
  h('span', { class: 'track' }, h('span', { class: 'bar' }),
    h('span', { class: at + span.duration_us > whole * 0.8 ? 'took before' : 'took' },
      h('span', { class: 'unseen' }, `after ${duration(at)}, took `), duration(span.duration_us))));
}
