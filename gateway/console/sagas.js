// Sagas: which orders are late or stuck, and which are under way.

import { get, query } from './api.js';
import { draw, h } from './dom.js';
import { ago, clock, plain } from './format.js';
import { every } from './live.js';
import { address } from './router.js';
import { empty, head, icon, orderLink, pager, pill, table } from './ui.js';
import { awaited, stepName } from './words.js';

const STATES = [
  ['stuck', 'Late or stuck', 'No order is late, refused to be refunded, or parked.'],
  ['started', 'Started', 'No order is open.'],
  ['compensating', 'Compensating', 'Nothing is being taken back.'],
  ['completed', 'Completed', 'No order has been confirmed.'],
  ['compensated', 'Compensated', 'Nothing has been taken back.'],
  ['failed', 'Failed', 'No order failed before anything had to be undone.'],
];
const ICONS = { waiting: 'clock', completed: 'check', failed: 'cross', compensated: 'undo' };
const COLOURS = { waiting: 'busy', completed: 'ok', failed: 'bad', compensated: 'undo' };

export const sagas = {
  title: () => 'Sagas',
  role: ['staff'],
  async open(page) {
    const state = STATES.find(([name]) => name === page.query.state)?.[0] ?? 'stuck';
    const { cursor } = page.query;
    const list = table('Sagas', COLUMNS, (it) => it.order_id);
    const rest = h('div', {});
    const live = every(page, 4000, async () => {
      const asked = query('/v1/sagas', { state, limit: 50, cursor });
      const found = await get(asked, { signal: page.signal });
      list.show(found.items);
      const next = found.next_cursor;
      draw(rest, [found.items.length === 0, next], () => [
        found.items.length === 0 && empty(STATES.find(([it]) => it === state)[2]),
        pager(cursor && [address('sagas', { state }), '← First'],
          next && [address('sagas', { state, cursor: next }), 'Further →']),
      ]);
    });
    page.show(
      head('Sagas', 'An order seen as its steps, and what each waits for.', live.toggle),
      h('nav', { class: 'views', 'aria-label': 'Which sagas' }, STATES.map(([name, text]) =>
        h('a', { href: address('sagas', { state: name }),
          'aria-current': name === state && 'true' }, text))),
      live.said, list.node, rest,
    );
    await live.now();
  },
};

const COLUMNS = [
  ['Saga', (it) => [pill(it.status), it.parked && [' ', pill('parked')]]],
  ['Order', (it) => orderLink(it.order_id), 'nowrap'],
  ['Steps', (it) => h('ul', { class: 'dots' }, it.steps.map((step) =>
    h('li', { class: COLOURS[step.state], title: `${stepName(step.step)}: ${step.state}` },
      icon(ICONS[step.state]),
      h('span', { class: 'unseen' }, `${stepName(step.step)}: ${step.state}`))))],
  ['Expected next', expected, 'wide'],
  ['What is wrong', wrong, 'wide'],
  ['Started', (it) => ago(it.started_at), 'nowrap'],
];

function expected({ expected: next }) {
  if (!next) return '–';
  return [next.late && [pill('late'), ' '], awaited(next.step), ` from ${next.from} by `,
    clock(next.by), ' (', ago(next.by), ')'];
}

function wrong(saga) {
  const words = [
    saga.parked && 'a message about it is parked',
    ...saga.steps.filter(({ state, detail }) =>
      state === 'failed' && detail && detail !== 'order_cancelled').map((it) => plain(it.detail)),
  ].filter(Boolean);
  return words.join('; ') || '–';
}
