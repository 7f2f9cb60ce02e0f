// The events of an order, as order-svc said and heard them; what is taken back branches off.

import { h, put, sync } from './dom.js';
import { ago, clock, duration, micros, title } from './format.js';
import { traceAddress } from './oidc.js';
import { gist } from './story.js';
import { button, copy, facts, json } from './ui.js';
import { awaited, eventName, eventTone, eventTopic, service, undoesAmendment } from './words.js';

/**
 * Which rail each event stands on. `main` is the way forward; from OrderCancelled on all is `undo`;
 * an amendment that is undone is `aside`, since the order goes on.
 */
export function rails(events) {
  let isCancelled = false;
  let before = null;
  return events.map((event) => {
    const name = eventName(event.type);
    const starts = name === 'OrderCancelled';
    isCancelled ||= starts;
    const rail = isCancelled ? 'undo' : undoesAmendment(name, event.data) ? 'aside' : 'main';
    const at = micros(event.at);
    const gap = before === null ? null : at - before;
    before = at;
    return { event, name, rail, gap, isFork: starts };
  });
}

/** The list, its legend, and `show`. */
export function timeline({ jaegerUrl, reveal }) {
  const node = h('ol', { class: 'timeline' });
  const legend = button('Open all', () => {
    const folds = [...node.querySelectorAll('details')];
    const isOpen = folds.some((it) => !it.open);
    for (const it of folds) it.open = isOpen;
    legend.textContent = isOpen ? 'Close all' : 'Open all';
  }, { class: 'quiet small' });
  let known = null;
  const show = ({ events, saga, order, places }) => {
    const items = rails(events);
    const fresh = known && items.filter(({ event }) => !known.has(event.id));
    known = new Set(events.map((it) => it.id));
    const rows = items.map((it) =>
      ({ ...it, traceId: saga.trace_id, place: places.get(it.event.id) }));
    const ghost = saga.expected && { ...saga.expected, isCancelled: order.status === 'cancelled' };
    sync(node, [...rows, ...(ghost ? [{ ghost }] : [])],
      (it) => it.event?.id ?? 'expected',
      (it) => (it.ghost ? expectedRow(it.ghost) : row(it, { jaegerUrl, reveal })));
    if (fresh?.length) announce(node, fresh);
  };
  return { node, legend, show };
}

function announce(node, fresh) {
  const room = document.getElementById('heard');
  put(room, fresh.map(({ event, name }) =>
    h('p', {}, `${name}, said by ${service(event.source)}`)));
  for (const { event } of fresh) {
    [...node.children].find((it) => it.dataset.key === event.id)?.classList.add('fresh');
  }
}

function row({ event, name, rail, gap, isFork, traceId, place }, links) {
  const its = eventTone(name, event.data);
  const who = service(event.source);
  return h('li', {
    class: `event on-${rail}${isFork ? ' fork' : ''} ${its}`, 'data-event': name, 'data-rail': rail,
  },
  h('div', { class: 'when' }, clock(event.at),
    h('span', { class: 'gap' }, gap === null ? '' : `${gap < 0 ? '' : '+'}${duration(gap)}`)),
  h('div', { class: `rail ${who}` }),
  h('details', {},
    h('summary', {},
      h('span', { class: 'name' }, name), ' ', h('span', { class: `who ${who}` }, who), ' ',
      isFork && h('span', { class: 'branch-name' }, 'Compensation'),
      h('span', { class: 'gist' }, gist(name, event.data))),
    content(event, place, traceId, links)));
}

function content(event, place, traceId, { jaegerUrl, reveal }) {
  // The span of an event's publishing is named by the end of the event's id.
  const span = event.id.replaceAll('-', '').slice(-16);
  const address = traceAddress(jaegerUrl, traceId, span);
  return h('div', { class: 'content' },
    facts([
      ['Topic', h('code', {}, eventTopic(event.type))],
      ['Partition', place?.partition],
      ['Offset', place?.offset],
      ['Version', event.version],
      ['Event id', h('span', { class: 'mono' }, event.id)],
      ['Said at', h('span', { class: 'mono' }, event.at)],
    ]),
    json(event.data),
    h('div', { class: 'row tools' },
      copy(JSON.stringify(event, null, 2), 'event'),
      button('Find in the trace', () => reveal(span), { class: 'quiet small' }),
      address && h('a', { href: address, target: '_blank', rel: 'noreferrer' }, 'Open in Jaeger')));
}

function expectedRow({ step, from, by, late, isCancelled }) {
  return h('li', { class: `event ghost on-${isCancelled ? 'undo' : 'main'}${late ? ' late' : ''}` },
    h('div', { class: 'when' }, clock(by), h('span', { class: 'gap' }, ago(by))),
    h('div', { class: 'rail' }),
    h('div', { class: 'awaited' },
      h('span', { class: 'name' }, title(awaited(step))), ' ',
      h('span', { class: `who ${from}` }, from),
      h('span', { class: 'gist' }, late ? 'expected, and late' : 'expected by then')));
}
