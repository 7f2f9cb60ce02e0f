// One order, live: where it stands, its timeline, what belongs to it, and what can be done.

import { actions, offered } from './actions.js';
import { all, get, path, query } from './api.js';
import { belongings, summary } from './belongings.js';
import { draw, h } from './dom.js';
import { money, short } from './format.js';
import { settings } from './oidc.js';
import { progress } from './progress.js';
import { follow } from './stream.js';
import { timeline } from './timeline.js';
import { trace } from './trace.js';
import { card, copy, crumbs, json, pill, problem } from './ui.js';

/** After news, looks follow: services hear of it, and tell of it, a little later. */
const LOOKS_MS = [40, 1500, 6000];
/** How often the page looks while it has no stream. */
const POLL_MS = 3000;

export const order = {
  title: ({ id }) => `Order ${short(id)}`,
  role: ['customer', 'staff'],
  async open(page) {
    const { id } = page.params;
    const state = { id, order: null, saga: null, events: [], places: new Map(), stream: 'connecting' };
    await look(state, page.signal);
    const { jaegerUrl } = await settings();
    const view = frame(state, page, jaegerUrl);
    const show = () => view.show(state);
    const again = looker(page.signal, async () => {
      await look(state, page.signal);
      show();
    });
    view.onDone(again);
    show();
    page.show(view.nodes);
    again();
    listen(state, page, show, again);
  },
};

/** Reads everything that is shown. What belongs to the order may fail without the rest. */
async function look(state, signal) {
  const { id } = state;
  const of = (what) => all(query(`/v1/${what}`), { order_id: id }, { signal })
    .then(({ items }) => ({ items }), (error) => {
      signal.throwIfAborted();
      return { error };
    });
  const [order, saga, events, payments, reservations, notifications] = await Promise.all([
    get(path('orders', id), { signal }),
    get(path('orders', id, 'saga'), { signal }),
    all(path('orders', id, 'events'), {}, { signal }),
    of('payments'), of('reservations'), of('notifications'),
  ]);
  // The stream may have told something newer while this was read.
  if (!state.order || order.version >= state.order.version) state.order = order;
  if (!state.saga || saga.updated_at >= state.saga.updated_at) state.saga = saga;
  state.events = events.items;
  Object.assign(state, { payments, reservations, notifications });
}

function looker(signal, look) {
  let timers = [];
  const quietly = () => !signal.aborted && look().catch(() => {});
  signal.addEventListener('abort', () => timers.forEach(clearTimeout));
  return () => {
    timers.forEach(clearTimeout);
    timers = LOOKS_MS.map((ms) => setTimeout(quietly, ms));
  };
}

/**
 * Follows the order while the page is in sight: a browser has six connections to one place, and a
 * tab that nobody looks at must not hold one. Without a stream, looks from time to time.
 */
function listen(state, page, show, again) {
  let run = null;
  const begin = () => {
    run = new AbortController();
    stream(state, AbortSignal.any([run.signal, page.signal]), show, again);
  };
  const poll = setInterval(() => {
    if (!document.hidden && ['connecting', 'waiting', 'refused'].includes(state.stream)) again();
  }, POLL_MS);
  document.addEventListener('visibilitychange', () => {
    if (['over', 'refused'].includes(state.stream)) return;
    if (document.hidden) return run.abort();
    again();
    return begin();
  }, { signal: page.signal });
  page.signal.addEventListener('abort', () => clearInterval(poll));
  begin();
}

async function stream(state, signal, show, again) {
  const onEvent = ({ event, data }) => {
    const told = JSON.parse(data);
    if (event === 'published') state.places.set(told.event_id, told);
    else if (event === 'order' || event === 'saga') state[event] = told;
    else return;
    show();
    again();
  };
  const onState = (now) => {
    state.stream = now;
    show();
  };
  try {
    await follow(path('orders', state.id, 'stream'), {
      signal, onEvent, onState, isOver: () => isOver(state),
    });
  } catch (error) {
    if (signal.aborted) return;
    state.refusal = error;
    onState('refused');
  }
}

/** Whether nothing more is to come. */
const isOver = ({ order, saga }) => order.status === 'delivered'
  || (order.status === 'cancelled' && ['compensated', 'failed'].includes(saga.status));

const STREAM = {
  connecting: ['busy', 'Connecting…'],
  live: ['ok', 'Live'],
  waiting: ['warn', 'Reconnecting…'],
  over: ['calm', 'Ended'],
  refused: ['bad', 'Not live'],
};

const ROOMS = ['status', 'live', 'steps', 'summary', 'others'];

/** The parts of the page, and `show`, which brings them to a state. */
function frame(state, page, jaegerUrl) {
  const rooms = Object.fromEntries(ROOMS.map((name) =>
    [name, h('div', { class: `room-${name}` })]));
  const spans = trace(state.id, page.signal, jaegerUrl);
  const events = timeline({ jaegerUrl, reveal: spans.reveal });
  let done = () => {};
  const raw = Object.fromEntries(['Order', 'Saga', 'Events'].map((it) => [it, fold(it)]));
  const doable = actions(() => state, () => done());
  const room = (name, data, make) => draw(rooms[name], data, make);
  const show = (now) => {
    const { order: it, saga } = now;
    room('status', [it.status, it.total_amount], () =>
      [pill(it.status), h('span', { class: 'total' }, money(it.total_amount))]);
    room('live', now.stream, () => {
      const [its, text] = STREAM[now.stream];
      return [h('span', { class: `live-state ${its}` }, text),
        now.refusal && problem(now.refusal, { quiet: true })];
    });
    room('steps', [saga, it.status], () => progress(saga, it));
    doable.show(offered(it, now.payments.items?.[0]));
    room('summary', it, () => summary(it));
    const { payments, reservations, notifications } = now;
    room('others', [payments, reservations, notifications], () => belongings(now));
    raw.Order.show(it);
    raw.Saga.show(saga);
    raw.Events.show(now.events);
    events.show(now);
    spans.follow(now);
  };
  const folds = Object.values(raw).map((it) => it.node);
  const nodes = layout(state.id, { ...rooms, actions: doable.node, folds }, events, spans);
  return { nodes, show, onDone: (it) => { done = it; } };
}

function layout(id, rooms, events, spans) {
  return [
    crumbs('#/orders', 'Orders'),
    h('header', { class: 'order-head' },
      h('div', {}, h('h1', { tabindex: '-1' }, 'Order ', h('span', { class: 'mono' }, short(id))),
        copy(id, 'order id')),
      h('div', { class: 'order-state' }, rooms.status, rooms.live)),
    rooms.steps,
    h('div', { class: 'columns' },
      h('section', { class: 'card events' }, h('div', { class: 'row' }, h('h2', {}, 'Timeline'),
        events.legend), events.node),
      h('div', { class: 'aside' }, rooms.actions, rooms.summary, rooms.others)),
    card('Trace', spans.node),
    card('As JSON', rooms.folds),
  ];
}

/** A value as JSON, drawn only while it is open; it stays open when the value changes. */
function fold(name) {
  const body = h('div', {});
  let value = null;
  const fresh = () => node.open && draw(body, value, () => json(value));
  const node = h('details', { class: 'fold', on: { toggle: fresh } }, h('summary', {}, name), body);
  const show = (now) => {
    value = now;
    fresh();
  };
  return { node, show };
}
