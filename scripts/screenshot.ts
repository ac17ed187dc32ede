/**
 * `make screenshot`: docs/dashboard.png. A real endpoint, a fleet that its API made, the real dashboard in Chromium.
 */
import { resolve } from "node:path";
import { openBrowser } from "../test/support/browser.ts";
import { openTestServe } from "../test/support/control-server.ts";
import { openDashboard, rowOf, untilText } from "../test/support/dashboard.ts";
import { makeFleet } from "./screenshot/fleet.ts";

const SHOWN = "kiosk-ber-004";
const path = resolve(process.argv[2] ?? "docs/dashboard.png");
const colorScheme = process.argv[3] === "light" ? "light" : "dark";

let aheadMs = 0;
await using serve = await openTestServe({ now: () => Date.now() + aheadMs });
await makeFleet(serve, (hoursAgo) => {
  aheadMs = -hoursAgo * 3_600_000;
});
await using browser = await openBrowser();
await using watched = await openDashboard(browser, serve, {
  width: 1360,
  height: 850,
  colorScheme,
  deviceScaleFactor: 1.5,
});
const { page } = watched;
await rowOf(page, SHOWN).click();
await untilText(page.getByRole("log"), /writing the image: .* of/);
await page.waitForTimeout(500);
await page.screenshot({ path });
console.log(path);
