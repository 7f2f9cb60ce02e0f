// What the console computes, without a browser.

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { duration, micros } from '../../gateway/console/format.js';
import { follow, parser } from '../../gateway/console/stream.js';
import { rails } from '../../gateway/console/timeline.js';
import { ordered } from '../../gateway/console/trace.js';

test('a stream may be cut anywhere', () => {
  const whole = 'event: order\r\nid: 3\r\ndata: {"a":\r\ndata: 1}\r\n\r\n: silence\n\ndata:b\n\n';
  const wanted = [{ event: 'order', id: '3', data: '{"a":\n1}' }, { event: 'message', data: 'b' }];
  for (let at = 0; at <= whole.length; at += 1) {
    const seen = [];
    const read = parser((event) => seen.push(event));
    read(whole.slice(0, at));
    read(whole.slice(at));
    assert.deepEqual(seen, wanted, `cut at ${at}`);
  }
});

test('a stream that breaks goes on after the last event', async (context) => {
  const asked = [];
  const answers = ['event: order\nid: 1\ndata: one\n\n', 'event: order\nid: 2\ndata: two\n\n'];
  context.mock.method(globalThis, 'fetch', async (path, { headers }) => {
    asked.push(headers['last-event-id']);
    return new Response(answers.shift());
  });
  const seen = [];
  const states = [];
  await follow('/v1/orders/x/stream', {
    signal: new AbortController().signal,
    onEvent: ({ data }) => seen.push(data),
    onState: (it) => states.push(it),
    isOver: () => seen.length === 2,
  });
  assert.deepEqual(asked, [undefined, '1']);
  assert.deepEqual(seen, ['one', 'two']);
  assert.deepEqual(states, ['connecting', 'live', 'waiting', 'connecting', 'live', 'over']);
});

const event = (name, at, data = {}) =>
  ({ id: name + at, type: `shop.orders.v1.${name}`, at: `2026-11-20T10:00:00.${at}Z`, data });

test('from the cancellation on, events stand on the way back', () => {
  const seen = rails([
    event('OrderPlaced', '000100'),
    event('OrderAmended', '000200', { cause: 'stock_rejected' }),
    event('PaymentDeclined', '001700'),
    event('OrderCancelled', '001650'),
    event('StockReleased', '002000'),
  ]);
  assert.deepEqual(seen.map((it) => it.rail), ['main', 'aside', 'main', 'undo', 'undo']);
  assert.deepEqual(seen.map((it) => it.isFork), [false, false, false, true, false]);
  assert.deepEqual(seen.map((it) => it.gap), [null, 100, 1500, -50, 350]);
});

test('durations are short at every size', () => {
  const of = [[0, '0 ms'], [40, '0.04 ms'], [3210, '3.2 ms'], [123_456, '123 ms'],
    [-2000, '−2.0 ms'], [3_210_000, '3.21 s'], [61_000_000, '1 min 1 s'],
    [3_600_000_000, '1 h'], [90_061_000_000, '1 d 1 h']];
  for (const [us, words] of of) assert.equal(duration(us), words);
  assert.equal(micros('2026-11-20T10:00:00.000001Z') - micros('2026-11-20T10:00:00Z'), 1);
});

test('spans are in the order of the tree, and orphans are not lost', () => {
  const span = (id, parent, at) =>
    ({ span_id: id, parent_span_id: parent, started_at: `2026-11-20T10:00:00.00000${at}Z` });
  const seen = ordered([
    span('d', 'gone', 9), span('c', 'a', 3), span('b', 'a', 2), span('a', null, 1),
    span('e', 'b', 4),
  ]);
  assert.deepEqual(seen.map(({ span: it, depth }) => it.span_id + depth),
    ['a0', 'b1', 'e2', 'c1', 'd0']);
});
