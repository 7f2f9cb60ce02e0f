// The pipeline: how fast orders go, what waits, and how long each stage takes.

import { all, get } from './api.js';
import { draw, h, put } from './dom.js';
import { moment, number, seconds } from './format.js';
import { laneRows } from './lanes.js';
import { groupBy } from './groups.js';
import { every } from './live.js';
import { session } from './session.js';
import { note, sparkline } from './sparkline.js';
import { card, empty, head, problem, sheet } from './ui.js';

const LOOK_MS = 3000;
const QUIET = { quiet: true };

export const pipeline = {
  title: () => 'Pipeline',
  role: ['operator'],
  async open(page) {
    const room = h('div', {});
    const said = h('div', {});
    const live = every(page, LOOK_MS, async () => {
      const found = await get('/v1/pipeline', { signal: page.signal }).catch((error) => {
        if (![404, 503].includes(error.status)) throw error;
        return { error };
      });
      const { error } = found;
      const shown = error ? await without(page.signal) : measured(found);
      draw(said, error && [error.code, error.message], () => error && problem(error, QUIET));
      put(room, shown);
    });
    page.show(
      head('Pipeline', 'From an accepted order to its settled end.', live.toggle), live.said,
      said, room,
    );
    await live.now();
  },
};

const percent = (it) => (it === null ? '–' : `${(100 * it).toFixed(it > 0.9995 ? 0 : 1)} %`);
const rate = (it) => (it === null ? '–' : it < 10 ? it.toFixed(1) : number(Math.round(it)));

function measured(it) {
  const waiting = sum(it.outbox, 'pending');
  const lag = sum(it.consumers, 'lag');
  return [
    h('div', { class: 'tiles' },
      tile('Orders a second', it.orders_per_second, rate),
      tile('Confirmed', it.success_ratio, percent),
      tile('In flight', it.in_flight, number),
      tile('In outboxes', waiting, number),
      tile('Oldest waits', most(it.outbox, 'oldest_seconds'), seconds),
      tile('Consumer lag', lag, number)),
    card('How long it takes', stages(it.stages)),
    h('div', { class: 'halves' },
      card('Outboxes', sheet('Outboxes', [
        ['Database', (row) => row.database, 'name'],
        ['Pending', (row) => number(row.pending), 'num'],
        ['Oldest', (row) => seconds(row.oldest_seconds), 'num'],
      ], it.outbox, 'plain')),
      card('Consumers', sheet('Consumers', [
        ['Service', (row) => row.service, 'name'],
        ['Topic', (row) => h('span', { class: 'mono' }, row.topic)],
        ['Lag', (row) => number(row.lag), 'num'],
      ], it.consumers, 'plain'))),
    h('p', { class: 'fine' }, 'As of ', moment(it.at)),
  ];
}

const known = (items, member) => items.map((it) => it[member]).filter((it) => it !== null);
const sum = (items, member) => {
  const values = known(items, member);
  return values.length ? values.reduce((a, b) => a + b, 0) : null;
};
const most = (items, member) => {
  const values = known(items, member);
  return values.length ? Math.max(...values) : null;
};

function tile(name, value, show) {
  note(name, value);
  return h('section', { class: 'tile' },
    h('h2', {}, name), h('p', { class: 'figure' }, show(value)),
    sparkline(name, `${name} while this page was open`));
}

const STAGES = {
  accepted: 'the order is taken',
  published: 'its event is on Kafka',
  received: 'a service has it',
  applied: 'it has taken effect',
  settled: 'the order has ended',
};

/** From 1 ms on, each factor of ten as wide: stages differ by powers of ten. */
const FLOOR = 0.001;

function stages(items) {
  const longest = Math.max(...items.map((it) => it.p99 ?? 0), FLOOR * 10);
  const decades = Math.ceil(Math.log10(longest / FLOOR));
  const at = (value) => `${(100 * Math.log10(Math.max(value, FLOOR) / FLOOR)) / decades}%`;
  const ticks = Array.from({ length: decades + 1 }, (_, n) => seconds(FLOOR * 10 ** n));
  return [
    h('div', { class: 'scale', 'aria-hidden': 'true' }, ticks.map((it) => h('span', {}, it))),
    h('ol', { class: 'stages' }, items.map((it) => h('li', {},
      h('div', { class: 'stage' }, h('strong', {}, it.stage), ' ',
        h('span', { class: 'fine' }, STAGES[it.stage] ?? '')),
      h('div', { class: 'reach', 'aria-hidden': 'true' }, ['p99', 'p95', 'p50'].map((name) =>
        it[name] !== null && h('span', { class: name, vars: { '--to': at(it[name]) } }))),
      h('p', { class: 'figures' }, ['p50', 'p95', 'p99'].map((name) =>
        h('span', {}, h('span', { class: 'fine' }, name), ` ${seconds(it[name])}`)))))),
  ];
}

/** What the API tells where nobody measures. */
async function without(signal) {
  const quiet = (asked) => asked.catch(() => null);
  const may = session.may('operator', 'viewer');
  const [health, lanes, read] = await Promise.all([
    quiet(get('/health', { signal })),
    may ? quiet(all('/v1/lanes', {}, { signal })) : null,
    may ? quiet(all('/v1/consumers', {}, { signal })) : null,
  ]);
  const groups = read && [...groupBy(read.items, (it) => `${it.service} ${it.topic}`).values()];
  const topics = groups?.map((items) => ({ ...items[0], lag: sum(items, 'lag') }));
  return [
    h('div', { class: 'tiles' },
      tile('Wait for the relay', lanes && sum(lanes.items, 'lag'), number),
      tile('Lag of all consumers', topics && sum(topics, 'lag'), number),
      h('section', { class: 'tile' }, h('h2', {}, 'Gateway'),
        h('p', { class: 'figure' }, health?.status ?? 'unknown'))),
    h('div', { class: 'halves' },
      lanes ? card('Lanes', sheet('Lanes', laneRows(), lanes.items)) : empty('No lanes are told.'),
      topics && card('Consumers', sheet('Consumers', [
        ['Service', (row) => row.service, 'name'],
        ['Topic', (row) => h('span', { class: 'mono' }, row.topic)],
        ['Lag', (row) => number(row.lag), 'num'],
      ], topics, 'plain'))),
  ];
}
