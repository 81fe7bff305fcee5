// Opens the page of `caster web` in headless Chromium and does what a person would.
//
//     node page.mjs PLAYWRIGHT CHROMIUM SCENARIO URL [FILE]
//
// Prints one JSON object. FILE is a PNG to write.

import { createRequire } from "node:module";

const [playwright, executablePath, scenario, url, file] = process.argv.slice(2);
const { chromium } = createRequire(import.meta.url)(playwright);
const args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--host-resolver-rules=MAP evil.example 127.0.0.1"];
const browser = await chromium.launch({ executablePath, args });
const timeout = 60_000;
const problems = [];
const result = { problems };

async function open(options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => { if (message.type() === "error") problems.push(message.text()); });
  page.on("pageerror", (error) => problems.push(String(error)));
  page.on("dialog", (dialog) => { problems.push(`dialog ${dialog.message()}`); dialog.dismiss(); });
  page.on("request", (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith("data:")) problems.push(request.url());
  });
  await page.goto(url);
  await page.waitForSelector(".node", { timeout });
  return page;
}

const count = (page, selector) => page.locator(selector).count();
const waitFor = (page, test, value) => page.waitForFunction(test, value, { timeout });

const scenarios = {
  /** Three nodes: web, db and one whose id is HTML. */
  async keyboard() {
    const page = await open();
    await waitFor(page, () => document.querySelectorAll(".node.alive").length === 3);
    result.names = await page.locator(".node").allTextContents();
    result.counts = await page.textContent("#counts");
    for (let presses = 0; presses < 10; presses += 1) {
      await page.keyboard.press("Tab");
      if (await page.evaluate(() => document.activeElement.classList.contains("node"))) break;
    }
    await page.keyboard.press("Home");
    await page.keyboard.press("ArrowRight");
    result.selected = await page.evaluate(() => document.activeElement.dataset.id);
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("End");
    result.last = await page.evaluate(() => document.activeElement.dataset.id);
    await page.keyboard.press("Enter");
    await waitFor(page, () => document.querySelector("#meta").textContent.includes("8080"));
    result.details = await page.textContent("#details");
    await page.keyboard.press("Escape");
    result.closed = await page.locator("#details").isHidden();
    result.focus = await page.evaluate(() => document.activeElement.dataset.id);
    await page.keyboard.press("/");
    await page.keyboard.type("TYPE\":\"DB");
    await waitFor(page, () => document.querySelectorAll(".node.hidden").length === 2);
    await page.keyboard.press("Enter");
    result.found = await page.evaluate(() => document.activeElement.dataset.id);
    await page.keyboard.press("t");
    result.themed = await page.evaluate(() => document.documentElement.className);
    if (file) await page.screenshot({ path: file });
  },

  async themes() {
    const background = (page) => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    result.light = await background(await open({ colorScheme: "light" }));
    result.dark = await background(await open({ colorScheme: "dark" }));
  },

  /** The node `dies` is killed by the test when this prints `ready`. */
  async death() {
    const page = await open();
    await page.waitForSelector('.node.alive[data-id="dies"]', { timeout });
    await page.evaluate(() => {
      const node = document.querySelector('[data-id="dies"]');
      window.seen = [];
      const note = () => {
        const state = node.className.split(" ")[1];
        const { borderLeftColor } = getComputedStyle(node);
        if (window.seen.at(-1)?.state !== state) window.seen.push({ state, colour: borderLeftColor });
      };
      note();
      new MutationObserver(note).observe(node, { attributes: true });
    });
    console.log("ready");
    await page.waitForSelector('.node.down[data-id="dies"]', { timeout });
    const opacity = () => page.evaluate(() => Number(getComputedStyle(document.querySelector('[data-id="dies"]')).opacity));
    const before = await opacity();
    await page.waitForTimeout(3_000);
    result.fades = (await opacity()) < before;
    result.seen = await page.evaluate(() => window.seen);
    result.bars = [await count(page, "#timeline .up"), await count(page, "#timeline .down")];
    result.events = await page.textContent("#events li.down");
    await page.waitForSelector('[data-id="dies"]', { state: "detached", timeout });
    result.forgotten = true;
  },

  /** A thousand nodes. */
  async many() {
    const page = await open();
    await waitFor(page, () => document.querySelectorAll(".node").length >= 1_000);
    result.hosts = await count(page, ".host");
    result.slowest = await page.evaluate(async () => {
      let slowest = 0;
      for (let frames = 0; frames < 60; frames += 1) {
        const started = performance.now();
        await new Promise((done) => { setTimeout(done, 50); });
        slowest = Math.max(slowest, performance.now() - started - 50);
      }
      return slowest;
    });
    await page.locator(".node").nth(500).click();
    await page.waitForSelector("#details:not([hidden])", { timeout });
    result.wide = await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    if (file) await page.screenshot({ path: file });
  },

  /** For the README: a node is selected. */
  async picture() {
    const page = await open({ viewport: { width: 1000, height: 560 }, colorScheme: "dark" });
    await page.waitForSelector(".node.down", { timeout });
    await page.locator('.node[data-id="db"]').click();
    await waitFor(page, () => document.querySelector("#meta").textContent.includes("port"));
    await page.screenshot({ path: file });
  },

  /** Another name for this host, and a page of another origin. */
  async strangers() {
    const { port } = new URL(url);
    const context = await browser.newContext();
    const page = await context.newPage();
    result.rebound = (await page.goto(`http://evil.example:${port}/api/nodes`)).status();
    await page.goto("data:text/html,other");
    result.fetched = await page.evaluate(async (place) => {
      const look = async (mode) => {
        try {
          const answer = await fetch(place, { mode });
          return answer.type === "opaque" ? "opaque" : await answer.text();
        } catch (error) {
          return error.name;
        }
      };
      return [await look("cors"), await look("no-cors")];
    }, `${url}api/nodes`);
  },
};

try {
  await scenarios[scenario]();
  console.log(JSON.stringify(result));
} finally {
  await browser.close();
}
