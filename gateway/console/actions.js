// What the caller may do to an order now, each with its confirmation.

import { path, post, send } from './api.js';
import { ask } from './dialog.js';
import { money, plain } from './format.js';
import { session } from './session.js';
import { button, tell } from './ui.js';
import { h, sync } from './dom.js';

/** What may be done to an order and its payment now, by name. */
export const offered = (order, payment) =>
  OFFERS.filter(({ who, when }) => session.may(...who) && when(order, payment))
    .map((it) => it.name);

/**
 * The buttons, and `show` for those of some names. What each is about is asked for when it is
 * pressed: a button that stays is never made anew, under the person's finger.
 */
export function actions(about, done) {
  const row = h('div', { class: 'buttons start' });
  const node = h('section', { class: 'card doable' }, h('h2', {}, 'Actions'), row);
  const make = (wanted) => {
    const { run, danger } = OFFERS.find(({ name }) => name === wanted);
    return button(wanted, async () => {
      const { order, payments } = about();
      const said = await run(order, payments.items?.[0]);
      if (said) tell(said);
      done();
    }, { class: danger ? 'danger outline' : '' });
  };
  const show = (names) => {
    node.hidden = names.length === 0;
    sync(row, names, (it) => it, make);
  };
  return { node, show };
}

const OFFERS = [
  {
    name: 'Pay…',
    who: ['customer', 'staff'],
    when: (order) => order.status === 'payment_pending' && order.payment?.method === 'deferred',
    run: pay,
  },
  { name: 'Ship…', who: ['staff'], when: (order) => order.status === 'confirmed', run: ship },
  { name: 'Delivered…', who: ['staff'], when: (order) => order.status === 'shipped', run: deliver },
  {
    name: 'Give money back…',
    who: ['staff'],
    when: (order, payment) => order.status !== 'cancelled'
      && ['captured', 'partially_refunded'].includes(payment?.status),
    run: refund,
  },
  {
    name: 'Cancel the order…',
    who: ['customer', 'staff'],
    danger: true,
    when: (order) => ['pending', 'payment_pending', 'paid', 'confirmed'].includes(order.status),
    run: cancel,
  },
];

function cancel(order) {
  return ask({
    name: 'Cancel this order?',
    about: order.status === 'confirmed'
      ? 'It is confirmed: the goods go back on the shelf and the money goes back to the customer. '
        + 'A cancelled order stays so.'
      : 'What is reserved goes back, and nothing is charged. A cancelled order stays so.',
    fields: [{ name: 'reason', label: 'Reason', max: 200, hint: 'It is kept with the order.' }],
    verb: 'Cancel the order',
    danger: true,
    run: async ({ reason }) => {
      await post(path('orders', order.id, 'cancel'), reason ? { reason } : {});
      return 'The order is cancelled.';
    },
  });
}

const INSTRUMENTS = [
  ['card tok_visa', 'card tok_visa: captured'],
  ['card tok_declined', 'card tok_declined: declined, which ends the order'],
  ['card tok_insufficient', 'card tok_insufficient: insufficient funds, which ends the order'],
  ['card tok_slow', 'card tok_slow: captured after 3 s'],
  ['wallet', 'wallet: the customer’s account'],
];

function pay(order) {
  return ask({
    name: `Pay ${money(order.total_amount)}`,
    fields: [{ name: 'with', label: 'With', kind: 'select', options: INSTRUMENTS }],
    verb: 'Pay',
    run: async (chosen) => {
      const [type, token] = chosen.with.split(' ');
      // Who names the amount pays that amount or nothing, whatever was amended meanwhile.
      const body = {
        order_id: order.id, amount: order.total_amount, payment_method: { type, token },
      };
      try {
        const answer = await send('POST', '/v1/payments', { body });
        return answer.status === 202 ? 'The payment is under way.' : 'It is paid.';
      } catch (error) {
        // The payment was made and declined: there is nothing to try again here.
        if (error.code !== 'payment_declined') throw error;
        return `Declined: ${plain(error.body.payment?.decline?.code)}.`;
      }
    },
  });
}

function ship(order) {
  return ask({
    name: 'Ship this order',
    about: 'From then on it cannot be cancelled.',
    fields: [
      { name: 'carrier', label: 'Carrier', value: 'post', required: true, max: 200 },
      { name: 'tracking_number', label: 'Tracking number', value: 'RR123456785', required: true,
        max: 200 },
    ],
    verb: 'Ship it',
    run: async (shipment) => {
      await post(path('orders', order.id, 'ship'), shipment);
      return 'The order is shipped.';
    },
  });
}

function deliver(order) {
  return ask({
    name: 'Has it arrived?',
    about: 'The order ends with that.',
    verb: 'It has arrived',
    run: async () => {
      await post(path('orders', order.id, 'deliver'));
      return 'The order is delivered.';
    },
  });
}

function refund(order, payment) {
  return ask({
    name: 'Give money back',
    about: `${money(payment.amount)} were captured, ${money(payment.refunded)} have gone back. `
      + 'The order goes on.',
    fields: [{ name: 'amount', label: `Amount in ${payment.amount.currency}`, inputmode: 'decimal',
      hint: 'Left empty, it is all that is left.' }],
    verb: 'Give it back',
    danger: true,
    run: async ({ amount }) => {
      const body = amount ? { amount } : {};
      const answer = await send('POST', path('payments', payment.id, 'refund'), { body });
      return answer.status === 202 ? 'The refund is under way.' : 'The money went back.';
    },
  });
}
