/** A real Chromium with a profile of its own, and pages that note whatever a page should not do. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium, type Page } from "playwright-core";

const FLAGS = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

export interface PageOptions {
  readonly colorScheme?: "light" | "dark";
  readonly reducedMotion?: "reduce" | "no-preference";
  readonly width?: number;
  readonly height?: number;
  readonly deviceScaleFactor?: number;
}

/** A page, and what went wrong in it. */
export interface WatchedPage extends AsyncDisposable {
  readonly page: Page;
  /** Errors of scripts and violations of the content security policy. What the network says of failed requests is apart. */
  readonly complaints: readonly string[];
  /** Requests to anywhere else than the origin that was opened. */
  readonly strayRequests: readonly string[];
}

export interface Browser extends AsyncDisposable {
  /** A fresh profile's page: no cookie of another one. */
  openPage(url: string, options?: PageOptions): Promise<WatchedPage>;
}

/** @throws Error where Chromium does not start. */
export async function openBrowser(): Promise<Browser> {
  const profiles: string[] = [];
  const contexts: BrowserContext[] = [];
  return {
    async openPage(url, options = {}) {
      const {
        colorScheme = "light",
        reducedMotion = "reduce",
        width = 1440,
        height = 900,
        deviceScaleFactor = 1,
      } = options;
      const profile = await mkdtemp(join(tmpdir(), "reimage-browser-"));
      profiles.push(profile);
      const context = await chromium.launchPersistentContext(profile, {
        executablePath: "/usr/bin/chromium",
        args: FLAGS,
        colorScheme,
        reducedMotion,
        viewport: { width, height },
        deviceScaleFactor,
      });
      contexts.push(context);
      const page = context.pages()[0] ?? (await context.newPage());
      const watched = watch(page, new URL(url).origin);
      await page.goto(url);
      return { page, ...watched, [Symbol.asyncDispose]: async () => await context.close() };
    },
    async [Symbol.asyncDispose]() {
      await Promise.allSettled(contexts.map((context) => context.close()));
      await Promise.all(profiles.map((profile) => rm(profile, { recursive: true, force: true })));
    },
  };
}

function watch(page: Page, origin: string): { complaints: string[]; strayRequests: string[] } {
  const complaints: string[] = [];
  const strayRequests: string[] = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  page.on("console", (message) => {
    // A request that was refused, or not answered, is no error of the page: it shows it.
    const isNetwork = message.text().startsWith("Failed to load resource");
    if ((message.type() === "error" || message.type() === "warning") && !isNetwork) complaints.push(message.text());
  });
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.origin !== origin) strayRequests.push(request.url());
  });
  return { complaints, strayRequests };
}
