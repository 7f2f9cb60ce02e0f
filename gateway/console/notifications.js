// What customers were told, order by order, and a new letter about an order.

import { all, get, path, post, query } from './api.js';
import { ask, field, valuesOf } from './dialog.js';
import { draw, h } from './dom.js';
import { ago, plain, title } from './format.js';
import { every } from './live.js';
import { address, go } from './router.js';
import { session } from './session.js';
import { button, empty, head, link, orderLink, pill, table, tell } from './ui.js';

/** The API lists notifications of one order: without one, those of so many of the newest. */
const NEWEST = 12;

export const notifications = {
  title: () => 'Notifications',
  role: ['customer', 'staff'],
  async open(page) {
    const { order_id: id } = page.query;
    const list = table('Notifications', columns(() => live.now()), (it) => it.id);
    const rest = h('div', {});
    const live = every(page, 5000, async () => {
      const items = await (id ? ofOrder(id, page.signal) : ofNewest(page.signal));
      list.show(items);
      draw(rest, items.length === 0, () => items.length === 0 && empty(id
        ? 'Nothing was told about this order, or it is not yours to see.'
        : 'Nothing was told about the newest orders.'));
    });
    page.show(
      head('Notifications', id ? ['About order ', orderLink(id, id)]
        : `About the ${NEWEST} newest orders. Name one to see all of its own.`, live.toggle),
      chooser(id), live.said, list.node, rest,
    );
    await live.now();
  },
};

const ofOrder = async (id, signal) =>
  (await all('/v1/notifications', { order_id: id }, { signal })).items;

async function ofNewest(signal) {
  const { items } = await get(query('/v1/orders', { limit: NEWEST }), { signal });
  const found = await Promise.all(items.map((it) => ofOrder(it.id, signal)));
  return found.flat().sort((a, b) => (a.created_at < b.created_at ? 1 : -1));
}

function chooser(id) {
  const form = h('form', { class: 'filters' },
    field({ name: 'order_id', label: 'Order id', value: id ?? '', required: true, max: 36 }),
    h('div', { class: 'buttons' }, h('button', { type: 'submit', id: 'apply' }, 'Show'),
      id && link(address('notifications'), 'Newest orders')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    go('notifications', valuesOf(form));
  });
  return form;
}

function columns(again) {
  return [
    ['Status', (it) => [pill(it.status), it.failure && ` ${plain(it.failure)}`]],
    ['What', (it) => [it.template ? title(it.template) : 'A letter of staff', ' ',
      h('span', { class: 'fine' }, `by ${it.channel}`)]],
    ['To', (it) => h('span', { class: 'break' }, it.to ?? '–')],
    ['Attempts', (it) => [`${it.attempts}`, it.detail && ` · ${it.detail}`], 'wide'],
    ['When', (it) => (it.sent_at ? ago(it.sent_at) : ['queued ', ago(it.created_at)]), 'nowrap'],
    ['Order', (it) => (it.order_id ? orderLink(it.order_id) : '–'), 'nowrap'],
    ['Actions', (it) => session.may('staff') && button('Send anew…', async () => {
      if (await sendAnew(it)) again();
    }, { class: 'small' })],
  ];
}

/**
 * The API repeats no notification, and does not tell what stood in one: so this is a new one, with
 * the address and the template of the old, whose fields are written once more.
 */
async function sendAnew(it) {
  const { items: templates } = await all('/v1/templates');
  const template = templates.find(({ name }) => name === it.template);
  const known = { order_id: it.order_id ?? '' };
  const sent = await ask({
    name: template ? `Send “${plain(template.name)}” anew` : 'Write anew',
    about: 'A new notification, beside the old one. What its texts said is not kept for reading, '
      + 'so they are written once more; what is left empty stays empty.',
    fields: [
      { name: 'to', label: 'To', value: it.to ?? '', required: true, max: 200 },
      ...(template
        ? template.fields.map((name) => ({ name: `data.${name}`, label: title(name), max: 200,
          value: known[name] ?? '' }))
        : [{ name: 'subject', label: 'Subject', max: 200 },
          { name: 'text', label: 'Text', kind: 'textarea', required: true, max: 10_000 }]),
    ],
    verb: 'Send',
    run: async ({ to, subject, text, ...others }) => {
      const data = Object.fromEntries(Object.entries(others)
        .filter(([, value]) => value).map(([name, value]) => [name.slice('data.'.length), value]));
      await post(path('notifications', it.channel), {
        to,
        order_id: it.order_id ?? undefined,
        ...(template ? { template: template.name, data } : { subject: subject || undefined, text }),
      });
      return true;
    },
  });
  if (sent) tell('It is queued.');
  return sent;
}
