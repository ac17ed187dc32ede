/**
 * What a guest runs to ask for one boot. Commands, carried out in order: `detect`, `set:METHOD`, `clear` (what the last `set` left,
 * twice), `pending`, `list` (ESP and variables) and `kexec` (goes there). Compiled into an executable by one-shot-guest.ts. Files: /one-shot/{vmlinuz,
 * initramfs.img,config.cpio,undo.json}.
 */
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync, writeSync } from "node:fs";
import {
  clearOneShot,
  detectOneShot,
  isOneShotPending,
  type OneShotMethod,
  type OneShotUndo,
  setOneShot,
} from "../../src/one-shot/one-shot.ts";
import { rebootMachine } from "../../src/system/libc.ts";

const say = (line: string) => writeSync(1, `${line}\n`);
const readUndo = (): OneShotUndo => JSON.parse(readFileSync("/one-shot/undo.json", "utf8"));

for (const command of process.argv.slice(2)) {
  const [verb, method] = command.split(":");
  switch (verb) {
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
      for (let time = 1; time <= 2; time += 1) await clearOneShot(readUndo());
      break;
    case "pending":
      say(`${readUndo().method} pending: ${await isOneShotPending(readUndo())}`);
      break;
    case "list":
      say(spawnSync("sh", ["-c", "find /efi; ls /sys/firmware/efi/efivars"], { encoding: "utf8" }).stdout);
      break;
    case "kexec":
      if (spawnSync("sh", ["-c", "umount /efi && mount -o remount,ro /"]).status === 0) rebootMachine("kexec");
      break;
    default:
      throw new Error(`no command ${command}`);
  }
}
