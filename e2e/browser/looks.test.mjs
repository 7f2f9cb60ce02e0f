// Every page at both widths and in both themes: accessible, without a fault, within its width; and
// a journey by keyboard alone.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import {
  NARROW, PATIENCE_MS, WIDE, api, launch, press, shoot, signedIn, tooWide, until, violations, visit,
} from './browser.mjs';

let browser;
const pages = [
  ['orders', '#/orders'], ['problems', '#/orders?only=problems'],
  ['sagas', '#/sagas?state=completed'], ['stuck', '#/sagas'],
  ['notifications', '#/notifications'], ['webhooks', '#/webhooks'],
  ['parked', '#/parked'], ['consumers', '#/consumers'], ['pipeline', '#/pipeline'],
  ['health', '#/health'], ['audit', '#/audit'], ['sign-in', '#/sign-in'], ['nowhere', '#/nowhere'],
];

/** An order that has come to its end. */
async function ended(payment) {
  const order = await api('POST', '/v1/orders', {
    customer_id: 'customer-0002', items: [{ sku: 'product-00007', quantity: 2 }], payment,
  });
  const late = Date.now() + PATIENCE_MS;
  while (Date.now() < late) {
    const saga = await api('GET', `/v1/orders/${order.id}/saga`);
    if (saga.expected === null && saga.status !== 'started') return order.id;
  }
  return assert.fail(`the order ${order.id} has not ended within ${PATIENCE_MS} ms`);
}

before(async () => {
  browser = await launch();
  const { items } = await api('GET', '/v1/webhooks');
  const url = 'http://127.0.0.1:9/hook';
  const hook = items.find((it) => it.url === url)
    ?? await api('POST', '/v1/webhooks', { url, events: ['OrderConfirmed'] }).catch(() => null);
  const happy = await ended({ method: 'card', token: 'tok_visa' });
  const declined = await ended({ method: 'card', token: 'tok_declined' });
  pages.push(['order', `#/orders/${happy}`], ['declined', `#/orders/${declined}`],
    ['told', `#/notifications?order_id=${happy}`]);
  if (hook) pages.push(['webhook', `#/webhooks/${hook.id}`]);
});
after(() => browser?.close());

for (const [width, size] of [['wide', WIDE], ['narrow', NARROW]]) {
  for (const scheme of ['light', 'dark']) {
    test(`every page is accessible and fits: ${width}, ${scheme}`, async (context) => {
      const tab = await signedIn(browser, { size, scheme });
      for (const [name, hash] of pages) {
        await context.test(name, () => look(tab, { name, hash, width, scheme }));
      }
      await tab.close();
    });
  }
}

async function look({ page, faults }, { name, hash, width, scheme }) {
  await visit(page, hash);
  await shoot(page, `${name}-${width}-${scheme}`);
  assert.deepEqual(await violations(page), [], 'axe-core finds nothing');
  assert.deepEqual(await tooWide(page), [], 'nothing is wider than its room');
  assert.deepEqual(faults.splice(0), [], 'no error, exception or violation of the policy');
}

test('open parts are accessible, too: an event, a dialog, the menu', async () => {
  for (const size of [WIDE, NARROW]) {
    const { page, faults, close } = await signedIn(browser, { size });
    const [, hash] = pages.find(([name]) => name === 'order');
    await visit(page, hash);
    await press(page, 'Open all');
    await shoot(page, `opened-${size.width}`);
    assert.deepEqual(await violations(page), []);
    assert.deepEqual(await tooWide(page), []);
    await press(page, 'Cancel the order…');
    await page.waitForSelector('dialog[open]');
    await shoot(page, `dialog-${size.width}`, false);
    assert.deepEqual(await violations(page), []);
    await page.keyboard.press('Escape');
    if (size === NARROW) {
      await press(page, 'Menu');
      await shoot(page, 'menu-360', false);
      assert.deepEqual(await violations(page), []);
    }
    assert.deepEqual(faults, []);
    await close();
  }
});

/** Tabs until an element that fits has the focus, as somebody without a mouse does. */
async function tabTo(page, selector, most = 80) {
  for (let n = 0; n < most; n += 1) {
    await page.keyboard.press('Tab');
    const { fits, seen } = await page.evaluate((it) => {
      const element = document.activeElement;
      const { outlineStyle } = getComputedStyle(element);
      return { fits: element.matches(it), seen: outlineStyle !== 'none' };
    }, selector);
    if (fits) return assert(seen, `the focus on ${selector} can be seen`);
  }
  return assert.fail(`${selector} is not reached by ${most} tabs`);
}

test('an order is placed, read and cancelled by keyboard alone', async () => {
  const { page, faults, close } = await signedIn(browser);
  await page.waitForSelector('[data-ending]');
  await tabTo(page, '#skip');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement.tagName), 'H1');
  await tabTo(page, '[data-ending="Pay later"]');
  await page.keyboard.press('Enter');
  await until(page, '.room-status .pill', 'Payment pending');
  await page.waitForFunction(() => document.activeElement.tagName === 'H1');
  await tabTo(page, '.timeline summary');
  await page.keyboard.press('Enter');
  await page.waitForSelector('.timeline details[open] .content');
  await tabTo(page, '.doable .danger');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open] [name="reason"]:focus');
  await page.keyboard.press('Escape');
  await page.waitForSelector('.doable .danger:focus');
  await page.keyboard.press('Enter');
  await page.waitForSelector('dialog[open] [name="reason"]:focus');
  await page.keyboard.type('by keyboard');
  await page.keyboard.press('Enter');
  await until(page, '.room-status .pill', 'Cancelled');
  assert.deepEqual(faults, []);
  await close();
});
