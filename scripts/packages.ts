/** `make packages`: installs what scripts/packages.txt lists and is not installed yet. */
import { readFileSync } from "node:fs";
import { $ } from "zx";

/** Package names of the list, without comments. */
export function parsePackages(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((name) => name !== "");
}

async function isInstalled(name: string): Promise<boolean> {
  const answer = await $({ nothrow: true, quiet: true })`dpkg-query -W -f ${"$" + "{db:Status-Status}"} ${name}`;
  return answer.exitCode === 0 && answer.stdout === "installed";
}

if (import.meta.main) {
  const listed = parsePackages(readFileSync(new URL("packages.txt", import.meta.url), "utf8"));
  const missing: string[] = [];
  for (const name of listed) if (!(await isInstalled(name))) missing.push(name);
  if (missing.length > 0) {
    const sudo = process.getuid?.() === 0 ? [] : ["sudo"];
    const apt = [...sudo, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q"];
    console.log(`installing ${missing.join(" ")}`);
    await $({ stdio: "inherit" })`${apt} update`;
    await $({ stdio: "inherit" })`${apt} install -y --no-install-recommends ${missing}`;
  }
}
