/** `reimage serve`: what `--help` says of it; the work is loaded when it is called. */
import type { Command } from "./command.ts";

export const serveCommand: Command = {
  name: "serve",
  summary: "the control endpoint of a fleet: API, dashboard, network boots, power",
  usage: `reimage serve [options]

Runs until it is told to end (SIGTERM, SIGINT), in the foreground; what it has to say goes to standard error.
docs/control.md tells how to set it up.

  --listen HOST:PORT         where it listens (default 127.0.0.1:7050; [::]:7050 for all addresses; port 0: any free one)
  --data DIR                 its directory: database, first admin token (default /var/lib/reimage)
  --hosts FILE               images, boot configurations, power adapters and machines; read again with SIGHUP
  --tls-cert FILE            certificate (PEM, with those between it and the CA); needs --tls-key
  --tls-key FILE             its key (PEM)
  --facade NAME              answers as another system does, without tokens; may be repeated
  --facade-clients RANGE     who may use the facades, such as 10.0.9.0/24; may be repeated
  --keep-days DAYS           how long the events of runs are kept (90); runs, reports and the audit stay
  --trusted-proxy RANGE      load balancers before it, whose X-Forwarded-For is believed; may be repeated
  --pxelinux ROOT            keeps ROOT/pxelinux.cfg for a TFTP server; needs --pxelinux-configurations
  --pxelinux-configurations DIR  where the boot configurations for it lie, inside ROOT

Environment: DATABASE_URL=postgres://… uses PostgreSQL in place of SQLite in --data.

Exit status: 0 told to end; 2 wrong usage, certificate or hosts file; 3 it could not start.
`,
  async run(args) {
    const { runServe } = await import("./serve-run.ts");
    return await runServe(args, process.env);
  },
};
