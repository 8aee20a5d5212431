// The page in Chromium. Started by `browser.rs`, which serves the Views and answers on standard input.
//
//   node browse.cjs CHROMIUM SMALL LARGE HOSTILE PICTURES
//
// It prints one line per check, `ok …` or `not ok …`, and `update` when it wants the small fleet to change. Pictures of
// both fleets, at the width of a desk and of a phone, light and dark, are left in PICTURES for people to look at.
"use strict";

const { chromium } = require("playwright-core");
const readline = require("node:readline");

const [executablePath, small, large, hostile, pictures] = process.argv.slice(2);
const answers = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
let failed = 0;

function check(good, what, more) {
  console.log((good ? "ok " : "not ok ") + what + (good || more === undefined ? "" : ": " + JSON.stringify(more)));
  if (!good) failed += 1;
}

// Nothing but the page itself lies wider than the window, and what scrolls is said to be for that.
async function overflow(page) {
  return page.evaluate(() => {
    const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
    const culprits = [...document.querySelectorAll("main *, header *, footer *")].filter((it) => {
      const box = it.getBoundingClientRect();
      return box.width > 0 && box.right > innerWidth + 1 && !it.closest(".scroll, pre, .skip, svg");
    });
    return { wide, culprits: culprits.slice(0, 3).map((it) => it.outerHTML.slice(0, 120)) };
  });
}

