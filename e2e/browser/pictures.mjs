// The pictures of README: the page of an order that was taken back, and its trace.
//
// CONSOLE_URL, CONSOLE_TOKEN and CHROMIUM as for the tests; SHOTS_DIR is where the pictures go. The
// shop needs a Jaeger.

import { join } from 'node:path';

import {
  launch, signedIn, until, visit,
} from './browser.mjs';

/** As wide as README is shown, and twice as fine. */
const SIZE = { width: 880, height: 760, deviceScaleFactor: 2 };
const QUALITY = 50;
/** What is shown of the page around an element. */
const EDGE = 12;
/** The rows of a trace that show how it begins. */
const SPANS = 26;

const browser = await launch();
const { page } = await signedIn(browser, { size: SIZE });
await visit(page, '#/orders');
await page.click('[data-ending="Declined"]');
await until(page, '.next .pill', 'Compensated');
await page.waitForSelector('.timeline [data-event="PaymentVoided"]');
await page.waitForSelector('.timeline [data-event="StockReleased"]');
await until(page, '.live-state', 'Ended');
await shoot(await page.$('main'), 'order', { height: SIZE.height });
await page.waitForFunction((n) => document.querySelectorAll('.trace .span').length >= n, {}, SPANS);
await page.evaluate((n) => {
  [...document.querySelectorAll('.trace .span')].slice(n).forEach((it) => it.remove());
}, SPANS);
await shoot(await page.$('.trace'), 'trace');
await browser.close();

/** A small picture of an element, or of its upper part. */
async function shoot(element, name, part = {}) {
  const { x, y, width, height } = { ...await element.boundingBox(), ...part };
  const clip = {
    x: x - EDGE, y: y - EDGE, width: width + 2 * EDGE, height: height + EDGE,
  };
  await page.screenshot({
    path: join(process.env.SHOTS_DIR, `${name}.webp`), type: 'webp', quality: QUALITY, clip,
  });
}
