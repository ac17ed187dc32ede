// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** The dashboard shows what the endpoint knows, as it happens. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, openBrowser } from "../support/browser.ts";
import { eachDatabase, event, goodReport, openTestServe } from "../support/control-server.ts";
import {
  BROWSER_TEST_MS,
  beginReinstall,
  enrolNamed,
  logIn,
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

eachDatabase("the dashboard", (open) => {
  test(
    "lets in who has a token, and nobody else; the token is nowhere to be found",
    async () => {
      await using serve = await open();
      await enrolNamed(serve, "kiosk-1");
      await using watched = await browser.openPage(serve.url);
      const { page } = watched;
      const urls: string[] = [];
      page.on("request", (request) => urls.push(request.url()));

      await logIn(page, "not-a-token");
      await page.getByRole("alert").waitFor();
      expect(await page.getByRole("grid").count()).toBe(0);

      await logIn(page, serve.adminToken);
      await rowOf(page, "kiosk-1").waitFor();
      const kept = await page.evaluate(
        "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie, location.href, document.documentElement.outerHTML])",
      );
      expect(kept).not.toContain(serve.adminToken);
      expect(urls.join("\n")).not.toContain(serve.adminToken);

      await page.reload();
      await rowOf(page, "kiosk-1").waitFor(); // the cookie is enough

      const cookies = await page.context().cookies();
      expect(cookies).toMatchObject([{ httpOnly: true, sameSite: "Strict" }]);
      await page.getByRole("button", { name: "Log out" }).click();
      await page.getByLabel("Token").waitFor();
      const session = `reimage-session=${cookies[0]?.value}`;
      expect((await serve.api("GET", "/machines", undefined, null, { cookie: session })).status).toBe(401);
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "a viewer sees everything and is offered nothing",
    async () => {
      await using serve = await open();
      await serve.must("PUT", "/images/os-2", { id: "os-2" });
      await beginReinstall(serve, await enrolNamed(serve, "kiosk-1"), "os-2");
      await using watched = await openDashboard(browser, serve, { token: await tokenOf(serve, "viewer") });
      const { page } = watched;
      await rowOf(page, "kiosk-1").click();
      await page.getByRole("tab", { name: "History" }).click();
      await untilText(page.getByRole("tabpanel"), /running os-2/);
      await page.getByRole("grid").focus();
      await page.keyboard.press("Space");
      const buttons = (await page.getByRole("button").allInnerTexts()).join(" ");
      expect(buttons).not.toMatch(/Reinstall…|Cancel|Boot local|Retry|Approve/);
      expect(await page.locator("[aria-selected=true][role=row]").count()).toBe(0);

      // An operator's buttons are there, so the words are the right ones.
      await using operator = await openDashboard(browser, serve, { token: await tokenOf(serve, "operator") });
      await rowOf(operator.page, "kiosk-1").click();
      await operator.page.getByRole("button", { name: "Reinstall…" }).waitFor();
      await operator.page.getByRole("button", { name: "Boot local…" }).waitFor();
      expect([...watched.complaints, ...operator.complaints]).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "progress, log and report appear while the machine sends them",
    async () => {
      await using serve = await open();
      await serve.must("PUT", "/images/os-2", { id: "os-2" });
      const machine = await enrolNamed(serve, "kiosk-1");
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      const row = rowOf(page, "kiosk-1");
      await row.click();
      expect(await row.locator(".state").innerText()).toMatch(/Idle/);
      const counted = (word: string) => page.getByRole("button", { name: new RegExp(`^\\d+ ?${word}`) });
      await untilText(counted("Writing"), /^0/);

      const runId = await beginReinstall(serve, machine, "os-2");
      await untilText(row.locator(".state"), /Running/);
      const progress = (seq: number, doneBytes: number) =>
        event(seq, { type: "progress", stage: "write", what: "writing the image", doneBytes, totalBytes: 1000 });
      const first = [
        event(1, { type: "run-started", version: "9.9" }),
        event(2, { type: "target-state", state: "partial" }),
      ];
      await machine.post("events", { runId, events: [...first, progress(3, 250)] });
      await untilText(row.locator(".state"), /Writing\s+writing the image/);
      await untilText(row.locator(".percent"), /^25 %/);
      await untilText(counted("Writing"), /^1/);
      const log = page.getByRole("log");
      await untilText(log, /reimage 9\.9 starts[\s\S]*the disk is partial[\s\S]*250 B of 1000 B/);

      await machine.post("events", {
        runId,
        events: [progress(4, 750), event(5, { type: "warning", stage: "write", message: "slow disk" })],
      });
      await untilText(row.locator(".percent"), /^75 %/);
      const shown = await untilText(log, /750 B of 1000 B[\s\S]*warning: slow disk/);
      expect(shown).not.toContain("250 B"); // one line a step, not one a message
      expect(await page.getByRole("progressbar").getAttribute("aria-valuenow")).toBe("75");

      await page.getByRole("tab", { name: "Report" }).click();
      await untilText(page.getByRole("tabpanel"), /sent no report/);
      const report = goodReport("os-2", { retained: { count: 7, bytes: 2048, missing: ["/var/gone"], failures: [] } });
      await machine.post("report", { runId, report, bootInfo: { image_id: "os-2" } });
      await untilText(row.locator(".state"), /Installed/);
      await untilText(page.getByRole("tabpanel"), /Success[\s\S]*os-2[\s\S]*7 files, 2\.0 KiB[\s\S]*\/var\/gone/);
      await page.getByRole("button", { name: "report.json" }).click();
      expect(JSON.parse(await page.locator(".report pre").innerText())).toEqual(report);
      await page.getByRole("tab", { name: "Audit" }).click();
      await untilText(page.getByRole("tabpanel"), /reinstall\.requested[\s\S]*admin:/);
      expect(watched.complaints).toEqual([]);
      expect(watched.strayRequests).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "what a machine says is text, whatever it says",
    async () => {
      await using serve = await open();
      const machine = await enrolNamed(serve, "kiosk-1");
      const evil = "<img src=x onerror=window.owned=1><script>window.owned=1</script>";
      await serve.must("PATCH", `/machines/${machine.id}`, { serial: `S1${evil}\u202egpj.exe` });
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      const runId = crypto.randomUUID();
      const messages = [
        evil,
        "\u001b[31;1mred\u001b[0m \u001b]0;title\u0007bell\u0007",
        "a\u202eb",
        `x${"long ".repeat(1638)}y`,
      ];
      const events = messages.map((message, at) => event(at + 1, { type: "step", stage: evil, message }));
      const odd = { type: "run-failed", reason: { not: "text" }, hint: 7, target: null, stage: ["x"] };
      await machine.post("events", {
        runId,
        events: [...events, event(5, { type: evil.slice(0, 60) }), event(6, odd)],
      });
      await rowOf(page, "kiosk-1").click();
      const shown = await untilText(page.getByRole("log"), /more characters/);
      expect(shown).toContain(evil);
      expect(shown).toContain("red bell␇");
      expect(shown).toContain("a‹U+202E›b");
      expect(shown.length).toBeLessThan(4000);
      await page.getByRole("button", { name: /more characters/ }).click();
      await untilText(page.getByRole("log"), /long long y/);
      expect(await page.locator(".facts").innerText()).toContain(`S1${evil}‹U+202E›gpj.exe`);
      expect(await page.evaluate("[String(window.owned), document.scripts.length, document.images.length]")).toEqual([
        "undefined",
        1,
        0,
      ]);
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      expect(watched.complaints).toEqual([]);
      expect(watched.strayRequests).toEqual([]);
    },
    BROWSER_TEST_MS,
  );

  test(
    "ages are counted by the endpoint's clock, whatever the browser's says",
    async () => {
      await using serve = await open();
      const machine = await enrolNamed(serve, "kiosk-1");
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      await page.clock.install({ time: Date.now() + 3_600_000 });
      await page.reload();
      await machine.post("events", { runId: crypto.randomUUID(), events: [event(1, { type: "run-started" })] });
      await untilText(rowOf(page, "kiosk-1").locator(".seen"), /^now$/);
      await untilText(rowOf(page, "kiosk-1").locator(".state"), /Running/);
      await untilText(page.getByRole("button", { name: /Unseen 5 min$/ }), /^0/);
    },
    BROWSER_TEST_MS,
  );

  test(
    "an endpoint that is started again: the page says so, comes back by itself, and is current",
    async () => {
      await using stack = new AsyncDisposableStack();
      const dataDir = mkdtempSync(join(tmpdir(), "reimage-serve-"));
      stack.defer(() => rmSync(dataDir, { recursive: true }));
      const first = await open({ dataDir });
      const { databaseUrl } = first;
      const port = Number(new URL(first.url).port);
      const machine = await enrolNamed(first, "kiosk-1");
      const runId = crypto.randomUUID();
      const step = (seq: number, message: string) => ({ runId, events: [event(seq, { type: "step", message })] });
      await machine.post("events", step(1, "before the end"));
      await using watched = await openDashboard(browser, first);
      const { page } = watched;
      await rowOf(page, "kiosk-1").click();
      await untilText(page.getByRole("log"), /before the end/);
      await first[Symbol.asyncDispose]();
      await untilText(page.locator(".live"), /^Not live since \d\d:\d\d:\d\d, again in \d+ s$/);
      expect(await rowOf(page, "kiosk-1").count()).toBe(1); // what was known is still to be read
      await page.getByRole("button", { name: "Boot local…" }).waitFor();

      await using second = await openTestServe({ dataDir, databaseUrl, port });
      await enrolNamed(second, "kiosk-2");
      await untilText(page.locator(".live"), /^Live$/);
      await until(
        () => rowOf(page, "kiosk-2").count(),
        (count) => count === 1,
      );
      const body = step(2, "after the beginning");
      await second.api("POST", `/machines/${machine.id}/events`, body, machine.token);
      const log = await untilText(page.getByRole("log"), /after the beginning/);
      expect(log.match(/before the end/g)).toHaveLength(1); // told again, and shown once
      await enrolNamed(second, "kiosk-3"); // and live again
      await until(
        () => rowOf(page, "kiosk-3").count(),
        (count) => count === 1,
      );
      expect(watched.complaints).toEqual([]);
    },
    BROWSER_TEST_MS,
  );
});
