// Publishes events of a service once more: counted first, then begun, then followed to its end.

import { get, path, post } from './api.js';
import { REASON, ask } from './dialog.js';
import { count, number } from './format.js';
import { tell } from './ui.js';

const SERVICES = ['order-svc', 'payment-svc', 'inventory-svc', 'notify-svc'];
const SENDER = {
  'shop.orders.v1': 'order-svc',
  'shop.payments.v1': 'payment-svc',
  'shop.stock.v1': 'inventory-svc',
  'shop.notifications.v1': 'notify-svc',
};
const LOOK_MS = 1000;

/** Asks which events, tells how many they are, and asks again. */
export async function replay({ topic = '' } = {}) {
  const planned = await ask({
    name: 'Replay events',
    about: 'The relay publishes events of a service’s outbox once more, oldest first, under their '
      + 'ids: who had them drops them. The outbox keeps 7 days. First they are only counted.',
    fields: [
      { name: 'service', label: 'Service that said them', kind: 'select',
        options: SERVICES.map((it) => [it, it]), value: SENDER[topic] ?? SERVICES[0] },
      { name: 'key', label: 'Key', max: 200, hint: 'An order id; empty for all.' },
      { name: 'from', label: 'From', kind: 'datetime-local' },
      { name: 'to', label: 'Before', kind: 'datetime-local' },
      REASON,
    ],
    verb: 'Count them',
    run: async ({ service, key, from, to, reason }) => {
      const body = { service, reason, key: key || undefined, from: time(from), to: time(to) };
      return { body, size: await post('/v1/replays', { ...body, dry_run: true }) };
    },
  });
  if (planned) await begin(planned);
}

const time = (text) => (text ? new Date(text).toISOString() : undefined);

async function begin({ body, size }) {
  const words = `${count(size.events, 'event')} of ${count(size.keys, 'key')}`;
  const started = await ask({
    name: `Publish ${words} once more?`,
    about: `Those of ${body.service}. Nothing happens twice: consumers know the ids.`,
    verb: 'Replay',
    run: () => post('/v1/replays', { ...body, dry_run: false }),
  });
  if (started) await watch(started.id);
}

async function watch(id) {
  for (;;) {
    const it = await get(path('replays', id));
    tell(it.state === 'ended'
      ? `The replay has ended: ${count(it.done, 'event')}.`
      : `Replaying: ${number(it.done)} of ${number(it.events)}.`);
    if (it.state === 'ended') return;
    await new Promise((resolve) => { setTimeout(resolve, LOOK_MS); });
  }
}
