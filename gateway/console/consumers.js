// What services read from Kafka and what the relay publishes, and the ways out where one stopped.

import { all } from './api.js';
import { draw, h } from './dom.js';
import { ago, count, number } from './format.js';
import { laneRows } from './lanes.js';
import { groupBy } from './groups.js';
import { every } from './live.js';
import { pause, pauseLane, resume, resumeLane } from './reading.js';
import { replay } from './replay.js';
import { session } from './session.js';
import { button, card, empty, head, pill, table, tell } from './ui.js';
import { whatHappened } from './words.js';

export const consumers = {
  title: () => 'Consumers and lanes',
  role: ['operator'],
  async open(page) {
    const parts = frame(() => live.now());
    const live = every(page, 3000, async () => {
      const [read, lanes] = await Promise.all([
        all('/v1/consumers', {}, { signal: page.signal }),
        all('/v1/lanes', {}, { signal: page.signal }),
      ]);
      parts.show(read.items, lanes.items);
    });
    page.show(
      head('Consumers and lanes', 'Consumers read topics for a service; its lane is how its own '
        + 'events reach Kafka through the relay.', live.toggle,
      session.may('operator') && button('Replay events…', () => replay())),
      live.said, parts.nodes,
    );
    await live.now();
  },
};

/** A button that does something, tells it, and has the page look again. */
function doing(text, act, again, props = {}) {
  return session.may('operator') && button(text, async () => {
    const said = await act();
    if (!said) return;
    tell(said);
    again();
  }, { class: 'small', ...props });
}

function frame(again) {
  const halts = h('div', { class: 'groups' });
  const topics = table('Topics that services read', topicColumns(again),
    (it) => `${it.service}/${it.topic}`);
  const lanes = table('Lanes of the relay', laneColumns(again), (it) => it.service);
  const none = h('div', {});
  const show = (read, published) => {
    const groups = byTopic(read);
    const stopped = groups.flatMap((it) => it.partitions.filter((one) => one.state === 'stopped'));
    const lanesStopped = published.filter((it) => it.state === 'stopped');
    draw(halts, [stopped, lanesStopped], () => [
      stopped.map((it) => halt(it, again)), lanesStopped.map((it) => laneHalt(it, again)),
    ]);
    topics.show(groups);
    lanes.show(published);
    draw(none, groups.length === 0, () =>
      groups.length === 0 && empty('No service reads anything.'));
  };
  return {
    show,
    nodes: [halts, card('Lanes', lanes.node), card('Consumers', topics.node, none)],
  };
}

/** One row a service and topic: 190 partitions that are read are no news. */
function byTopic(items) {
  const groups = groupBy(items, (it) => `${it.service}/${it.topic}`);
  return [...groups.values()].map((partitions) => {
    const states = partitions.map((it) => it.state);
    const odd = partitions.find((it) => it.state !== 'reading');
    const { service, topic } = partitions[0];
    return {
      service,
      topic,
      partitions,
      state: ['stopped', 'paused'].find((it) => states.includes(it)) ?? 'reading',
      lag: partitions.every((it) => it.lag === null)
        ? null
        : partitions.reduce((sum, it) => sum + (it.lag ?? 0), 0),
      reason: odd?.reason ?? null,
      since: odd?.since ?? null,
    };
  });
}

function topicColumns(again) {
  return [
    ['State', (it) => pill(it.state)],
    ['Service', (it) => it.service, 'name'],
    ['Topic', (it) => h('span', { class: 'mono' }, it.topic)],
    ['Lag', (it) => number(it.lag), 'num'],
    ['Partitions', partitions],
    ['Why', (it) => (it.reason ? [it.reason, ', ', ago(it.since)] : '–'), 'wide'],
    ['Actions', (it) => (it.state === 'reading'
      ? doing('Pause…', () => pause(it), again)
      : it.state === 'paused' && doing('Resume…', () => resume(it, {}), again))],
  ];
}

function partitions(it) {
  const known = it.partitions.filter((one) => one.partition !== null);
  return h('details', { class: 'fold inline' },
    h('summary', {}, count(known.length, 'partition')),
    h('ul', { class: 'chips' }, known.map((one) => h('li', { class: one.state },
      h('span', { class: 'fine' }, `${one.partition}`), ' ',
      one.state === 'reading' ? `lag ${number(one.lag)}` : one.state))));
}

/** A partition that stopped by itself: what happened, and where one may go on. */
function halt(it, again) {
  const at = `${it.topic}, partition ${it.partition}`;
  return h('section', { class: 'card halt' },
    h('div', { class: 'row' }, h('h2', {}, `${it.service} stopped reading `,
      h('span', { class: 'mono' }, at)), pill('stopped')),
    h('p', {}, h('strong', {}, it.reason), ' · since ', ago(it.since)),
    h('p', {}, whatHappened(it.reason), ' Find out why first; then bring back by a replay what '
      + 'Kafka no longer has, and say where to go on. What was applied before is dropped by id.'),
    h('div', { class: 'buttons start' },
      doing('Go on from here…', () => resume(it, { from: 'here' }), again),
      doing('From the beginning…', () => resume(it, { from: 'beginning' }), again),
      doing('From an offset…', () => resume(it, { from: 'offset' }), again),
      doing('Replay events…', () => replay({ topic: it.topic }), again)));
}

function laneHalt(it, again) {
  return h('section', { class: 'card halt' },
    h('div', { class: 'row' }, h('h2', {}, `The relay stopped publishing for ${it.service}`),
      pill('stopped')),
    h('p', {}, h('strong', {}, it.reason), ' · since ', ago(it.since)),
    h('div', { class: 'buttons start' },
      doing('Go on from here…', () => resumeLane(it, 'here'), again),
      doing('From the beginning…', () => resumeLane(it, 'beginning'), again)));
}

function laneColumns(again) {
  return laneRows(['Actions', (it) => (it.state === 'publishing'
    ? doing('Pause…', () => pauseLane(it), again)
    : it.state === 'paused' && doing('Resume…', () => resumeLane(it), again))]);
}
