// The webhooks: other systems that are told of events over HTTP.

import { all, post } from './api.js';
import { ask } from './dialog.js';
import { draw, h } from './dom.js';
import { moment, plain } from './format.js';
import { every } from './live.js';
import { go } from './router.js';
import { session } from './session.js';
import { button, copy, empty, head, link, pill, table } from './ui.js';

export const webhooks = {
  title: () => 'Webhooks',
  role: ['staff'],
  async open(page) {
    const list = table('Webhooks', [
      ['Status', status],
      ['Address',
        (it) => link(`#/webhooks/${it.id}`, h('span', { class: 'break' }, it.url)), 'wide'],
      ['Events', (it) => (it.events[0] === '*' ? 'all' : it.events.join(', ')), 'wide'],
      ['Description', (it) => it.description ?? '–', 'wide'],
      ['Made', (it) => moment(it.created_at), 'nowrap'],
    ], (it) => it.id);
    const none = h('div', {});
    const live = every(page, 10_000, async () => {
      const { items } = await all('/v1/webhooks', {}, { signal: page.signal });
      list.show(items);
      draw(none, items.length === 0, () => items.length === 0
        && empty('No webhook yet: nobody is told of events over HTTP.'));
    });
    page.show(
      head('Webhooks', 'For systems without Kafka: events are posted to them, signed, and tried '
        + 'again for three days.', live.toggle,
      session.may('staff') && button('New webhook…', create, { class: 'primary' })),
      live.said, list.node, none,
    );
    await live.now();
  },
};

export const status = (it) =>
  [pill(it.status), it.disabled_reason && ` ${plain(it.disabled_reason)}`];

async function create() {
  const made = await ask({
    name: 'New webhook',
    fields: [
      { name: 'url', label: 'Address', kind: 'url', required: true, max: 2000,
        placeholder: 'https://example.com/hooks/shop' },
      { name: 'events', label: 'Events', value: '*', required: true,
        hint: 'Names with commas between, such as OrderConfirmed, OrderCancelled; * for all.' },
      { name: 'description', label: 'Description', max: 200 },
    ],
    verb: 'Make it',
    run: ({ url, events, description }) => post('/v1/webhooks', {
      url,
      events: events.split(/[\s,]+/).filter(Boolean),
      description: description || undefined,
    }),
  });
  if (!made) return;
  await showSecret(made.secret);
  go(`webhooks/${made.id}`);
}

/** A secret is told once. */
export function showSecret(secret) {
  return ask({
    name: 'Its secret',
    about: [h('p', {}, 'Receivers check signatures with it. It is shown now and never again.'),
      h('p', { class: 'row' }, h('code', { class: 'break' }, secret), copy(secret, 'secret'))],
    verb: 'I have kept it',
    isNotice: true,
    run: () => true,
  });
}
