// What an event or an order says, in the few words that are shown beside its name.

import { money, plain } from './format.js';

/** The main point of an event's content. */
export function gist(name, data = {}) {
  const about = GISTS[name];
  return about ? about(data ?? {}) : '';
}

const GISTS = {
  OrderPlaced: (it) => `${money(it.total)} for ${list(it.lines, line)}`,
  OrderAmended: (it) =>
    `${money(it.total)} for ${list(it.lines, line)}${it.cause ? `, ${plain(it.cause)}` : ''}`,
  OrderAwaitingPayment: (it) => `${money(it.amount)} to be paid by ${it.pay_by ?? ''}`,
  OrderConfirmed: (it) => money(it.total),
  OrderShipped: (it) => [it.carrier, it.tracking_number].filter(Boolean).join(' '),
  OrderDelivered: () => 'it has arrived',
  OrderCancelled: (it) => because(plain(it.reason), it.detail),
  StockReserved: (it) => list(it.lines, allocation),
  StockReleased: (it) => (it.lines?.length
    ? `${list(it.lines, allocation)} given back`
    : 'nothing was held'),
  StockRejected: (it) => list(it.missing, shortage),
  ReservationExpired: () => 'held for its time, and held on until the order ends',
  PaymentCaptured: (it) => `${money(it.amount)} by ${it.method}`,
  PaymentDeclined: (it) => because(plain(it.code), it.detail),
  PaymentVoided: () => 'no money to give back',
  PaymentRefunded: (it) =>
    `${money(it.amount)} given back${it.cause === 'staff' ? ' by staff' : ''}`,
  RefundRefused: (it) => because(money(it.amount), it.detail),
  NotificationSent: (it) => `${plain(it.template) || 'a letter of staff'} by ${it.channel}`,
  NotificationFailed: (it) => because(plain(it.template), plain(it.failure)),
};

/** A reason and, where it says more, its detail. */
export function because(what, detail) {
  if (detail && plain(detail).startsWith(what)) return plain(detail);
  return detail ? `${what}: ${plain(detail)}` : what;
}

function list(items, show) {
  if (!items?.length) return 'nothing';
  const shown = items.slice(0, 4).map(show);
  return [...shown, ...(items.length > 4 ? [`${items.length - 4} more`] : [])].join(', ');
}

const line = (it) => `${it.quantity} × ${it.name}`;
const allocation = (it) => `${it.quantity} × ${it.sku} in ${it.warehouse}`;
const shortage = (it) => `${it.wanted} × ${it.sku} wanted, ${it.available ?? 0} available`;

/** What was ordered, short enough for a list. */
export function lines(order) {
  const [first, ...others] = order.items;
  if (!first) return 'nothing';
  return line(first) + (others.length ? ` + ${others.length} more` : '');
}

/** How an order is paid. */
export const paidBy = ({ method }) => (method === 'deferred' ? 'paid later' : `by ${method}`);

/** What went wrong with an order that no one asked to end; null if nothing did. */
export function trouble(order) {
  const reason = order.cancellation?.reason;
  return !reason || reason.endsWith('_request') ? null : plain(reason);
}
