// biome-ignore-all lint/performance/useDomNodeTextContent: what a person sees is wanted, not what is in the document
/** Five thousand machines on one page. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Page } from "playwright-core";
import { type Browser, openBrowser } from "../support/browser.ts";
import { eachDatabase } from "../support/control-server.ts";
import {
  BROWSER_TEST_MS,
  declareMany,
  enrolNamed,
  openDashboard,
  rowOf,
  until,
  untilText,
} from "../support/dashboard.ts";

const COUNT = 5000;

let browser: Browser;
beforeAll(async () => {
  browser = await openBrowser();
});
afterAll(async () => await browser[Symbol.asyncDispose]());

eachDatabase("5,000 machines", (open) => {
  test(
    "are all there, few of them in the document; found, scrolled to, and kept in sight while others come and go",
    async () => {
      await using serve = await open();
      await declareMany(serve, COUNT);
      await using watched = await openDashboard(browser, serve);
      const { page } = watched;
      const grid = page.getByRole("grid");
      const rows = page.locator(".row");
      await rowOf(page, "kiosk-00001").waitFor();
      expect(await grid.getAttribute("aria-rowcount")).toBe(String(COUNT + 1));
      await untilText(page.getByRole("button", { name: /Machines$/ }), /^5,000/);
      expect(await rows.count()).toBeLessThan(200);

      // By the wheel: the last one is at the end, where it says it is.
      await grid.evaluate((element) => element.scrollTo(0, element.scrollHeight));
      await rowOf(page, "kiosk-05000").waitFor();
      expect(await rowOf(page, "kiosk-05000").getAttribute("aria-rowindex")).toBe(String(COUNT + 1));
      expect(await isInSight(page, "kiosk-05000")).toBe(true);
      expect(await rows.count()).toBeLessThan(200);

      // By the keys; the active row is in the document wherever the eye has gone.
      await grid.focus();
      await page.keyboard.press("Home");
      await rowOf(page, "kiosk-00001").waitFor();
      for (const key of ["PageDown", "PageDown", "ArrowUp", "End", "ArrowUp"]) await page.keyboard.press(key);
      const activeName = async () => {
        const id = await grid.getAttribute("aria-activedescendant");
        return (await page.locator(`[id="${id}"] b`).allInnerTexts())[0];
      };
      expect(await until(activeName, (name) => name === "kiosk-04999")).toBe("kiosk-04999");
      expect(await isInSight(page, "kiosk-04999")).toBe(true);
      await grid.evaluate((element) => element.scrollTo(0, 0));
      await rowOf(page, "kiosk-00001").waitFor();
      expect(await activeName()).toBe("kiosk-04999");

      // A machine that comes before all others moves every row by one, and the active row with them.
      await enrolNamed(serve, "a-new-one");
      await rowOf(page, "a-new-one").waitFor();
      expect(await activeName()).toBe("kiosk-04999");
      expect(await rowOf(page, "kiosk-04999").getAttribute("aria-rowindex")).toBe(String(COUNT + 1));

      // Searched: by name, by MAC in another spelling, by words that nothing has.
      await page.keyboard.press("/");
      await page.keyboard.type("kiosk-0123");
      await until(
        () => rows.count(),
        (count) => count === 10,
      );
      await page.keyboard.press("Escape");
      await until(
        () => grid.getAttribute("aria-rowcount"),
        (count) => count === String(COUNT + 2),
      );
      await page.keyboard.type("5254.0000.1388"); // 5000
      await until(
        () => rows.allInnerTexts(),
        (texts) => texts.length === 1 && (texts[0] ?? "").includes("kiosk-05000"),
      );
      await page.getByRole("searchbox").fill("nothing like it");
      await untilText(page.locator(".empty"), /No machine matches/);
      await page.getByRole("searchbox").fill("");

      // Removed ones go, sorted the other way round the last comes first, and the filters count.
      const { machines } = await serve.must<{ machines: { id: string; name: string }[] }>(
        "GET",
        "/machines?query=a-new-one",
      );
      await serve.must("DELETE", `/machines/${machines[0]?.id}`);
      await until(
        () => grid.getAttribute("aria-rowcount"),
        (count) => count === String(COUNT + 1),
      );
      await page.getByRole("button", { name: "Machine", exact: false }).last().click();
      await page.locator(".row[aria-rowindex='2'] b", { hasText: "kiosk-05000" }).waitFor();
      await page.getByRole("button", { name: /Failed$/ }).click();
      await until(
        () => rows.count(),
        (count) => count === 0,
      );
      expect(watched.complaints).toEqual([]);
      expect(watched.strayRequests).toEqual([]);
    },
    3 * BROWSER_TEST_MS,
  );
});

/** Whether the row lies within the list, below its head. */
async function isInSight(page: Page, name: string): Promise<boolean> {
  const row = await rowOf(page, name).boundingBox();
  const grid = await page.getByRole("grid").boundingBox();
  const head = await page.locator(".head").boundingBox();
  if (row === null || grid === null || head === null) return false;
  return row.y >= head.y + head.height - 1 && row.y + row.height <= grid.y + grid.height + 1;
}
