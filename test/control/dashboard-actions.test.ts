// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** What an operator does on the dashboard is done, once, and only after it was confirmed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash, randomUUID } from "node:crypto";
import type { Page } from "playwright-core";
import type { Machine } from "../../src/control/protocol/machine.ts";
import type { Reinstall } from "../../src/control/protocol/reinstall.ts";
import { type Browser, openBrowser } from "../support/browser.ts";
import { eachDatabase, event, type TestMachine, type TestServe } from "../support/control-server.ts";
import {
  BROWSER_TEST_MS,
  beginReinstall,
  enrolNamed,
  openDashboard,
  rowOf,
  tokenOf,
  until,
  untilText,
} from "../support/dashboard.ts";

let browser: Browser;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => await browser[Symbol.asyncDispose]());

const read = (serve: TestServe, { id }: { readonly id: string }) => serve.must<Machine>("GET", `/machines/${id}`);
const reinstallsOf = async (serve: TestServe, { id }: TestMachine) =>
  (await serve.must<{ reinstalls: Reinstall[] }>("GET", `/machines/${id}/reinstalls`)).reinstalls;
const press = async (page: Page, name: string) => await page.getByRole("button", { name, exact: true }).click();
const isRefused = async (page: Page, name: string) =>
  (await page.getByRole("button", { name }).getAttribute("aria-disabled")) === "true";

/** A button that says it is disabled is pressed all the same. */
const refused = { force: true };

/** An endpoint with two images. */
async function withImages(serve: TestServe): Promise<TestServe> {
  await serve.must("PUT", "/images/os-2", { id: "os-2", description: "this month's" });
  await serve.must("PUT", `/images/${encodeURIComponent("lab/os-3")}`, { id: "lab/os-3" });
  return serve;
}

