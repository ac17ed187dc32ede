/** What every answer that is no success says. */
import { z } from "zod";

export const apiErrorSchema = z
  .object({
    code: z.string().meta({ description: "stable word: invalid, unauthorized, forbidden, not-found, conflict, …" }),
    message: z.string(),
    hint: z.string().optional(),
  })
  .meta({ id: "Error" });

export type ApiError = z.infer<typeof apiErrorSchema>;
