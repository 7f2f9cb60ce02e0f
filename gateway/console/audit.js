// The audit: who moved what, when and why.

import { get, query } from './api.js';
import { field, valuesOf } from './dialog.js';
import { draw, h } from './dom.js';
import { ago, moment } from './format.js';
import { every } from './live.js';
import { address, go } from './router.js';
import { empty, head, pager, table } from './ui.js';
import { service as named } from './words.js';

const SERVICES = ['order-svc', 'payment-svc', 'inventory-svc', 'notify-svc'];

export const audit = {
  title: () => 'Audit',
  role: ['operator'],
  async open(page) {
    const { service = '', cursor } = page.query;
    const list = table('Operations', COLUMNS, (it) => `${it.service}/${it.id}`);
    const rest = h('div', {});
    const live = every(page, 10_000, async () => {
      const asked = query('/v1/operations', { service, limit: 50, cursor });
      const found = await get(asked, { signal: page.signal });
      list.show(found.items);
      const next = found.next_cursor;
      draw(rest, [found.items.length === 0, next], () => [
        found.items.length === 0 && empty('No operator has done anything yet.'),
        pager(cursor && [address('audit', { service }), '← Newest'],
          next && [address('audit', { service, cursor: next }), 'Older →']),
      ]);
    });
    page.show(
      head('Audit', 'What operators did, newest first, with the reason they gave.', live.toggle),
      filter(service), live.said, list.node, rest,
    );
    await live.now();
  },
};

function filter(service) {
  const form = h('form', { class: 'filters' },
    field({ name: 'service', label: 'Service', kind: 'select', value: service,
      options: [['', 'all'], ...SERVICES.map((it) => [it, it])] }),
    h('div', { class: 'buttons' }, h('button', { type: 'submit', id: 'apply' }, 'Apply')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go('audit', valuesOf(form));
  });
  return form;
}

const COLUMNS = [
  ['When', (it) => [moment(it.at), h('br'), h('span', { class: 'fine' }, ago(it.at))], 'nowrap'],
  ['Who', (it) => h('span', { class: 'break' }, it.caller)],
  ['Did', (it) => h('strong', {}, it.action)],
  ['At', (it) => it.service, 'name'],
  ['To', target, 'wide'],
  ['Reason', (it) => it.reason || '–', 'wide'],
];

function target(it) {
  const parts = [it.topic, it.partition !== null && `partition ${it.partition}`, it.key,
    it.event_id && `event ${it.event_id}`, it.source && `of ${named(it.source)}`,
    it.version !== null && `version ${it.version}`].filter(Boolean);
  return parts.length ? h('span', { class: 'mono break' }, parts.join(', ')) : '–';
}
