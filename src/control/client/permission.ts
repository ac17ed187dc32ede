/** With `control.decides`: nothing is written to this machine before the endpoint has said so. */
import type { BootInfo } from "../../disk/boot-info.ts";
import { ReimageError } from "../../errors.ts";
import type { Reporter } from "../../report/events.ts";
import type { Instruction, InstructionRequest } from "../protocol/run.ts";
import { installingRunOf, wireBootInfo } from "./lost-report.ts";

/** What stands on the machine, as far as it bears on the question. */
export interface Standing {
  readonly bootInfo: BootInfo | null;
  readonly isDiskNamed: boolean;
}

export interface PermissionOptions {
  readonly runId: string;
  readonly emit: Reporter["emit"];
  ask(request: InstructionRequest): Promise<Instruction>;
  /** Sends the report of an earlier run. @throws ReimageError `control` where nothing proves that it succeeded. */
  sendReport(runId: string, bootInfo: BootInfo | null): Promise<string>;
  /** @throws ReimageError `aborted` */
  requireNotAborted(): void;
  sleep(ms: number): Promise<void>;
  /** Told that the machine shall stay up for somebody to look at it. */
  onRescue(): void;
}

/** So often an endpoint is asked at least that says to wait. */
const MOST_WAIT_SECONDS = 900;
/** So often a waiting machine shows that it is alive; contradictions.ts of the configuration relies on it. */
const SIGN_SECONDS = 45;

/**
 * Asks, waits as long as it is told to, and returns when the endpoint says that this machine is to be reinstalled.
 * @throws ReimageError `control` for every other answer.
 */
export async function askPermission(
  { bootInfo, isDiskNamed }: Standing,
  options: PermissionOptions,
): Promise<Extract<Instruction, { action: "reinstall" }>> {
  const { runId, emit } = options;
  const installed = installingRunOf(bootInfo);
  const request: InstructionRequest = {
    runId,
    bootInfo: bootInfo === null ? null : wireBootInfo(bootInfo),
    installed: installed === null ? null : { runId: installed },
    isDiskNamed,
  };
  const step = (message: string) => emit({ type: "step", stage: "save", message });
  for (;;) {
    options.requireNotAborted();
    const instruction = await options.ask(request);
    switch (instruction.action) {
      case "reinstall":
        step(
          `the control endpoint says to reinstall with ${instruction.image.id}, attempt ${instruction.attempt} of ${instruction.mostAttempts}`,
        );
        return instruction;
      case "boot-local":
        throw refused(instruction.reason, "request the reinstallation at the endpoint, if it is wanted");
      case "rescue":
        options.onRescue();
        throw refused(instruction.reason, "see what the endpoint says of the last runs, and mend the cause");
      case "report-and-boot-local": {
        const said = await options.sendReport(instruction.runId, bootInfo);
        throw refused(`the present system is what it wanted; ${said}`, "nothing is left to do for this machine");
      }
      case "wait": {
        const seconds = Math.min(Math.max(1, instruction.afterSeconds), MOST_WAIT_SECONDS);
        step(`the control endpoint says to wait: ${instruction.reason}; it is asked again in ${seconds} s`);
        await wait(seconds, options);
      }
    }
  }
}

async function wait(seconds: number, { emit, requireNotAborted, sleep }: PermissionOptions): Promise<void> {
  for (let leftSeconds = seconds; leftSeconds > 0; leftSeconds--) {
    await sleep(1000);
    requireNotAborted();
    if (leftSeconds % SIGN_SECONDS === 0) {
      emit({ type: "step", stage: "save", message: `waiting, ${leftSeconds} s more` });
    }
  }
}

function refused(reason: string, hint: string): ReimageError {
  const end = reason.replace(/[.\s]+$/, "");
  return new ReimageError("control", `the control endpoint does not want this machine reinstalled: ${end}`, { hint });
}
