/**
 * What a guest runs to ask for one boot: `detect`, `set METHOD`, `clear` (what the last `set` left), `kexec` (goes there).
 * Compiled into an executable by one-shot-guest.ts. Files: /one-shot/{vmlinuz,initramfs.img,config.cpio,undo.json}.
 */
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import { clearOneShot, detectOneShot, type OneShotMethod, setOneShot } from "../../src/one-shot/one-shot.ts";
import { rebootMachine } from "../../src/system/libc.ts";

const say = (line: string) => writeSync(1, `${line}\n`);
const [command, method] = process.argv.slice(2);
switch (command) {
  case "detect": {
    const { usable, refused } = await detectOneShot("/");
    for (const { method: each, reason } of usable) say(`usable ${each}: ${reason}`);
    for (const { method: each, reason } of refused) say(`refused ${each}: ${reason}`);
    break;
  }
  case "set": {
    const undo = await setOneShot({
      root: "/",
      kernelPath: "/one-shot/vmlinuz",
      initramfsPath: "/one-shot/initramfs.img",
      configArchive: readFileSync("/one-shot/config.cpio"),
      commandLine: "console=ttyS0 quiet wanted=yes",
      method: method as OneShotMethod,
    });
    writeFileSync("/one-shot/undo.json", JSON.stringify(undo));
    for (const line of undo.done) say(`done: ${line}`);
    break;
  }
  case "clear":
    await clearOneShot(JSON.parse(readFileSync("/one-shot/undo.json", "utf8")));
    say("cleared");
    break;
  case "kexec":
    rebootMachine("kexec");
    break;
  default:
    throw new Error(`no command ${command}`);
}