eachDatabase("on the dashboard", (open) => {
  test(
    "a reinstallation is requested once, after image and name; what the endpoint refuses is shown",
    async () => {
      await using serve = await withImages(await open());
      const machine = await enrolNamed(serve, "kiosk-1");
      await enrolNamed(serve, "kiosk-2");
      await using watched = await openDashboard(browser, serve, { token: await tokenOf(serve, "operator") });
      const { page } = watched;
      await rowOf(page, "kiosk-1").click();
      await press(page, "Reinstall…");
      const dialog = page.getByRole("dialog", { name: "Reinstall kiosk-1" });
      await untilText(dialog, /Every byte of its target disk is overwritten/);
      const confirm = page.getByRole("button", { name: "Destroy and reinstall" });

      await confirm.click(refused);
      await page.getByLabel(/Type .* to confirm/).fill("kiosk-1");
      await confirm.click(refused); // no image
      await page.getByLabel("Image").selectOption("lab/os-3");
      await page.getByLabel(/Type .* to confirm/).fill("kiosk-2");
      await confirm.click(refused); // another machine's name
      await page.keyboard.press("Enter");
      expect(await reinstallsOf(serve, machine)).toEqual([]);

      await serve.must("PATCH", `/machines/${machine.id}`, { locked: true });
      await page.getByLabel(/Type .* to confirm/).fill("kiosk-1");
      await confirm.click();
      await untilText(dialog.getByRole("alert"), /is locked/);
      expect(await reinstallsOf(serve, machine)).toEqual([]);

      await serve.must("PATCH", `/machines/${machine.id}`, { locked: false });
      await confirm.dblclick(); // an impatient one
      await dialog.waitFor({ state: "detached" });
      await untilText(page.getByRole("status").last(), /reinstallation of kiosk-1 is requested/);
      expect(await reinstallsOf(serve, machine)).toMatchObject([
        { state: "requested", imageId: "lab/os-3", requestedBy: "admin:a-operator" },
      ]);
      await untilText(rowOf(page, "kiosk-1").locator(".state"), /Requested/);
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "a lost answer makes no second reinstallation",
    async () => {
      await using serve = await withImages(await open());
      const machine = await enrolNamed(serve, "kiosk-1");
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      let isLost = true;
      await page.route("**/reinstalls", async (route) => {
        if (route.request().method() !== "POST" || !isLost) return await route.continue();
        isLost = false;
        await route.fetch(); // the endpoint has done it
        await route.abort();
      });
      await rowOf(page, "kiosk-1").click();
      await press(page, "Reinstall…");
      await page.getByLabel("Image").selectOption("os-2");
      await page.getByLabel(/Type .* to confirm/).fill("kiosk-1");
      await press(page, "Destroy and reinstall");
      await untilText(page.getByRole("dialog").getByRole("alert"), /does not answer/);
      await press(page, "Destroy and reinstall");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      expect(await reinstallsOf(serve, machine)).toHaveLength(1);
    },
    BROWSER_TEST_MS,
  );

  test(
    "cancelling takes back what is untouched, and is refused with the reason from then on",
    async () => {
      await using serve = await withImages(await open());
      const machine = await enrolNamed(serve, "kiosk-1");
      await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      await rowOf(page, "kiosk-1").click();
      await press(page, "Cancel reinstallation…");
      await press(page, "Back");
      expect(await read(serve, machine)).toMatchObject({ reinstall: { state: "requested" } });
      let asked = 0;
      await page.route("**/api/v1/reinstalls/*", async (route) => {
        asked += 1;
        await Bun.sleep(500); // an endpoint that takes its time
        await route.continue();
      });
      await press(page, "Cancel reinstallation…");
      await page.getByRole("button", { name: "Cancel the reinstallation" }).dblclick({ force: true });
      await untilText(rowOf(page, "kiosk-1").locator(".state"), /Idle/);
      expect(await read(serve, machine)).toMatchObject({ reinstall: null, configuration: "local" });
      expect(asked).toBe(1); // an impatient hand asks once

      const runId = await beginReinstall(serve, machine, "os-2");
      await untilText(page.locator(".reasons"), /Cancel reinstallation: A run is under way/);
      await machine.post("events", { runId, events: [event(1, { type: "target-state", state: "partial" })] });
      await untilText(page.locator(".reasons"), /Cancel reinstallation: The disk is partly written and does not boot/);
      expect(await isRefused(page, "Cancel reinstallation…")).toBe(true);
      await page.getByRole("button", { name: "Cancel reinstallation…" }).click(refused);
      expect(await page.getByRole("dialog").count()).toBe(0);
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "boot local, after a question",
    async () => {
      await using serve = await withImages(await open());
      const machine = await enrolNamed(serve, "kiosk-1");
      await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId: "os-2" });
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      await untilText(rowOf(page, "kiosk-1").locator(".configuration"), /reimage/);
      await rowOf(page, "kiosk-1").click();
      await press(page, "Boot local…");
      expect(await read(serve, machine)).toMatchObject({ configuration: "reimage" });
      await press(page, "Boot from the disk");
      await untilText(page.locator(".facts"), /Next boot\s+local/);
      expect(await read(serve, machine)).toMatchObject({ configuration: "local" });
    },
    BROWSER_TEST_MS,
  );

  test(
    "a parked machine is tried again",
    async () => {
      await using serve = await withImages(await open());
      const machine = await enrolNamed(serve, "kiosk-1");
      const runId = await beginReinstall(serve, machine, "os-2", { mostAttempts: 1 });
      await machine.post("abort-reinstall", { runId, target: { state: "partial" }, reason: "the disk fell out" });
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      await untilText(rowOf(page, "kiosk-1").locator(".state"), /Parked/);
      await rowOf(page, "kiosk-1").click();
      await untilText(page.locator(".condition"), /the disk fell out/);
      await press(page, "Retry…");
      await press(page, "Try again");
      await untilText(rowOf(page, "kiosk-1").locator(".state"), /Requested/);
      expect(await read(serve, machine)).toMatchObject({ reinstall: { state: "requested", attempt: 0 } });
    },
    BROWSER_TEST_MS,
  );

  test(
    "a machine is let in by its fingerprint",
    async () => {
      await using serve = await open();
      const id = randomUUID();
      const tokenSha256 = createHash("sha256").update("a machine's token").digest("hex");
      const enrol = { machineId: id, macs: ["52:54:00:00:00:01"], serial: "SN-77", tokenSha256 };
      const { body } = await serve.api("POST", "/enrol", enrol, null);
      const { fingerprint } = body as { fingerprint: string };
      await using watched = await openDashboard(browser, serve, { path: `#${id}` }); // a link that somebody has sent
      const { page } = watched;
      await press(page, "Approve…");
      await untilText(page.getByRole("dialog"), new RegExp(fingerprint));
      expect(await read(serve, { id })).toMatchObject({ state: "discovered" });
      await press(page, "Approve");
      await page.getByRole("dialog").waitFor({ state: "detached" });
      expect(await read(serve, { id })).toMatchObject({ state: "approved" });
      await untilText(rowOf(page, "SN-77").locator(".state"), /Idle/);
    },
    BROWSER_TEST_MS,
  );

  test(
    "several machines at once; those that cannot be are left out",
    async () => {
      await using serve = await withImages(await open());
      const machines = [];
      for (const name of ["kiosk-1", "kiosk-2", "kiosk-3", "kiosk-4"]) machines.push(await enrolNamed(serve, name));
      await serve.must("PATCH", `/machines/${machines[1]?.id}`, { locked: true });
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      await page.getByRole("grid").focus();
      for (const key of ["Home", "Space", "ArrowDown", "Space", "ArrowDown", "Space"]) await page.keyboard.press(key);
      await untilText(page.getByRole("toolbar"), /^3 machines/);
      await page.getByRole("toolbar").getByRole("button", { name: "Reinstall…" }).click();
      const dialog = page.getByRole("dialog", { name: "Reinstall 2 machines" });
      await untilText(dialog, /kiosk-1, kiosk-3[\s\S]*1 selected machine is left out/);
      await page.getByLabel("Image").selectOption("os-2");
      await page.getByLabel(/Type .* to confirm/).fill("reinstall 2");
      await press(page, "Destroy and reinstall");
      await dialog.waitFor({ state: "detached" });
      const counts = await Promise.all(machines.map(async (machine) => (await reinstallsOf(serve, machine)).length));
      expect(counts).toEqual([1, 0, 1, 0]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "without a mouse: from the token to the reinstallation and back to the list",
    async () => {
      await using serve = await withImages(await open());
      for (const name of ["kiosk-1", "kiosk-2", "other-1"]) await enrolNamed(serve, name);
      await using watched = await browser.openPage(serve.url);
      const { page } = watched;
      const keys = async (...names: string[]) => {
        for (const name of names) await page.keyboard.press(name);
      };
      const focused = () =>
        page.evaluate<string>(
          "(({ tagName, id, innerText, role }) => [tagName, id, role, innerText].join(' '))(document.activeElement)",
        );
      await until(focused, (text) => text.startsWith("INPUT token"));
      await page.keyboard.type(serve.adminToken);
      await keys("Enter");
      await rowOf(page, "other-1").waitFor();
      await keys("/");
      await page.keyboard.type("kiosk");
      await until(
        () => page.getByRole("row").count(),
        (count) => count === 3,
      ); // the head, and two
      await keys("Enter", "ArrowDown", "Enter");
      await until(focused, (text) => /^H2 .*kiosk-2$/.test(text));
      await keys("Tab", "Tab");
      expect(await focused()).toMatch(/^BUTTON .*Reinstall…$/);
      await keys("Enter");
      await until(focused, (text) => text.startsWith("SELECT image"));
      await page.getByRole("option", { name: "os-2", exact: true }).waitFor({ state: "attached" });
      await page.keyboard.type("os-2");
      await keys("Tab");
      await page.keyboard.type("kiosk-2");
      await keys("Enter");
      await untilText(page.locator(".condition"), /Requested/);
      await until(focused, (text) => /^BUTTON .*Reinstall…$/.test(text)); // where the dialog came from
      await keys("Escape");
      await until(focused, (text) => text.startsWith("DIV") && text.includes(" grid "));
      expect(await page.locator(".panel").count()).toBe(0);
      const { machines } = await serve.must<{ machines: Machine[] }>("GET", "/machines");
      expect(machines.filter(({ reinstall }) => reinstall !== null)).toMatchObject([
        { name: "kiosk-2", reinstall: { imageId: "os-2", state: "requested" } },
      ]);
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );
});
