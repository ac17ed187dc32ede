// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** The dashboard can be read: in the dark and in the light, on a laptop and on a phone, and while it changes. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { type Browser, openBrowser } from "../support/browser.ts";
import { measureContrast } from "../support/contrast.ts";
import { event, openTestServe, type TestMachine, type TestServe } from "../support/control-server.ts";
import { BROWSER_TEST_MS, beginReinstall, enrolNamed, openDashboard, rowOf, untilText } from "../support/dashboard.ts";

let browser: Browser;
let serve: TestServe;
let writing: TestMachine;
let runId: string;

/** A machine in every state that has a colour. */
beforeAll(async () => {
  browser = await openBrowser();
  serve = await openTestServe();
  await serve.must("PUT", "/images/os-2", { id: "os-2" });
  const failed = await enrolNamed(serve, "failed-1");
  const failedRun = crypto.randomUUID();
  const failure = {
    type: "run-failed",
    stage: "save",
    target: "untouched",
    code: "target",
    reason: "two disks",
    hint: "name one",
  };
  await failed.post("events", { runId: failedRun, events: [event(1, failure)] });
  for (const [name, mostAttempts] of [
    ["waiting-1", 3],
    ["parked-1", 1],
  ] as const) {
    const machine = await enrolNamed(serve, name);
    const run = await beginReinstall(serve, machine, "os-2", { mostAttempts });
    await machine.post("abort-reinstall", { runId: run, target: { state: "partial" }, reason: "readback differs" });
  }
  const requested = await enrolNamed(serve, "requested-1");
  await serve.must("POST", `/machines/${requested.id}/reinstalls`, { imageId: "os-2" });
  await serve.api("POST", "/enrol", { machineId: crypto.randomUUID(), macs: [], tokenSha256: "c".repeat(64) }, null);
  const unproven = await enrolNamed(serve, "unproven-1");
  const complete = { runId: await beginReinstall(serve, unproven, "os-2") };
  await unproven.post("events", { ...complete, events: [event(1, { type: "target-state", state: "complete" })] });
  await beginReinstall(serve, await enrolNamed(serve, "running-1"), "os-2");
  writing = await enrolNamed(serve, "writing-1");
  runId = await beginReinstall(serve, writing, "os-2");
  const told = [
    { type: "run-started", version: "1" },
    { type: "target-state", state: "partial" },
    { type: "step", stage: "write", message: "the disk is /dev/sda" },
    { type: "detail", stage: "write", message: "lbzip2 says nothing" },
    { type: "warning", stage: "write", message: "slow" },
  ];
  await writing.post("events", { runId, events: told.map((body, at) => event(at + 1, body)) });
  await tellProgress(6, 100);
});
afterAll(async () => {
  await browser[Symbol.asyncDispose]();
  await serve[Symbol.asyncDispose]();
});

async function tellProgress(seq: number, doneBytes: number): Promise<void> {
  const body = { type: "progress", stage: "write", what: "writing the image", doneBytes, totalBytes: 1000 };
  await writing.post("events", { runId, events: [event(seq, body)] });
}

async function expectReadable(page: Page, where: string, least: number): Promise<void> {
  const texts = await measureContrast(page);
  expect(texts.length).toBeGreaterThan(least);
  expect(texts.filter(({ ratio }) => ratio < 4.5).map((text) => ({ where, ...text }))).toEqual([]);
}

