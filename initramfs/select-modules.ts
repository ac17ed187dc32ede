/** Which modules go into the initramfs: patterns against the modules folder's own list, with all they depend on. Pure. */

/** `modules.dep`: for each module the modules it needs, all as paths below the modules folder (`kernel/…/x.ko`). */
export type ModuleDependencies = ReadonlyMap<string, readonly string[]>;

/** Parses `modules.dep` (see modules.dep(5)): `path: dependency dependency …`, already closed over indirect ones. */
export function parseModulesDep(text: string): ModuleDependencies {
  const dependencies = new Map<string, readonly string[]>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon === -1) continue;
    dependencies.set(
      line.slice(0, colon),
      line
        .slice(colon + 1)
        .split(" ")
        .filter(Boolean),
    );
  }
  return dependencies;
}

/** `kernel/drivers/ata/ahci.ko.xz` → `drivers/ata/ahci`, with `_` for `-` because kernels differ in that. */
function nameForMatching(modulePath: string): string {
  return modulePath
    .replace(/^kernel\//, "")
    .replace(/\.ko(\.[a-z]+)?$/, "")
    .replaceAll("-", "_");
}

function patternToRegExp(pattern: string): RegExp {
  const escaped = pattern.replaceAll("-", "_").replace(/[.+?^${}()|[\]\\]/g, "\\$&");
  return new RegExp(`^${escaped.replaceAll("*", "[^/]*")}$`);
}

/** What a list of patterns comes to. */
export interface ModuleSelection {
  /** Paths below the modules folder, sorted, with everything they depend on. */
  readonly modules: readonly string[];
  /** Patterns that match neither a module nor (by `modules.builtin`) a built-in one. */
  readonly unmatched: readonly string[];
}

/** Selects modules by pattern (see initramfs/modules.ts) and adds their dependencies, direct and indirect. */
export function selectModules(
  dependencies: ModuleDependencies,
  patterns: readonly string[],
  builtin: readonly string[] = [],
): ModuleSelection {
  const selected = new Set<string>();
  const add = (modulePath: string): void => {
    if (selected.has(modulePath)) return;
    selected.add(modulePath);
    for (const dependency of dependencies.get(modulePath) ?? []) add(dependency);
  };
  const names = [...dependencies.keys()].map((path) => ({ path, name: nameForMatching(path) }));
  const builtinNames = builtin.map(nameForMatching);
  const unmatched: string[] = [];
  for (const pattern of patterns) {
    const expression = patternToRegExp(pattern);
    const matches = names.filter(({ name }) => expression.test(name));
    for (const { path } of matches) add(path);
    if (matches.length === 0 && !builtinNames.some((name) => expression.test(name))) unmatched.push(pattern);
  }
  return { modules: [...selected].sort(), unmatched };
}
