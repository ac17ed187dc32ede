/** What the client keeps in the work directory. */
import { join } from "node:path";

export const controlDirectory = (workDir: string) => join(workDir, "control");
export const queuePath = (workDir: string) => join(workDir, "control", "queue.ndjson");
/** What an earlier run had left in the old OS for somebody to send. */
export const earlierQueuePath = (workDir: string) => join(workDir, "control", "earlier.ndjson");
export const keptPath = (workDir: string) => join(workDir, "control", "kept.json");
