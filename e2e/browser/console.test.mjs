// The console as a person uses it, against a running shop that `shop seed` has filled.
//
// CONSOLE_URL is the gateway's address, CONSOLE_TOKEN a token with the roles staff and operator.
// Optional: CHROMIUM (the program), SHOTS_DIR (where pictures go), PARKED_KEY (a key that is parked
// and can be released, as `service/topic/key`), PARK_COMMAND (what parks one and prints it so).

import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { after, afterEach, before, test } from 'node:test';
import { promisify } from 'node:util';

import {
  api, launch, press, settled, signedIn, text, until, visit,
} from './browser.mjs';

let browser;
/** The tabs of one test: none may have a fault at its end. */
let tabs = [];

before(async () => { browser = await launch(); });
after(() => browser?.close());

afterEach(async () => {
  const faults = tabs.flatMap((tab) => tab.faults);
  await Promise.all(tabs.map((tab) => tab.close()));
  tabs = [];
  assert.deepEqual(faults, [], 'no error, exception or violation of the policy');
});

async function enter(options) {
  const tab = await signedIn(browser, options);
  tabs.push(tab);
  return tab;
}

const STATUS = '.room-status .pill';
const SAGA = '.next .pill';

/** Presses the button of an ending; returns the order's id once its page stands. */
async function place(page, ending) {
  await visit(page, '#/orders');
  await page.click(`[data-ending="${ending}"]`);
  await page.waitForSelector(STATUS);
  return page.evaluate(() => location.hash.split('/').at(-1));
}

/** The events of the timeline, with the rail on which each stands. */
const events = (page) => page.$$eval('.timeline [data-event]', (rows) =>
  rows.map((it) => `${it.dataset.event} ${it.dataset.rail}`));

const untilEvent = (page, name) => page.waitForSelector(`.timeline [data-event="${name}"]`);

test('an order is watched to its confirmation without a reload', async () => {
  const { page } = await enter();
  await settled(page, '#/orders');
  await page.evaluate(() => { window.stillTheSame = true; });
  const streams = [];
  page.on('request', (it) => it.url().endsWith('/stream') && streams.push(it.url()));
  const id = await place(page, 'One that succeeds');
  await until(page, STATUS, 'Confirmed');
  await until(page, SAGA, 'Completed');
  await untilEvent(page, 'NotificationSent');
  const seen = await events(page);
  for (const name of ['OrderPlaced', 'StockReserved', 'PaymentCaptured', 'OrderConfirmed']) {
    assert.equal(seen.filter((it) => it === `${name} main`).length, 1, `${name}, once: ${seen}`);
  }
  assert(await page.evaluate(() => window.stillTheSame), 'the page was not loaded anew');
  assert.equal(await page.$$eval('.step[data-state="completed"]', (it) => it.length), 4);
  await until(page, '.live-state', 'Live');
  assert.equal(streams.length, 1, 'one stream told it all');
  assert.equal((await api('GET', `/v1/orders/${id}`)).status, 'confirmed');
});

test('what is taken back after a decline branches off', async () => {
  const { page } = await enter();
  await place(page, 'Declined');
  await until(page, STATUS, 'Cancelled');
  await until(page, SAGA, 'Compensated');
  await untilEvent(page, 'StockReleased');
  await untilEvent(page, 'PaymentVoided');
  const seen = await events(page);
  assert(seen.includes('PaymentDeclined main'), seen);
  for (const name of ['OrderCancelled', 'StockReleased', 'PaymentVoided']) {
    assert(seen.includes(`${name} undo`), `${name} stands on the way back: ${seen}`);
  }
  const dot = (name) => page.$eval(`[data-event="${name}"] .rail`, (it) =>
    parseFloat(getComputedStyle(it, '::after').left));
  assert(await dot('StockReleased') > await dot('OrderPlaced') + 10, 'and is drawn beside it');
  assert.equal(await page.$$eval('.event.fork', (it) => it.length), 1);
  await until(page, '.live-state', 'Ended');
});

test('a refusal at once is told in the words of the API', async () => {
  const { page } = await enter({ mayFail: [/^\/v1\/orders$/] });
  await visit(page, '#/orders');
  await page.click('[data-ending="Sold out"]');
  await page.waitForSelector('.placing .problem');
  const said = await text(page, '.placing .problem');
  assert.match(said, /insufficient inventory: 1 of sold-out wanted, 0 available/);
  assert.match(said, /409 insufficient_inventory/);
  assert.match(said, /trace [0-9a-f]{32}/);
});

