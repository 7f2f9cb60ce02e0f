// What belongs to an order, beside its timeline: lines, payment, stock, notifications.

import { h } from './dom.js';
import { ago, count, money, moment, plain } from './format.js';
import { because } from './story.js';
import { card, facts, pill, problem } from './ui.js';

export function summary(order) {
  const { cancellation, shipment } = order;
  return card('Order',
    h('ul', { class: 'lines' }, order.items.map((it) => h('li', {},
      h('span', { class: 'what' }, `${it.quantity} × ${it.name}`,
        it.sku && [' ', h('span', { class: 'fine mono' }, it.sku)]),
      h('span', { class: 'num' }, money(it.total))))),
    facts([
      ['Total', h('strong', {}, money(order.total_amount))],
      ['Customer', h('span', { class: 'break' }, order.customer_id)],
      ['Paid by', order.payment?.method],
      ['Placed', [moment(order.created_at), ' · ', ago(order.created_at)]],
      ['Revision', [order.revision, order.amendment && plain(order.amendment)].filter(Boolean)
        .join(', ')],
      ['Cancelled', cancellation && [because(plain(cancellation.reason), cancellation.detail),
        cancellation.by && `, by ${cancellation.by}`]],
      ['Shipped', shipment && [`${shipment.carrier} ${shipment.tracking_number}, `,
        moment(shipment.shipped_at)]],
      ['Delivered', shipment?.delivered_at && moment(shipment.delivered_at)],
      ['Note', order.note],
    ]));
}

export function belongings({ payments, reservations, notifications }) {
  const parts = [
    part('Payment', payments, payment),
    part('Stock', reservations, reservation),
    part('Notifications', notifications, notification),
  ].filter(Boolean);
  return parts.length > 0 && h('div', { class: 'card parts' }, parts);
}

function part(name, { items, error }, show) {
  if (error) return h('section', {}, h('h2', {}, name), problem(error, { quiet: true }));
  return items.length > 0 && h('section', {}, h('h2', {}, name), items.map(show));
}

function payment(it) {
  return h('div', { class: 'thing' },
    h('p', {}, pill(it.status), ' ', money(it.amount), ' by ', it.method),
    facts([
      ['Card', it.card && `${it.card.brand} …${it.card.last4}`],
      ['Provider', it.provider],
      ['Declined', it.decline && because(plain(it.decline.code), it.decline.detail)],
      ['Given back', Number(it.refunded.amount) > 0 && money(it.refunded)],
    ]));
}

function reservation(it) {
  return h('div', { class: 'thing' },
    h('p', {}, pill(it.status)),
    h('ul', { class: 'lines' }, it.items.map((item) => h('li', {},
      h('span', { class: 'what' }, `${item.quantity} × ${item.sku}`),
      h('span', { class: 'fine' }, item.warehouse)))),
    it.expires_at && facts([['Held until', [moment(it.expires_at), ' · ', ago(it.expires_at)]]]));
}

function notification(it) {
  return h('div', { class: 'thing' },
    h('p', {}, pill(it.status), ' ', it.template ? plain(it.template) : 'a letter of staff',
      ' by ', it.channel),
    h('p', { class: 'fine break' }, [it.to && `to ${it.to}`, count(it.attempts, 'attempt'),
      it.failure && plain(it.failure), it.detail].filter(Boolean).join(' · ')));
}
