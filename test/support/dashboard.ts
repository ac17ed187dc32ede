// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** The dashboard as a person has it: logged in, with machines that the API made. */
import { randomUUID } from "node:crypto";
import type { Locator, Page } from "playwright-core";
import type { Role } from "../../src/control/protocol/enrolment.ts";
import type { Browser, PageOptions, WatchedPage } from "./browser.ts";
import { oldOs, type TestMachine, type TestServe } from "./control-server.ts";

/** For a test in a browser: Chromium on a busy machine takes its time. */
export const BROWSER_TEST_MS = 120_000;

/** The dashboard after logging in, with the list in sight. */
export async function openDashboard(
  browser: Browser,
  serve: TestServe,
  options: PageOptions & { readonly token?: string; readonly path?: string } = {},
): Promise<WatchedPage> {
  const watched = await browser.openPage(`${serve.url}/${options.path ?? ""}`, options);
  await logIn(watched.page, options.token ?? serve.adminToken);
  await watched.page.locator(".live", { hasText: /^Live$/ }).waitFor();
  return watched;
}

export async function logIn(page: Page, token: string): Promise<void> {
  await page.getByLabel("Token").fill(token);
  await page.getByRole("button", { name: "Log in" }).click();
}

export async function tokenOf(serve: TestServe, role: Role): Promise<string> {
  return (await serve.must<{ token: string }>("POST", "/tokens", { name: `a-${role}`, role })).token;
}

/** A machine with a token and a name. */
export async function enrolNamed(serve: TestServe, name: string): Promise<TestMachine> {
  const machine = await serve.enrol();
  await serve.must("PATCH", `/machines/${machine.id}`, { name });
  return machine;
}

/** Declares `count` machines by the API, called `kiosk-00001` and so on. */
export async function declareMany(serve: TestServe, count: number): Promise<void> {
  const numbers = Array.from({ length: count }, (_, at) => at + 1).values();
  async function declareNext(): Promise<void> {
    for (const number of numbers) {
      const name = `kiosk-${String(number).padStart(5, "0")}`;
      const mac = `52:54:00:${number
        .toString(16)
        .padStart(6, "0")
        .replace(/(..)(?=.)/g, "$1:")}`;
      await serve.must("POST", "/machines", { id: randomUUID(), name, macs: [mac] });
    }
  }
  await Promise.all(Array.from({ length: 16 }, declareNext));
}

/** Asks for a reinstallation, and lets the machine begin it: the run's id. */
export async function beginReinstall(
  serve: TestServe,
  machine: TestMachine,
  imageId: string,
  body = {},
): Promise<string> {
  await serve.must("POST", `/machines/${machine.id}/reinstalls`, { imageId, ...body });
  const runId = randomUUID();
  const answer = await machine.post("instructions", { runId, bootInfo: oldOs, isDiskNamed: false });
  if (answer.status !== 200) throw new Error(`instructions: ${answer.status} ${JSON.stringify(answer.body)}`);
  return runId;
}

/** The row of a machine in the list. */
export const rowOf = (page: Page, name: string): Locator =>
  page.locator(".row").filter({ has: page.locator(".cell.machine b", { hasText: name }) });

/** Asks until `read` says what is expected. @throws Error with what it said last. */
export async function until<Value>(read: () => Promise<Value>, isIt: (value: Value) => boolean): Promise<Value> {
  const deadline = Date.now() + 20_000;
  for (;;) {
    const value = await read();
    if (isIt(value)) return value;
    if (Date.now() > deadline) throw new Error(`still ${JSON.stringify(value)}`);
    await Bun.sleep(50);
  }
}

/** What the text of `locator` becomes. @throws Error with the text it has instead. */
export async function untilText(locator: Locator, text: RegExp): Promise<string> {
  return await until(
    async () => ((await locator.count()) === 0 ? "(not there)" : await locator.first().innerText()),
    (shown) => text.test(shown),
  );
}
