/** What a machine said on its serial console, and waiting for it to say something. */

interface Waiter {
  readonly check: () => void;
  readonly fail: (reason: string) => void;
}

export class SerialConsole {
  text = "";
  #position = 0; // everything before it has been waited for
  #ending: string | null = null;
  readonly #waiters = new Set<Waiter>();
  readonly #onText: ((text: string) => void) | undefined;

  constructor(onText?: (text: string) => void) {
    this.#onText = onText;
  }

  append(text: string): void {
    this.text += text;
    this.#onText?.(text);
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  /** Nothing more will come, and why. */
  end(reason: string): void {
    this.#ending = reason;
    for (const waiter of [...this.#waiters]) waiter.check();
  }

  waitFor(pattern: RegExp, timeoutMs: number): Promise<RegExpExecArray> {
    return this.#wait(timeoutMs, `waiting for ${pattern}`, () => {
      const match = pattern.exec(this.text.slice(this.#position));
      if (match !== null) this.#position += match.index + match[0].length;
      else if (this.#ending !== null) throw new Error(this.#ending);
      return match;
    });
  }

  async waitForEnd(timeoutMs: number): Promise<void> {
    await this.#wait(timeoutMs, "waiting for the machine to end", () => this.#ending);
  }

  #wait<T>(timeoutMs: number, what: string, poll: () => T | null): Promise<T> {
    return new Promise((resolve, reject) => {
      const finish = (settle: () => void): void => {
        clearTimeout(timer);
        this.#waiters.delete(waiter);
        settle();
      };
      const fail = (reason: string): void => {
        const screen = this.text.split("\n").slice(-40).join("\n");
        finish(() => reject(new Error(`${reason}, ${what}; the serial console ended with:\n${screen}`)));
      };
      const check = (): void => {
        try {
          const result = poll();
          if (result !== null) finish(() => resolve(result));
        } catch (error) {
          fail(error instanceof Error ? error.message : String(error));
        }
      };
      const waiter: Waiter = { check, fail };
      const timer = setTimeout(() => fail(`nothing for ${timeoutMs / 1000} s`), timeoutMs);
      this.#waiters.add(waiter);
      check();
    });
  }
}
