// The list of orders, with filters, and the buttons that place one.

import { all, get, query } from './api.js';
import { field, valuesOf } from './dialog.js';
import { draw, h } from './dom.js';
import { ago, money, plain, title } from './format.js';
import { every } from './live.js';
import { placing } from './place.js';
import { address, go } from './router.js';
import { session } from './session.js';
import { lines, paidBy, trouble } from './story.js';
import { empty, head, link, orderLink, pager, pill, table } from './ui.js';
import { awaited } from './words.js';

const STATUSES = ['pending', 'payment_pending', 'paid', 'confirmed', 'shipped', 'delivered',
  'cancelled'];
const FILTERS = ['status', 'customer_id', 'created_from', 'created_to'];
/** How many pages are looked through for problems before the person is asked to go on. */
const PAGES_AT_ONCE = 5;

export const orders = {
  title: () => 'Orders',
  role: ['customer', 'staff'],
  async open(page) {
    const isAll = page.query.only !== 'problems';
    const list = table('Orders', COLUMNS, (it) => it.order.id, 'orders');
    const rest = h('div', {});
    const look = async () => show(await (isAll ? listed(page) : troubled(page)));
    const show = ({ items, next }) => {
      list.show(items);
      draw(rest, [items.length === 0, next], () =>
        [items.length === 0 && nothing(isAll, page.query), pages(page.query, next)]);
    };
    const live = every(page, page.query.cursor ? 30_000 : 4000, look);
    page.show(
      head('Orders', 'Newest first. An order opens on its timeline, live.', live.toggle),
      session.may('customer', 'staff') ? placing(page) : null,
      views(page.query), filters(page.query), live.said, list.node, rest,
    );
    await live.now();
  },
};

const COLUMNS = [
  ['Status', ({ order }) => pill(order.status)],
  ['Order', ({ order }) => orderLink(order.id), 'nowrap'],
  ['Placed', ({ order }) => ago(order.created_at), 'nowrap'],
  ['Customer', ({ order }) => h('span', { class: 'break' }, order.customer_id), 'name'],
  ['What', ({ order }) => [lines(order),
    order.payment && h('span', { class: 'fine' }, ` ${paidBy(order.payment)}`)], 'wide'],
  ['Total', ({ order }) => money(order.total_amount), 'num'],
  ['Outcome', outcome, 'wide'],
];

function outcome({ order, saga }) {
  if (saga?.parked) return pill('parked', 'A message is parked');
  if (saga?.expected) {
    const { step, from, late } = saga.expected;
    return [late ? pill('late', 'Late') : null, ` ${awaited(step)} expected from ${from}`];
  }
  const wrong = trouble(order);
  if (wrong) return h('span', { class: 'bad-text' }, title(wrong));
  if (order.cancellation) return title(order.cancellation.reason);
  return order.amendment ? `Revision ${order.revision}, ${plain(order.amendment)}` : '–';
}

async function listed({ query: { cursor, ...asked }, signal }) {
  const filter = Object.fromEntries(FILTERS.map((name) => [name, asked[name]]));
  const found = await get(query('/v1/orders', { ...filter, limit: 50, cursor }), { signal });
  return { items: found.items.map((order) => ({ order })), next: found.next_cursor };
}

/** Orders that were cancelled though nobody asked, and those that are late, refused or parked. */
async function troubled({ query: asked, signal }) {
  const stuck = session.may('staff', 'viewer')
    ? (await all('/v1/sagas', { state: 'stuck' }, { signal, most: 200 })).items
    : [];
  const sagas = new Map(stuck.map((saga) => [saga.order_id, saga]));
  const filter = Object.fromEntries(FILTERS.map((name) => [name, asked[name]]));
  const items = [];
  let { cursor = null } = asked;
  for (let n = 0; n < PAGES_AT_ONCE && items.length < 50; n += 1) {
    const found = await get(query('/v1/orders', { ...filter, limit: 200, cursor }), { signal });
    const wrong = found.items.filter((order) => trouble(order) || sagas.has(order.id));
    items.push(...wrong.map((order) => ({ order, saga: sagas.get(order.id) })));
    cursor = found.next_cursor;
    if (cursor === null) break;
  }
  return { items, next: cursor };
}

function views({ only, ...asked }) {
  // Another list has pages of its own.
  const view = (text, params, isHere) => h('a', {
    href: address('orders', { ...asked, cursor: null, ...params }),
    'aria-current': isHere && 'true',
  }, text);
  return h('nav', { class: 'views', 'aria-label': 'Which orders' },
    view('All orders', {}, only !== 'problems'),
    view('Only problems', { only: 'problems' }, only === 'problems'));
}

function filters(asked) {
  const statuses = [['', 'any'], ...STATUSES.map((it) => [it, title(it)])];
  const form = h('form', { class: 'filters', 'aria-label': 'Filter' },
    field({ name: 'status', label: 'Status', kind: 'select', options: statuses,
      value: asked.status ?? '' }),
    session.may('staff', 'viewer') && field({ name: 'customer_id', label: 'Customer', max: 64,
      value: asked.customer_id ?? '' }),
    field({ name: 'created_from', label: 'Placed from', kind: 'datetime-local',
      value: toInput(asked.created_from) }),
    field({ name: 'created_to', label: 'before', kind: 'datetime-local',
      value: toInput(asked.created_to) }),
    h('div', { class: 'buttons' },
      h('button', { type: 'submit', id: 'apply' }, 'Apply'),
      FILTERS.some((name) => asked[name])
        && link(address('orders', { only: asked.only }), 'Clear')));
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const { created_from, created_to, ...others } = valuesOf(form);
    go('orders', { only: asked.only, ...others, created_from: fromInput(created_from),
      created_to: fromInput(created_to) });
  });
  return form;
}

/** The field knows no time zone: it is that of the person. */
function toInput(text) {
  const at = Date.parse(text ?? '');
  if (Number.isNaN(at)) return '';
  const shifted = new Date(at - new Date(at).getTimezoneOffset() * 60_000);
  return shifted.toISOString().slice(0, 16);
}

const fromInput = (text) => (text ? new Date(text).toISOString() : '');

function nothing(isAll, asked) {
  if (!isAll) return empty('No problem was found among the orders that were looked through.');
  return FILTERS.some((name) => asked[name])
    ? empty('No order fits this filter.')
    : empty('There is no order yet. Place one above.');
}

const pages = ({ cursor, ...asked }, next) => pager(
  cursor && [address('orders', asked), '← Newest'],
  next && [address('orders', { ...asked, cursor: next }),
    asked.only ? 'Look further back →' : 'Older →'],
);
