/** Command templates: `{{name}}` in one argument, filled without a shell and without splitting (pure). */

const PLACEHOLDER = /\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}/g;

/** Values by the names that templates use. */
export type Values = Readonly<Record<string, string>>;

/** A filled template, or why it cannot be filled. */
export type Filled = { readonly text: string } | { readonly problem: string };

/** The names that a template uses, in order, each once. */
export function placeholdersOf(template: string): string[] {
  return [...new Set([...template.matchAll(PLACEHOLDER)].map((match) => match[1] ?? ""))];
}

/** What is wrong with a template itself; null: nothing. */
export function templateProblem(template: string): string | null {
  if (template.includes("\0")) return "a NUL cannot be in an argument";
  return /\{\{|\}\}/.test(template.replace(PLACEHOLDER, ""))
    ? `${JSON.stringify(template)} holds {{ or }} that is no placeholder: expected {{name}}`
    : null;
}

/** Fills every placeholder with its value, as it is: no value is looked through for placeholders again. */
export function fillText(template: string, values: Values): Filled {
  for (const name of placeholdersOf(template)) {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    if (value === undefined) return { problem: `the variable ${JSON.stringify(name)} is missing` };
    if (value.includes("\0")) return { problem: `the variable ${JSON.stringify(name)} holds a NUL` };
  }
  return { text: template.replace(PLACEHOLDER, (_, name: string) => values[name] ?? "") };
}

/**
 * Fills one argument of a command. A value must not turn into an option of the program: where the template does not begin
 * with `-` itself, the argument must not either.
 */
export function fillArgument(template: string, values: Values): Filled {
  const filled = fillText(template, values);
  if ("problem" in filled || template.startsWith("-") || !filled.text.startsWith("-")) return filled;
  const names = placeholdersOf(template).map((name) => JSON.stringify(name));
  return { problem: `the variable ${names.join(" or ")} begins with "-" and would be taken for an option` };
}
