// Parked keys, grouped by what is wrong with them, and what is done to all of a group.

import { all, post } from './api.js';
import { REASON, ask } from './dialog.js';
import { draw, h, put, sync } from './dom.js';
import { ago, count, number, short, title } from './format.js';
import { groupBy } from './groups.js';
import { every } from './live.js';
import { keyActions, keyAddress } from './parked-actions.js';
import { go } from './router.js';
import { session } from './session.js';
import { button, empty, head, orderLink, pill, sheet } from './ui.js';
import { CLASSES } from './words.js';

/** More keys than a page can show with sense; they are counted in bulk operations all the same. */
const MOST = 2000;

export const parked = {
  title: () => 'Parked keys',
  role: ['operator'],
  async open(page) {
    const groups = h('div', { class: 'groups' });
    const rest = h('div', {});
    const live = every(page, 5000, async () => {
      const found = await all('/v1/parked', {}, { signal: page.signal, most: MOST });
      const listed = grouped(found.items);
      sync(groups, listed, (it) => it.name, (it) => group(it, live.now));
      draw(rest, [listed.length === 0, found.isWhole], () => [
        listed.length === 0 && empty('Nothing is parked: every message could be processed.'),
        !found.isWhole && h('p', { class: 'fine' }, `Only the first ${number(MOST)} are shown.`),
      ]);
    });
    page.show(
      head('Parked keys', 'A message that cannot be processed stops its own key, mostly one order. '
        + 'It and all after it wait here, in order; everything else goes on.', live.toggle),
      live.said, groups, rest,
    );
    await live.now();
  },
};

function grouped(items) {
  const byClass = groupBy(items, (it) => it.class);
  const groups = [...byClass].map(([name, keys]) => ({ name, keys }));
  return groups.sort((a, b) => b.keys.length - a.keys.length);
}

const COLUMNS = (again) => [
  ['Key', (it) => h('a', { class: 'id mono', href: keyAddress(it), title: it.key }, short(it.key)),
    'nowrap'],
  ['Topic', (it) => h('span', { class: 'mono' }, it.topic)],
  ['Messages', (it) => number(it.messages), 'num'],
  ['Since', (it) => ago(it.since), 'nowrap'],
  ['Reason', (it) => h('span', { class: 'break' }, it.reason), 'wide'],
  ['Order', (it) => (it.order_id ? orderLink(it.order_id, 'order') : '–')],
  ['Actions', (it) => session.may('operator') && keyActions(it, again)],
];

function group({ name, keys }, again) {
  const { why, helps } = CLASSES[name] ?? {
    why: 'The service cannot decide it.', helps: 'Its reason says why.',
  };
  const services = [...groupBy(keys, (it) => it.service)];
  return h('section', { class: 'card group', 'data-class': name },
    h('div', { class: 'row' }, h('h2', {}, title(name)),
      pill('parked', `${count(keys.length, 'key')}, ${count(messages(keys), 'message')}`)),
    h('p', {}, why, ' ', h('span', { class: 'fine' }, helps)),
    services.map(([service, its]) => ofService(name, service, its, again)));
}

const messages = (keys) => keys.reduce((sum, it) => sum + it.messages, 0);

function ofService(name, service, keys, again) {
  // What waits for a newer build goes on by itself, and is refused in bulk.
  const isBulk = session.may('operator') && name !== 'unknown_event';
  const offer = (text, action, its) => button(text, () => inBulk(action, service, name),
    { class: its, 'aria-label': `${text} of ${service}, ${title(name)}` });
  return h('div', { class: 'of-service' },
    h('div', { class: 'row' }, h('h3', {}, service),
      isBulk && h('div', { class: 'buttons' },
        offer('Release all…', 'release', 'small'),
        offer('Discard all…', 'discard', 'small danger outline'))),
    sheet(`${title(name)} at ${service}`, COLUMNS(again), keys));
}

const WORDS = {
  release: {
    verb: 'Release', does: 'Their messages are processed again, in order, under their own ids.',
  },
  discard: {
    verb: 'Discard',
    does: 'The first message of each is dropped for good; those behind it wait for a release.',
  },
};

/** Counts first: the number that is confirmed is the number that is touched, or none. */
async function inBulk(action, service, its) {
  const { verb, does } = WORDS[action];
  const filter = { service, class: its };
  const about = h('p', { class: 'counted', 'aria-live': 'polite' }, 'Counting…');
  const size = {};
  const started = await ask({
    name: `${verb} all keys of ${service} that are ${title(its).toLowerCase()}?`,
    about: [about, does],
    fields: [REASON],
    verb,
    danger: action === 'discard',
    setUp: () => counting(action, filter, size, about),
    run: async ({ reason }) => {
      if (size.keys === undefined) await counting(action, filter, size, about);
      const body = { action, filter, expected: size.keys, reason };
      try {
        return await post('/v1/parked/bulk', body);
      } catch (error) {
        // Another number than was shown: the person has to see it before they say yes again.
        if (error.code === 'unexpected_count') await counting(action, filter, size, about);
        throw error;
      }
    },
  });
  if (started) go(`parked/bulk/${started.id}`);
}

async function counting(action, filter, size, about) {
  try {
    Object.assign(size, await post('/v1/parked/bulk', { action, filter }));
    put(about, h('strong', {}, count(size.keys, 'key')), ` with ${count(size.messages, 'message')}`,
      size.has_more ? ', the oldest; there are more, for another time.' : '.');
  } catch (error) {
    put(about, error.message);
  }
}