describe.each(["light", "dark"] as const)("%s", (colorScheme) => {
  test(
    "every text has a contrast of 4.5 and more",
    async () => {
      await using login = await browser.openPage(serve.url, { colorScheme });
      await login.page.getByLabel("Token").fill("wrong");
      await login.page.keyboard.press("Enter");
      await login.page.getByRole("alert").waitFor();
      await expectReadable(login.page, "login", 4);

      await using watched = await openDashboard(browser, serve, { colorScheme });
      const { page } = watched;
      await rowOf(page, "writing-1").waitFor();
      await page.locator(".cell.pick").nth(3).click();
      await rowOf(page, "requested-1").hover();
      await expectReadable(page, "list", 80);
      for (const name of ["failed-1", "waiting-1", "parked-1", "unproven-1", "running-1", "writing-1"]) {
        await rowOf(page, name).click();
        await untilText(page.locator(".panel h2"), new RegExp(name));
        await page.getByRole("log").or(page.locator(".tab-panel .empty")).first().waitFor();
        await expectReadable(page, name, 100);
      }
      await page.getByRole("tab", { name: "History" }).click();
      await page.locator(".history li").first().waitFor();
      await expectReadable(page, "history", 100);
      await rowOf(page, "failed-1").click();
      await page.getByRole("button", { name: "Reinstall…" }).last().click();
      await untilText(page.getByRole("dialog"), /Every byte/);
      await expectReadable(page, "dialog", 100);

      const [ground] = await page.evaluate<string[]>("[getComputedStyle(document.documentElement).backgroundColor]");
      const channels = (ground?.match(/\d+/g) ?? []).map(Number);
      expect(Math.max(...channels) < 60).toBe(colorScheme === "dark");
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );
});

test(
  "no state is told by its colour alone: each has a word and a shape of its own",
  async () => {
    await using watched = await openDashboard(browser, serve);
    const { page } = watched;
    await rowOf(page, "writing-1").waitFor();
    const cells = await page
      .locator(".row .cell.state")
      .evaluateAll((all) =>
        all.map((cell) => [cell.querySelector("path")?.getAttribute("d"), cell.querySelector(".word")?.textContent]),
      );
    expect(cells).toHaveLength(8);
    expect(new Set(cells.map(([shape]) => shape)).size).toBe(8);
    expect(new Set(cells.map(([, word]) => word)).size).toBe(8);
  },
  BROWSER_TEST_MS,
);

test.each([
  [1024, 768],
  [390, 844],
])(
  "%i pixels wide: nothing sticks out, and all can be reached",
  async (width, height) => {
    await using watched = await openDashboard(browser, serve, { width, height });
    const { page } = watched;
    await rowOf(page, "writing-1").waitFor();
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    await rowOf(page, "waiting-1").click();
    const panel = page.locator(".panel");
    for (const name of ["Reinstall…", "Boot local…", "Close", "Log"]) {
      const box = await panel
        .locator("button", { hasText: name })
        .or(panel.getByLabel(name, { exact: true }))
        .first()
        .boundingBox();
      expect(box?.x ?? -1).toBeGreaterThanOrEqual(0);
      expect((box?.x ?? width) + (box?.width ?? 1)).toBeLessThanOrEqual(width);
    }
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    await page.getByRole("tab", { name: "History" }).click();
    await page.locator(".history li").first().scrollIntoViewIfNeeded();
    await page.getByRole("button", { name: "Close" }).click();
    await rowOf(page, "writing-1").click();
    await untilText(panel.locator("h2"), /writing-1/);
    expect(watched.complaints).toEqual([]);
  },
  BROWSER_TEST_MS,
);

test(
  "nothing jumps while progress comes in; and nothing moves for those who want stillness",
  async () => {
    await using watched = await openDashboard(browser, serve, { reducedMotion: "reduce" });
    const { page } = watched;
    await rowOf(page, "writing-1").click();
    await untilText(page.getByRole("log"), /slow/);
    await page.waitForTimeout(600); // what a person has asked for himself is not counted as a jump
    await page.evaluate(
      "window.jumps = []; new PerformanceObserver((list) => window.jumps.push(...list.getEntries().map((entry) => entry.value))).observe({ type: 'layout-shift' })",
    );
    for (const [seq, doneBytes, percent] of [
      [7, 300, /^30 %/],
      [8, 999, /^99 %/],
    ] as const) {
      await tellProgress(seq, doneBytes);
      await untilText(rowOf(page, "writing-1").locator(".percent"), percent);
    }
    const jumps = await page.evaluate<number[]>("window.jumps");
    expect(jumps.reduce((sum, jump) => sum + jump, 0)).toBeLessThan(0.001);
    expect(await page.evaluate("document.getAnimations().length")).toBe(0);
    const durationOf = async (at: Page) =>
      await at.evaluate<string>("getComputedStyle(document.querySelector('.track > span')).transitionDuration");
    expect(await durationOf(page)).toBe("0s");
    await using moving = await openDashboard(browser, serve, { reducedMotion: "no-preference" });
    await rowOf(moving.page, "writing-1").waitFor();
    expect(await durationOf(moving.page)).not.toBe("0s");
  },
  BROWSER_TEST_MS,
);
