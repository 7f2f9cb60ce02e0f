// The words and colours of states, events and steps.

const TONES = {
  ok: ['confirmed', 'delivered', 'shipped', 'completed', 'captured', 'sold', 'sent', 'delivered',
    'enabled', 'reading', 'publishing', 'healthy', 'released', 'ended'],
  busy: ['pending', 'started', 'processing', 'queued', 'sending', 'running', 'held', 'waiting',
    'payment_pending', 'paid'],
  bad: ['failed', 'declined', 'stopped', 'unhealthy', 'disabled', 'unreachable'],
  warn: ['late', 'paused', 'parked', 'changed'],
  undo: ['compensating', 'compensated', 'refunded', 'partially_refunded', 'voided', 'cancelled'],
};

/** The colour in which a state is shown; it always stands beside the word. */
export function tone(state) {
  return Object.keys(TONES).find((it) => TONES[it].includes(state)) ?? 'calm';
}

export const service = (source) => (source ?? '').replace('/shop/', '');

/** `shop.orders.v1.OrderPlaced` as `OrderPlaced`, and its topic. */
export const eventName = (type) => type.split('.').at(-1);
export const eventTopic = (type) => type.split('.').slice(0, -1).join('.');

const STEPS = {
  inventory_reserved: { done: 'Stock reserved', awaited: 'reservation' },
  payment_processed: { done: 'Paid', awaited: 'payment' },
  order_confirmed: { done: 'Confirmed', awaited: 'confirmation' },
  notification_sent: { done: 'Customer told', awaited: 'notification' },
  inventory_released: { done: 'Stock released', awaited: 'release of the stock' },
  payment_undone: { done: 'Payment undone', awaited: 'answer about the money' },
};

/** A step as what is done, and as what is waited for. */
export const stepName = (step) => STEPS[step]?.done ?? step.replaceAll('_', ' ');
export const awaited = (step) => STEPS[step]?.awaited ?? step.replaceAll('_', ' ');

/** What is good, bad or taken back about an event; the rest is calm. */
export function eventTone(name, data) {
  if (['OrderConfirmed', 'OrderDelivered', 'OrderShipped'].includes(name)) return 'ok';
  if (['StockRejected', 'PaymentDeclined', 'RefundRefused', 'NotificationFailed',
    'ReservationExpired'].includes(name)) return 'bad';
  if (['OrderCancelled', 'StockReleased', 'PaymentVoided', 'PaymentRefunded'].includes(name)) {
    return 'undo';
  }
  return undoesAmendment(name, data) ? 'undo' : 'calm';
}

/** Whether an amendment only brings back the lines of an earlier revision. */
export const undoesAmendment = (name, data) =>
  name === 'OrderAmended' && ['stock_rejected', 'captured_first'].includes(data?.cause);

/** Why a key is parked, and what helps: the runbook's table. */
export const CLASSES = {
  undecodable: {
    why: 'Its bytes are not what its header promises.',
    helps: 'Mend the sender; then replace the message, else discard it.',
  },
  no_envelope: {
    why: 'ce_id, ce_type or ce_version is missing or unusable.',
    helps: 'Replace it with type and version as the source’s outbox has them; '
      + 'a stranger’s message: discard it.',
  },
  out_of_range: {
    why: 'It is older than the inbox remembers, and was never heard of.',
    helps: 'Release it, if it is true.',
  },
  refused_by_database: {
    why: 'The database refuses what it leads to.',
    helps: 'Read the reason, mend the cause, then release it.',
  },
  unknown_event: {
    why: 'This build does not know the event’s type.',
    helps: 'Nothing: it is handled by itself once a build that knows it runs.',
  },
};

/** What a stopped partition's reason means. */
export function whatHappened(reason = '') {
  if (reason.startsWith('messages that were not read are gone')) {
    return 'Retention or deleteRecords removed what was not read yet.';
  }
  if (reason.startsWith('the group’s offset') || reason.startsWith("the group's offset")) {
    return 'The topic was cut, or deleted and made anew, and is shorter now.';
  }
  if (reason.startsWith('the topic was made anew')) {
    return 'The message that was applied last is not there any more.';
  }
  return 'Going on by itself would skip messages in silence.';
}

/** Who can do what needs `role`, for somebody who cannot. */
export const ROLE_WORDS = {
  customer: 'is for customers, about their own orders',
  staff: 'is for staff, who act for every customer',
  operator: 'is for operators, who see and move what has stopped',
};
