// Places an order in one click, with the test data of the local stack: each button one ending.

import { all, get, impossible, post } from './api.js';
import { ask } from './dialog.js';
import { h, put } from './dom.js';
import { money } from './format.js';
import { go } from './router.js';
import { session } from './session.js';
import { button, problem } from './ui.js';

/** Products and customers of `shop seed`. */
const SOLD_OUT = 'sold-out';
const LAST_PIECE = 'last-piece';
const CUSTOMERS = 10;

const card = (token) => ({ method: 'card', token });

const ENDINGS = [
  { name: 'One that succeeds', hint: 'card tok_visa', payment: card('tok_visa') },
  { name: 'From the account', hint: 'wallet', payment: { method: 'wallet' } },
  { name: 'Declined', hint: 'tok_declined: goods go back', payment: card('tok_declined') },
  { name: 'Out of stock', hint: 'two want the last piece', place: forTheLastPiece },
  { name: 'Sold out', hint: 'refused at once: 409', payment: card('tok_visa'), sku: SOLD_OUT },
  { name: 'Pay later', hint: 'deferred: pay on its page', payment: { method: 'deferred' } },
  { name: 'Slow provider', hint: 'tok_slow: takes 3 s', payment: card('tok_slow') },
  { name: 'Lost answer', hint: 'tok_lost: asked for again', payment: card('tok_lost') },
];

/** The room with a button for each ending. */
export function placing(page) {
  const said = h('div', { 'aria-live': 'polite' });
  const buttons = ENDINGS.map((ending) => h('button', {
    type: 'button', class: 'ending', 'data-ending': ending.name, on: { click: () => run(ending) },
  }, h('span', { class: 'name' }, ending.name), h('span', { class: 'fine' }, ending.hint)));
  const run = async (ending) => {
    for (const it of buttons) it.disabled = true;
    put(said);
    try {
      const id = await (ending.place ?? plainly)(ending);
      if (!page.signal.aborted) go(`orders/${id}`);
    } catch (error) {
      put(said, problem(error));
    } finally {
      for (const it of buttons) it.disabled = false;
    }
  };
  return h('section', { class: 'card placing' },
    h('div', { class: 'row' }, h('h2', {}, 'Place an order'),
      button('With choices…', choose, { class: 'quiet small', id: 'choose' })),
    h('div', { class: 'endings' }, buttons), said);
}

/** Staff has to name a customer; a customer orders for themselves. */
const customer = () => (session.may('staff')
  ? `customer-${String(1 + Math.floor(Math.random() * CUSTOMERS)).padStart(4, '0')}`
  : undefined);

async function plainly({ payment, sku }) {
  const item = sku ?? (await anyProduct()).sku;
  const order = await post('/v1/orders', {
    customer_id: customer(), items: [{ sku: item, quantity: sku ? 1 : 2 }], payment,
  });
  return order.id;
}

async function anyProduct() {
  const { items } = await all('/v1/products', {}, { most: 200 });
  const there = items.filter((it) => it.available >= 100);
  if (there.length === 0) {
    throw impossible('No product has a hundred pieces on the shelf: shop seed fills the shelves.');
  }
  return there[Math.floor(Math.random() * there.length)];
}

/** Both orders are accepted, for the catalogue says that there is a piece; one of them lacks it. */
async function forTheLastPiece() {
  const shelf = await get(`/v1/products/${LAST_PIECE}/stock`);
  if (shelf.available === 0) {
    if (!session.may('staff')) {
      throw impossible('The last piece is sold; staff can put another one on the shelf.');
    }
    await post(`/v1/products/${LAST_PIECE}/stock`,
      { warehouse: 'main', delta: 1, reason: 'for another try' });
  }
  const one = () => post('/v1/orders', {
    customer_id: customer(), items: [{ sku: LAST_PIECE, quantity: 1 }], payment: card('tok_visa'),
  });
  const [first, second] = await Promise.all([one(), one()]);
  const ended = await get(`/v1/orders/${first.id}`, { headers: { prefer: 'wait=5' } });
  return ended.status === 'cancelled' ? first.id : second.id;
}

const PAYMENTS = [
  ['card tok_visa', 'card tok_visa: captured'],
  ['card tok_declined', 'card tok_declined: declined'],
  ['card tok_insufficient', 'card tok_insufficient: insufficient funds'],
  ['card tok_expired', 'card tok_expired: expired card'],
  ['card tok_slow', 'card tok_slow: captured after 3 s'],
  ['card tok_lost', 'card tok_lost: the answer is lost, and asked for again'],
  ['wallet', 'wallet: the customer’s account'],
  ['deferred', 'deferred: paid later'],
];

async function choose() {
  const { items } = await all('/v1/products', {}, { most: 200 }).catch(() => ({ items: [] }));
  // The products of which there is least stand last: the first is chosen unless another is.
  const products = items.sort((a, b) => b.available - a.available).map((it) =>
    [it.sku, `${it.name} (${it.sku}), ${money(it.price)}, ${it.available} there`]);
  const id = await ask({
    name: 'Place an order',
    fields: [
      products.length
        ? { name: 'sku', label: 'Product', kind: 'select', options: products }
        : { name: 'sku', label: 'Product (SKU)', required: true, max: 64 },
      { name: 'quantity', label: 'Quantity', kind: 'number', value: 1, min: 1, required: true },
      session.may('staff') && { name: 'customer_id', label: 'Customer', value: 'customer-0001',
        required: true, max: 64 },
      { name: 'payment', label: 'Payment', kind: 'select', options: PAYMENTS },
      { name: 'note', label: 'Note', max: 500 },
    ].filter(Boolean),
    verb: 'Place it',
    run: async ({ sku, quantity, payment, note, customer_id }) => {
      const [method, token] = payment.split(' ');
      const order = await post('/v1/orders', {
        customer_id, note: note || undefined, items: [{ sku, quantity: Number(quantity) }],
        payment: { method, token },
      });
      return order.id;
    },
  });
  if (id) go(`orders/${id}`);
}