test('an order is paid later, then cancelled, and its money goes back', async () => {
  const { page } = await enter();
  await place(page, 'Pay later');
  await until(page, STATUS, 'Payment pending');
  const expected = /Expected next: payment from payment-svc, by .*in 1\d min/;
  assert.match(await text(page, '.expected'), expected);
  await until(page, '.live-state', 'Live');
  await press(page, 'Pay…');
  await press(page, 'Pay');
  await until(page, STATUS, 'Confirmed');
  // The gateway, which follows the order, has seen the payment in Kafka.
  await page.waitForFunction((it) => [...document.querySelectorAll(it)]
    .some((fact) => fact.textContent === 'Offset'), {}, '[data-event="PaymentCaptured"] dt');
  await press(page, 'Cancel the order…');
  await page.type('dialog [name="reason"]', 'changed my mind');
  await press(page, 'Cancel the order');
  await until(page, STATUS, 'Cancelled');
  await untilEvent(page, 'PaymentRefunded');
  await untilEvent(page, 'StockReleased');
  await until(page, SAGA, 'Compensated');
  assert.match(await text(page, '.room-summary'), /changed my mind/);
});

test('the list finds orders by their filter, and problems by themselves', async () => {
  const { page } = await enter();
  await place(page, 'Declined');
  await until(page, STATUS, 'Cancelled');
  await visit(page, '#/orders');
  await page.select('[name="status"]', 'cancelled');
  await page.click('#apply');
  await page.waitForFunction(() => location.hash.includes('status=cancelled'));
  await page.waitForSelector('tbody tr');
  const shown = await page.$$eval('tbody tr .pill', (rows) => rows.map((it) => it.textContent));
  assert.deepEqual([...new Set(shown)], ['Cancelled']);
  await visit(page, '#/orders?only=problems');
  await page.waitForSelector('tbody tr');
  assert.match(await text(page, 'tbody'), /Payment declined/);
});

test('a page that is left while it loads has nothing to say', async () => {
  const { page } = await enter();
  const id = await place(page, 'One that succeeds');
  await until(page, STATUS, 'Confirmed');
  await visit(page, '#/orders');
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    // What belongs to the order is asked for, and never answered.
    if (!new URL(request.url()).searchParams.has('order_id')) request.continue();
  });
  const answers = ['', '/saga', '/events'].map((part) =>
    page.waitForResponse((it) => new URL(it.url()).pathname === `/v1/orders/${id}${part}`));
  await page.evaluate((to) => { location.hash = to; }, `#/orders/${id}`);
  await Promise.all(answers.map(async (answer) => (await answer).text()));
  await visit(page, '#/orders');
});

const LISTED = { service: 'order-svc', topic: 'shop.stock.v1', messages: 3, class: 'undecodable',
  since: '2026-11-20T10:00:00.000000Z', reason: 'its bytes are none of ours' };
const KEYS = ['01932c1e-7a4b-7c3d-9e5f-0123456789ab', '01932c1e-7a4b-7c3d-9e5f-0123456789ac']
  .map((key) => ({ ...LISTED, key, order_id: key }));

test('a bulk release counts first and needs a reason', async () => {
  const { page } = await enter();
  const sent = [];
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const answer = (body) => request.respond({
      contentType: 'application/json', body: JSON.stringify(body),
    });
    const { pathname } = new URL(request.url());
    if (pathname === '/v1/parked') return answer({ items: KEYS, next_cursor: null });
    if (pathname !== '/v1/parked/bulk') return request.continue();
    sent.push(JSON.parse(request.postData()));
    return answer({ keys: 2, messages: 6, has_more: false });
  });
  await visit(page, '#/parked');
  await page.waitForSelector('[data-class="undecodable"] tbody tr');
  assert.equal(await page.$$eval('[data-class] tbody tr', (it) => it.length), 2);
  await press(page, 'Release all…');
  await until(page, '.counted', '2 keys with 6 messages.');
  await press(page, 'Release');
  assert(await page.$('dialog[open]'), 'the dialog stays open');
  assert.equal(await page.$eval('dialog [name="reason"]', (it) => it.validity.valueMissing), true);
  const filter = { service: 'order-svc', class: 'undecodable' };
  assert.deepEqual(sent, [{ action: 'release', filter }], 'it was only counted');
  await page.keyboard.press('Escape');
  await page.waitForSelector('dialog', { hidden: true });
  await press(page, 'Discard…');
  await press(page, 'Discard');
  assert.equal(await page.$eval('dialog [name="reason"]', (it) => it.validity.valueMissing), true);
});

test('parked keys are listed, and one is released', async (context) => {
  const { page } = await enter();
  await visit(page, '#/parked');
  await page.waitForSelector('.group, .empty');
  const key = process.env.PARKED_KEY ?? await parkOne();
  if (!key) return context.diagnostic('no PARKED_KEY and no PARK_COMMAND: nothing was released');
  const address = `#/parked/${key.split('/').map(encodeURIComponent).join('/')}`;
  const row = `tbody tr:has(a[href="${address}"])`;
  await page.waitForSelector(row);
  await visit(page, address);
  await page.waitForSelector('.messages .card');
  await visit(page, '#/parked');
  await (await page.waitForSelector(`${row} button`)).click();
  await press(page, 'Release');
  await page.waitForSelector(row, { hidden: true });
  return page.waitForSelector('.toast');
});

async function parkOne() {
  if (!process.env.PARK_COMMAND) return null;
  const { stdout } = await promisify(execFile)('sh', ['-c', process.env.PARK_COMMAND]);
  return stdout.trim().split('\n').at(-1);
}
