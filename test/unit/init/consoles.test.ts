import { describe, expect, test } from "bun:test";
import { closeSync, constants, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { kindOfConsole, openConsole, parseActiveConsoles } from "../../../src/init/consoles.ts";

describe("which consoles", () => {
  test.each<[string, string[]]>([
    ["tty0 ttyS0\n", ["tty0", "ttyS0"]],
    ["ttyS0\n", ["ttyS0"]],
    ["\n", ["tty0"]], // `console=` named nothing that exists: the screen is still worth a try
  ])("%j", (text, names) => {
    expect(parseActiveConsoles(text)).toEqual(names);
  });

  test("only a virtual terminal has a cursor", () => {
    const names = ["tty0", "tty12", "ttyS0", "hvc0", "ttyUSB0", "ttyAMA0"];
    expect(names.filter((name) => kindOfConsole(name) === "terminal")).toEqual(["tty0", "tty12"]);
  });
});

/** A pipe with a name, whose reader takes what it wants and when it wants. */
function openPipe() {
  const directory = mkdtempSync(join(tmpdir(), "reimage-console-"));
  const path = join(directory, "ttyS0");
  Bun.spawnSync(["mkfifo", path]);
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  return {
    path,
    read(): string {
      const buffer = Buffer.alloc(1 << 20);
      try {
        return buffer.toString("utf8", 0, readSync(fd, buffer));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
        throw error;
      }
    },
    [Symbol.dispose]() {
      closeSync(fd);
      rmSync(directory, { recursive: true });
    },
  };
}

describe("writing to a console", () => {
  test("one that takes nothing for a while holds nobody up, and gets the end of it later", async () => {
    using pipe = openPipe();
    const console = openConsole(pipe.path, "ttyS0");
    for (let line = 0; line < 5000; line++) console.write(`line ${line} of a long run\n`);
    let text = "";
    while (!text.endsWith("line 4999 of a long run\n")) {
      text += pipe.read();
      await console.drain(100);
    }
    expect(text).toStartWith("line 0 of");
    console.close();
  });

  test("drain gives up on one that never takes it", async () => {
    using pipe = openPipe();
    const console = openConsole(pipe.path, "ttyS0");
    for (let kilobytes = 0; kilobytes < 200; kilobytes++) console.write("x".repeat(1024));
    await console.drain(50);
    expect(pipe.read()).toHaveLength(65536); // what the pipe holds
    await console.drain(0); // it tries at once, whatever its time
    expect(pipe.read()).toHaveLength(65536); // what was kept meanwhile
    await console.drain(50);
    expect(pipe.read()).toBe(""); // the oldest was given up
    console.close();
  });

  test("one that is broken says so once and is left alone from then on", () => {
    const console = openConsole("/dev/full", "ttyS9");
    expect(() => console.write("hello\n")).toThrow("console ttyS9 takes no output");
    expect(() => console.write("hello\n")).not.toThrow();
    console.close();
  });

  test("one that does not exist is an error to open", () => {
    expect(() => openConsole("/dev/ttyNothing", "ttyNothing")).toThrow("ENOENT");
  });
});
