/** Asking the endpoint whether this machine is to be reinstalled. Whatever is not a clear yes is a no. */
import { describeError, ReimageError } from "../../errors.ts";
import { type Instruction, type InstructionRequest, instructionSchema } from "../protocol/run.ts";
import type { Endpoint } from "./endpoint.ts";
import { Refusal } from "./refusal.ts";

/** Of a yes every word has to be understood: what this version does not know may be a condition. */
const [reinstallSchema] = instructionSchema.options;
const strictReinstallSchema = reinstallSchema.strict().extend({ image: reinstallSchema.shape.image.strict() });

/** @throws ReimageError `control` for an answer that is none. */
export function parseInstruction(body: unknown, name: string): Instruction {
  const loose = instructionSchema.safeParse(body);
  const parsed = loose.data?.action === "reinstall" ? strictReinstallSchema.safeParse(body) : loose;
  if (parsed.success) return parsed.data;
  const problem = parsed.error.issues.map(({ path, message }) => `${path.join(".") || "it"}: ${message}`).join("; ");
  throw new ReimageError("control", `${name} gave an instruction that is not understood (${problem.slice(0, 300)})`, {
    hint: "use versions of the endpoint and of reimage that fit; nothing was written",
  });
}

export interface AskOptions {
  /** How long an endpoint that cannot be reached, or is busy, is asked again. */
  readonly limitMs: number;
  /** A clock that never goes back, and a pause; for tests. */
  nowMs(): number;
  sleep(ms: number): Promise<void>;
  /** Told why it is asked again. */
  onAgain(refusal: Refusal): void;
}

/** Asks once, and again while there is no answer. @throws ReimageError `control` where there is none that counts. */
export async function askInstruction(
  endpoint: Endpoint,
  machineId: string,
  request: InstructionRequest,
  { limitMs, nowMs, sleep, onAgain }: AskOptions,
): Promise<Instruction> {
  const startMs = nowMs();
  for (let pauseMs = 1000; ; pauseMs = Math.min(pauseMs * 2, 15_000)) {
    try {
      const { body } = await endpoint.post(`/machines/${machineId}/instructions`, request);
      return parseInstruction(body, endpoint.name);
    } catch (thrown) {
      if (!(thrown instanceof Refusal)) throw thrown;
      const waitMs = Math.max(pauseMs, thrown.pauseSeconds * 1000);
      if (thrown.kind === "lasting" || nowMs() - startMs + waitMs > limitMs) throw noAnswer(endpoint, thrown);
      onAgain(thrown);
      await sleep(waitMs);
    }
  }
}

function noAnswer(endpoint: Endpoint, refusal: Refusal): ReimageError {
  const hint = refusal.hint ?? "control.decides is set, and without an answer nothing is written: see to the endpoint";
  return new ReimageError("control", `${endpoint.name} ${describeError(refusal)}`, { hint });
}
