/** `fleet token`: who may use the endpoint. */
import { z } from "zod";
import { newTokenSchema, roles, tokenInfoSchema } from "../../control/protocol/enrolment.ts";
import { exitStatus } from "../command.ts";
import { type Call, numberOf, requireText, requireWords, type Subcommand, wrongUsage } from "./subcommand.ts";
import { minuteOf } from "./words.ts";

const DAY_SECONDS = 86_400;
const listSchema = z.object({ tokens: z.array(tokenInfoSchema) });

export const tokenCommand: Subcommand = {
  options: { role: { type: "string" }, days: { type: "string" } },
  async run(call) {
    const [verb = "list", ...rest] = call.words;
    if (verb === "list") return await list({ ...call, words: rest });
    if (verb === "create") return await create({ ...call, words: rest });
    if (verb === "revoke") return await revoke({ ...call, words: rest });
    throw wrongUsage(`token ${verb}: expected list, create or revoke`);
  },
};

async function list({ client, output, words }: Call): Promise<number> {
  requireWords(words, 0, "no more words");
  const { value, text } = await client.get("/tokens", listSchema);
  if (output.isJson) output.json(text);
  else {
    const rows = value.tokens.map(({ id, name, role, createdAt, expiresAt }) => {
      return [id, name, role, minuteOf(createdAt), minuteOf(expiresAt)];
    });
    output.table(["ID", "NAME", "ROLE", "MADE (UTC)", "EXPIRES (UTC)"], rows);
  }
  return exitStatus.done;
}

async function create({ client, output, values, words }: Call): Promise<number> {
  const [name = ""] = requireWords(words, 1, "one name");
  const role = requireText(values, "role");
  if (!roles.some((each) => each === role)) throw wrongUsage(`--role ${role}: expected ${roles.join(", ")}`);
  const days = numberOf(values, "days", 1, 3650);
  const body = { name, role, expiresInSeconds: days === undefined ? null : days * DAY_SECONDS };
  const { value, text } = await client.send("POST", "/tokens", newTokenSchema, { body });
  if (output.isJson) output.json(text);
  else {
    output.line(value.token);
    output.note(`token ${value.id} of ${value.name}, ${value.role}; it is not shown again`);
  }
  return exitStatus.done;
}

async function revoke({ client, output, words, confirm }: Call): Promise<number> {
  const [id = ""] = requireWords(words, 1, "the id of one token, as `token list` shows it");
  await confirm(`Revoke the token ${id}, and end the sessions that were opened with it.`);
  await client.send("DELETE", `/tokens/${encodeURIComponent(id)}`, null);
  output.note(`token ${id} is revoked`);
  return exitStatus.done;
}
