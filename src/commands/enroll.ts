/** `reimage enroll`: makes this machine's token, and makes the control endpoint know it. */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { openEndpoint } from "../control/client/endpoint.ts";
import { readMachineId, readMacs, readSerial } from "../control/client/machine-id.ts";
import { Refusal } from "../control/client/refusal.ts";
import { defaultTokenFile, digestOf, makeToken } from "../control/client/token.ts";
import { type EnrolAnswer, enrolAnswerSchema } from "../control/protocol/enrolment.ts";
import { ReimageError } from "../errors.ts";
import { version } from "../version.ts";
import { type Command, exitStatus } from "./command.ts";
import { endpointOptions, endpointUsage, parseOptions, resolveEndpoint } from "./control-options.ts";
import { parseSeconds } from "./report.ts";

export const enrollCommand: Command = {
  name: "enroll",
  summary: "make this machine known to a control endpoint",
  usage: `reimage enroll [options]

Makes a token, writes it to a file that only its owner may read, and tells the endpoint its digest. With a code from the endpoint's
administrator the machine is known at once; without, it prints a fingerprint, and waits until somebody has compared
it and approved the machine. Run again, it goes on with the same token.

  --code CODE        the one-time code; - reads it from standard input
  --wait SECONDS     how long to wait for approval (default 3600; 0: not at all)
${endpointUsage.replace("where this machine's token is;", `where the token goes (default ${defaultTokenFile});`)}

Exit status: 0 the machine is known; 2 wrong usage or configuration; 3 it is not (yet).
`,
  async run(args) {
    const values = parseOptions(args, { ...endpointOptions, code: { type: "string" }, wait: { type: "string" } });
    const { control } = resolveEndpoint(values);
    const waitSeconds = parseSeconds(values.wait ?? "3600");
    const code = values.code === "-" ? readFileSync(0, "utf8").trim() : values.code;
    const tokenFile = control.tokenFile ?? defaultTokenFile;
    const tokenSha256 = digestOf(makeToken(tokenFile));
    const endpoint = await openEndpoint({ config: control, token: () => null, version });
    const machineId = readMachineId(control.machine);
    const request = { machineId, macs: readMacs(), serial: readSerial(), tokenSha256 };
    say(`this machine is ${machineId}; its token is in ${tokenFile}`);

    const startMs = performance.now();
    const isLate = () => performance.now() - startMs > waitSeconds * 1000;
    for (let isTold = false; ; ) {
      let pauseSeconds = 5;
      try {
        const { body } = await endpoint.post("/enrol", code === undefined ? request : { ...request, code });
        const answer = parseAnswer(body, request);
        if (answer.state === "approved") {
          say(`${endpoint.name} knows this machine`);
          return exitStatus.done;
        }
        if (!isTold)
          say(`waiting for approval; compare this fingerprint with the one that is shown there: ${answer.fingerprint}`);
        isTold = true;
      } catch (thrown) {
        if (!(thrown instanceof Refusal)) throw thrown;
        if (thrown.kind === "lasting" || isLate()) {
          const hint = thrown.status === 401 ? "the code is wrong, used or too old: ask for a new one" : thrown.hint;
          const options = hint === undefined ? {} : { hint };
          throw new ReimageError("control", `${endpoint.name} ${thrown.message}`, options);
        }
        pauseSeconds = Math.max(pauseSeconds, thrown.pauseSeconds);
      }
      if (isLate()) {
        throw new ReimageError("control", `${endpoint.name} has not approved this machine yet`, {
          hint: "approve it there, and run this again: the token stays the same",
        });
      }
      await sleep(pauseSeconds * 1000);
    }
  },
};

/** @throws ReimageError `control` for an answer that is none, or about another token: somebody is in between. */
function parseAnswer(
  body: unknown,
  { machineId, tokenSha256 }: { machineId: string; tokenSha256: string },
): EnrolAnswer {
  const answer = enrolAnswerSchema.safeParse(body);
  const digits = answer.data?.fingerprint.toLowerCase().replace(/[^0-9a-f]/g, "") ?? "";
  if (answer.success && answer.data.machineId === machineId && digits.length >= 12 && tokenSha256.startsWith(digits)) {
    return answer.data;
  }
  throw new ReimageError("control", "the answer is not about this machine and its token", {
    hint: "control.url must be the address of reimage serve; trust no approval until it is",
  });
}

function say(text: string): void {
  process.stdout.write(`reimage: ${text}\n`);
}
