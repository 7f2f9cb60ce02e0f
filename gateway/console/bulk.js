// A bulk operation on parked keys: how far it is, and what became of each key.

import { all, get, path } from './api.js';
import { draw, h } from './dom.js';
import { count, moment, number, plain, title } from './format.js';
import { every } from './live.js';
import { crumbs, facts, head, pill, table } from './ui.js';

export const bulk = {
  title: () => 'Bulk operation',
  role: ['operator'],
  async open(page) {
    const at = path('parked', 'bulk', page.params.id);
    const room = h('div', { 'aria-live': 'polite' });
    const keys = table('Keys', [
      ['Outcome', (it) => pill(it.outcome)],
      ['Key', (it) => h('span', { class: 'mono break' }, it.key), 'wide'],
      ['Topic', (it) => h('span', { class: 'mono' }, it.topic)],
      ['Messages', (it) => number(it.messages), 'num'],
      ['Detail', (it) => it.detail ?? '–', 'wide'],
      ['Ended', (it) => moment(it.ended_at), 'nowrap'],
    ], (it) => `${it.topic}/${it.key}`);
    let hasEnded = false;
    const live = every(page, 1500, async () => {
      if (hasEnded) return;
      const it = await get(at, { signal: page.signal });
      const found = await all(`${at}/keys`, {}, { signal: page.signal, most: 500 });
      draw(room, it, () => operation(it));
      keys.show(found.items);
      hasEnded = it.state === 'ended';
    });
    page.show(
      crumbs('#/parked', 'Parked keys'),
      head('Bulk operation',
        'It goes on by itself, one key after the other, also when this page is closed.',
        live.toggle),
      live.said, room, keys.node,
    );
    await live.now();
  },
};

function operation(it) {
  const { service, topic, class: its } = it.filter;
  return h('section', { class: 'card' },
    h('div', { class: 'row' }, h('h2', {}, `${title(it.action)} ${count(it.keys, 'key')}`),
      pill(it.state)),
    h('progress', { max: Math.max(it.keys, 1), value: it.done, 'aria-label': 'Keys done' }),
    facts([
      ['Done', `${number(it.done)} of ${number(it.keys)}`],
      ['Outcomes', Object.entries(it.outcomes).map(([name, n]) => `${number(n)} ${plain(name)}`)
        .join(', ')],
      ['Of', [service, topic, its && plain(its)].filter(Boolean).join(', ')],
      ['By', it.caller],
      ['Reason', it.reason],
      ['Began', moment(it.started_at)],
      ['Ended', it.ended_at && moment(it.ended_at)],
    ]));
}