// Text against what lies behind it, as WCAG 2 reckons.
async function contrast(page) {
  return page.evaluate(() => {
    const parse = (text) => (text.match(/[\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
      const f = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
      return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
    };
    const behind = (it) => {
      for (let at = it; at; at = at.parentElement) {
        const colour = parse(getComputedStyle(at).backgroundColor);
        if (colour.length === 3 || colour[3] > 0.99) return colour;
      }
      return [255, 255, 255];
    };
    const poor = [];
    for (const it of document.querySelectorAll("body *")) {
      const own = [...it.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
      if (!own || it.closest("svg, .skip, .hidden") || !it.getClientRects().length) continue;
      const style = getComputedStyle(it);
      const [a, b] = [light(parse(style.color)), light(behind(it))].sort((x, y) => y - x);
      const ratio = (a + 0.05) / (b + 0.05);
      if (ratio < 4.5) poor.push([it.className || it.tagName, it.textContent.trim().slice(0, 30), ratio.toFixed(2)]);
    }
    return poor.slice(0, 5);
  });
}

async function looks(browser) {
  for (const [screen, viewport] of [["desk", DESK], ["phone", PHONE]]) {
    for (const colorScheme of ["light", "dark"]) {
      const context = await browser.newContext({ viewport, colorScheme, isMobile: screen === "phone", hasTouch: screen === "phone" });
      const page = await context.newPage();
      const errors = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
      for (const [name, url] of [
        ["3", small + "/"],
        ["3-deployment", small + "/deployments/PAI-TEST-01"],
        ["500", large + "/"],
        ["500-held", large + "/?show=held"],
      ]) {
        await page.goto(url, { waitUntil: "load" });
        await page.waitForTimeout(150);
        const found = await overflow(page);
        check(found.wide <= 0 && found.culprits.length === 0, `${name} ${screen} ${colorScheme}: nothing is cut off`, found);
        const poor = await contrast(page);
        check(poor.length === 0, `${name} ${screen} ${colorScheme}: every text can be read`, poor);
        await page.screenshot({ path: `${pictures}/${name}-${screen}-${colorScheme}.png`, fullPage: true });
      }
      check(errors.length === 0, `${screen} ${colorScheme}: no error and nothing refused`, errors);
      await context.close();
    }
  }
}

async function clicks(browser) {
  const context = await browser.newContext({ viewport: DESK });
  const page = await context.newPage();
  await page.goto(large + "/");
  const summary = page.locator("summary").first();
  await summary.click();
  check(await page.locator("details[open] .members a").first().isVisible(), "a group opens");
  const name = await page.locator("details[open] .members a").first().textContent();
  await page.locator("details[open] .members a").first().click();
  check((await page.locator("h1").textContent()) === name, "one of it leads to its page");
  await page.goBack();
  check((await page.locator("h1").textContent()) === "Deployments", "back leads back");
  await page.fill("#q", "edge-021");
  await page.keyboard.press("Enter");
  await page.waitForURL(/q=edge-021/);
  check((await page.locator("tbody tr").count()) === 1, "what is looked for is found");
  await page.locator(".chips a", { hasText: "held" }).click();
  check((await page.locator("tbody tr").count()) >= 1 && page.url().includes("show=held"), "a state leads to its deployments");

  await page.goto(small + "/");
  await page.locator("svg.order a").first().click();
  check(/deployments/.test(page.url()), "a box of the picture leads to its deployment");
  await context.close();
}

async function keys(browser) {
  const page = await browser.newPage({ viewport: DESK });
  await page.goto(small + "/");
  await page.keyboard.press("Tab");
  check((await page.evaluate(() => document.activeElement.className)) === "skip", "the first stop is the skip link");
  check(await page.locator(".skip").evaluate((it) => it.getBoundingClientRect().top >= 0), "and it is seen then");
  await page.keyboard.press("Enter");
  check((await page.evaluate(() => document.activeElement.id)) === "main", "it leads to the content");
  const seen = new Set();
  for (let at = 0; at < 60; at += 1) {
    await page.keyboard.press("Tab");
    const stop = await page.evaluate(() => {
      const it = document.activeElement;
      const box = it.getBoundingClientRect();
      return it === document.body ? null : { id: it.id || it.textContent.trim().slice(0, 30), seen: box.width > 0, ring: getComputedStyle(it).outlineStyle };
    });
    if (!stop || seen.has(stop.id)) break;
    seen.add(stop.id);
    if (!stop.seen) check(false, "every stop is seen", stop);
  }
  check(["to-PAI-DEV-01", "to-PAI-PROD-01", "to-PAI-TEST-01", "q"].every((id) => seen.has(id)), "every deployment is reached by Tab", [...seen]);
  await page.focus("#to-PAI-PROD-01");
  await page.keyboard.press("Enter");
  await page.waitForURL(/PAI-PROD-01/);
  check(true, "Enter opens it");
  const heads = await page.locator("h1, h2").allTextContents();
  check(heads[0] === "PAI-PROD-01" && heads.length > 3, "headings tell what is where", heads);
  await page.close();
}

async function scriptless(browser) {
  const context = await browser.newContext({ viewport: DESK, javaScriptEnabled: false });
  const page = await context.newPage();
  await page.goto(small + "/");
  check((await page.locator("tbody tr").count()) === 3, "without a script the table is whole");
  check(/2026-11-24 11:59:48Z/.test(await page.locator("#meta").textContent()), "and times are times");
  await page.locator("#to-PAI-TEST-01").click();
  check(await page.locator(".diff .add").first().isVisible(), "and so is the page of a deployment");
  await context.close();
}

async function spoken(browser) {
  const page = await browser.newPage({ viewport: PHONE });
  await page.goto(small + "/");
  const table = page.getByRole("table", { name: "Deployments" });
  check((await table.getByRole("row").count()) === 4, "on a phone, too, a screen reader meets a table");
  check((await table.getByRole("rowheader").count()) === 3, "with a header of each row");
  check((await page.getByRole("columnheader").count()) >= 6, "and of each column");
  check((await page.getByRole("main").count()) === 1 && (await page.getByRole("status").count()) === 1, "and landmarks");
  const nameless = await page.evaluate(() => [...document.querySelectorAll("a, button, input:not([type=hidden]), summary")].filter((it) => !(it.textContent.trim() || it.getAttribute("aria-label") || (it.labels && it.labels.length))).length);
  check(nameless === 0, "everything that can be used has a name");
  await page.close();
}

async function owned(browser) {
  const page = await browser.newPage({ viewport: DESK });
  const dialogs = [];
  page.on("dialog", (dialog) => { dialogs.push(dialog.message()); dialog.dismiss(); });
  for (const path of ["/", "/deployments/bad"]) {
    await page.goto(hostile + path);
    await page.waitForTimeout(200);
    check((await page.title()) !== "owned" && dialogs.length === 0, `${path}: names that are markup stay names`);
    check((await page.locator("script").count()) === 1 && (await page.locator("img").count()) === 1, `${path}: no element of theirs`);
    const found = await overflow(page);
    check(found.wide <= 0, `${path}: and they break no layout`, found);
  }
  await page.close();
}

async function live(browser) {
  const page = await browser.newPage({ viewport: DESK });
  await page.goto(small + "/");
  await page.waitForTimeout(500);
  await page.focus("#to-PAI-PROD-01");
  const began = Date.now();
  console.log("update");
  await answers.next();
  await page.locator("tr", { hasText: "PAI-DEV-01" }).locator(".state.bad").waitFor({ timeout: 5000 });
  check(Date.now() - began < 2000, "what changes is seen within two seconds", Date.now() - began);
  check((await page.evaluate(() => document.activeElement.id)) === "to-PAI-PROD-01", "and the focus stays where it was");
  check(/Updated: 1 failed/.test(await page.locator("#live").textContent()), "and it is said to who listens");
  await page.close();
}

async function gone(browser) {
  const page = await browser.newPage({ viewport: DESK });
  await page.goto(small + "/deployments/PAI-DEV-01");
  await page.waitForTimeout(500);
  console.log("remove");
  await answers.next();
  await page.getByRole("heading", { name: "Not found" }).waitFor({ timeout: 5000 });
  check((await page.locator("#facts").count()) === 0, "a deployment that is removed is shown no longer");
  console.log("return");
  await answers.next();
  await page.getByRole("heading", { name: "PAI-DEV-01" }).waitFor({ timeout: 5000 });
  check((await page.locator("#facts").count()) === 1, "and one that comes back is");
  await page.close();
}

(async () => {
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu"] });
  try {
    for (const part of [looks, clicks, keys, scriptless, spoken, owned, live, gone]) await part(browser);
  } finally {
    await browser.close();
  }
  console.log(failed ? `failed ${failed}` : "done");
  process.exit(failed ? 1 : 0);
})().catch((error) => {
  console.log("not ok " + (error.stack || error));
  process.exit(1);
});
