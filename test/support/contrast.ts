/** Contrast of the text that is in sight, by WCAG 2.2 (1.4.3), measured in the page from what it computed. */
import type { Page } from "playwright-core";

export interface WeakText {
  readonly text: string;
  readonly ratio: number;
  readonly color: string;
  readonly ground: string;
}

/** What runs in the page, as text: tests are not compiled for browsers. */
const MEASURE = `(() => {
  const parse = (text) => {
    const numbers = (text.match(/-?[\\d.]+(e-?\\d+)?/g) ?? []).map(Number);
    const scale = text.startsWith("color(srgb") ? 255 : 1;
    const [r = 0, g = 0, b = 0, a = 1] = numbers;
    return text === "transparent" ? [0, 0, 0, 0] : [r * scale, g * scale, b * scale, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const groundOf = (element) => {
    const layers = [];
    for (let at = element; at !== null; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    if (node.data.trim() === "" || element.closest("noscript, script, option") || !element.checkVisibility({ visibilityProperty: true })) continue;
    const ground = groundOf(element);
    const style = getComputedStyle(element);
    const color = over(parse(style.color), ground);
    const [a, b] = [light(color), light(ground)].sort((x, y) => y - x);
    found.push({ text: node.data.trim().slice(0, 40), ratio: (a + 0.05) / (b + 0.05), color: style.color, ground: ground.map(Math.round).join(" ") });
  }
  return found;
})()`;

/** Every piece of text in sight, with its contrast to what is behind it. */
export async function measureContrast(page: Page): Promise<WeakText[]> {
  return await page.evaluate<WeakText[]>(MEASURE);
}
