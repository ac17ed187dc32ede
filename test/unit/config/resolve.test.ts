import { describe, expect, test } from "bun:test";
import { describeConfig } from "../../../src/config/describe.ts";
import { parseKernelCommandLine } from "../../../src/config/kernel-command-line.ts";
import { type Override, resolveConfig, resolveReporting } from "../../../src/config/resolve.ts";
import type { Config } from "../../../src/config/schema.ts";
import { refuseUnsupported } from "../../../src/config/support.ts";
import { ReimageError } from "../../../src/errors.ts";
import { createRandom, mutate } from "../image-manifest/random.ts";

const least = `
image: { source: "LABEL=data:/images/os.img.bz2" }
old: { root: LABEL=root }
new: { root: 2 }
`;

const kiosk = `
image:
  source: LABEL=data:/images/os.img.bz2
  publicKey: /etc/reimage/image.pub
  allowOlder: true
target:
  disk: serial=S3Z9 model=Samsung SSD 860 size=500107862016
old:
  root: UUID=1234-ABCD
  mounts: { /kiosk: LABEL=kiosk }
new:
  root: LABEL=newroot
  mounts:
    /kiosk: 6
    /srv/a.b: PARTUUID=1
retention:
  list: /etc/reimage/retentionlist.txt
log: /kiosk/log
onSuccess: poweroff
onFailure: reboot
shells: []
watchdog: { enabled: false, timeoutSeconds: 30, stallSeconds: 120 }
waitSeconds: 0
control: { url: "https://deploy.example:8443/v1", token: s3cret }
`;

const commandLine = 'root=/dev/sda2 quiet reimage.target.disk="serial=A B" reimage.shells=[tty5] reimage.log=/x --';

function set(key: string, value: string): Override {
  return { key, value, origin: `--set ${key}` };
}

function resolve(file: string | null, ...overrides: Override[]): Config {
  return resolveConfig(file, "reimage.yaml", overrides);
}

/** The message of the error that resolving ends in. */
function problem(file: string | null, ...overrides: Override[]): string {
  try {
    resolve(file, ...overrides);
  } catch (error) {
    if (error instanceof ReimageError && error.code === "config") return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

describe("resolveConfig", () => {
  test("the least file, and every default", () => {
    expect(resolve(least)).toEqual({
      image: {
        source: "LABEL=data:/images/os.img.bz2",
        manifest: null,
        publicKey: "/etc/reimage/image.pub",
        publicKeyNamed: false,
        allowOlder: false,
        mirrors: [],
        ca: null,
        timeoutSeconds: 30,
        stallSeconds: 300,
      },
      target: { disk: { kind: "old-root", named: false } },
      old: { root: "LABEL=root", mounts: {} },
      new: { root: "2", mounts: {} },
      retention: { list: null },
      log: null,
      onSuccess: "reboot",
      onFailure: "shell",
      shells: ["tty2", "tty3"],
      watchdog: { enabled: true, timeoutSeconds: 60, stallSeconds: 600 },
      waitSeconds: 60,
      control: null,
    });
  });

  test("every key of the file", () => {
    expect(resolve(kiosk)).toEqual({
      image: {
        source: "LABEL=data:/images/os.img.bz2",
        manifest: null,
        publicKey: "/etc/reimage/image.pub",
        publicKeyNamed: true,
        allowOlder: true,
        mirrors: [],
        ca: null,
        timeoutSeconds: 30,
        stallSeconds: 300,
      },
      target: { disk: { kind: "match", serial: "S3Z9", model: "Samsung SSD 860", sizeBytes: 500107862016 } },
      old: { root: "UUID=1234-ABCD", mounts: { "/kiosk": "LABEL=kiosk" } },
      new: { root: "LABEL=newroot", mounts: { "/kiosk": "6", "/srv/a.b": "PARTUUID=1" } },
      retention: { list: "/etc/reimage/retentionlist.txt" },
      log: "/kiosk/log",
      onSuccess: "poweroff",
      onFailure: "reboot",
      shells: [],
      watchdog: { enabled: false, timeoutSeconds: 30, stallSeconds: 120 },
      waitSeconds: 0,
      control: {
        url: "https://deploy.example:8443/v1",
        token: "s3cret",
        tokenFile: null,
        ca: null,
        decides: false,
        machine: null,
        timeoutSeconds: 10,
      },
    });
  });

  test("overrides alone can be a configuration", () => {
    const config = resolve(
      null,
      set("image.source", "http://host/os.img"),
      set("old.root", "none"),
      set("new.root", "1"),
      set("target.disk", "path=/dev/loop0"),
    );
    expect(config.target.disk).toEqual({ kind: "match", path: "/dev/loop0" });
    expect(config.old.root).toBe("none");
  });

  test("an override wins over the file, a later one over an earlier one", () => {
    const config = resolve(
      kiosk,
      set("log", "/first"),
      set("log", "/second"),
      set("onSuccess", "reboot"),
      set("watchdog.timeoutSeconds", "90"),
      set("watchdog.enabled", "true"),
      set("shells", "[tty5]"),
      set("old.mounts./data.old", "/dev/sda5"),
      set("new.mounts./kiosk", "7"),
      set("control.token", "00123"),
      set("target.disk", "old-root"),
    );
    expect(config).toMatchObject({
      log: "/second",
      onSuccess: "reboot",
      watchdog: { enabled: true, timeoutSeconds: 90, stallSeconds: 120 },
      shells: ["tty5"],
      old: { mounts: { "/kiosk": "LABEL=kiosk", "/data.old": "/dev/sda5" } },
      new: { mounts: { "/kiosk": "7", "/srv/a.b": "PARTUUID=1" } },
      control: { token: "00123" },
      target: { disk: { kind: "old-root", named: true } },
    });
  });

  test("an override with nothing takes a key back to its default", () => {
    const config = resolve(
      kiosk,
      set("log", ""),
      set("control", ""),
      set("old.mounts./kiosk", ""),
      set("new.mounts", "null"),
      set("image.publicKey", "~"),
    );
    expect(config).toMatchObject({ log: null, control: null, old: { mounts: {} }, new: { mounts: {} } });
    expect(config.image.publicKeyNamed).toBe(false);
  });

  test("an empty list of shells must be written as one", () => {
    expect(problem(kiosk, set("shells", ""))).toBe("--set shells: shells has no value");
  });

  test("an override of one mapping leaves another that YAML made the same alone", () => {
    const file = `${least}\n`.replace(
      "old: { root: LABEL=root }",
      "old: { root: LABEL=root, mounts: &m { /a: LABEL=a } }",
    );
    const config = resolve(file.replace("new: { root: 2 }", "new: { root: 2, mounts: *m }"), set("new.mounts./b", "5"));
    expect(config.old.mounts).toEqual({ "/a": "LABEL=a" });
    expect(config.new.mounts).toEqual({ "/a": "LABEL=a", "/b": "5" });
  });
});

describe("what is wrong with a configuration", () => {
  test.each([
    ["imag: 1", "line 5: unknown key imag; did you mean image?"],
    ["source: x", "line 5: unknown key source; did you mean image.source?"],
    ["onsuccess: reboot", "line 5: unknown key onsuccess; did you mean onSuccess?"],
    ["retentionlist: x", "line 5: unknown key retentionlist; did you mean retention.list?"],
    ["watchdog:\n  timeout: 5", "line 6: unknown key watchdog.timeout; did you mean watchdog.timeoutSeconds?"],
    ["log: ''", "line 5: log: must not be empty"],
    ["log: /", 'line 5: log: "/" is the root itself'],
    ["log: kiosk/log", 'line 5: log: "kiosk/log" is not an absolute path'],
    ["log: /kiosk/../etc", 'line 5: log: "/kiosk/../etc" is not normalised'],
    ["log: /kiosk/log/", 'line 5: log: "/kiosk/log/" is not normalised'],
    ["onFailure: explode", "line 5: onFailure: expected one of shell, reboot, poweroff"],
    ["shells: tty2", "line 5: shells: "],
    ["shells: [../dev/sda]", "line 5: shells.0: expected a terminal such as tty2"],
    ["waitSeconds: -1", "line 5: waitSeconds: must not be negative"],
    ["waitSeconds: soon", "line 5: waitSeconds: expected a whole number of seconds"],
    ["watchdog: { timeoutSeconds: 0 }", "line 5: watchdog.timeoutSeconds: must be at least 1"],
    ["new.partition: 5", "did you mean new."],
    ["watchdog: on", "line 5: watchdog: expected a mapping"],
    ["control: { url: ftp://x }", "control.url: expected an http(s) URL"],
    ["control: { url: http://x, token: 123 }", "control.token: expected text (put a value made of digits in quotes)"],
    ["control: { token: abc }", "control.url is missing"],
    ["control: { decides: true }", "control.url is missing"],
    ["control: { url: http://x, machine: kiosk-7 }", "control.machine: expected a UUID"],
    ["control: { url: http://x, timeoutSeconds: 0 }", "control.timeoutSeconds: must be at least 1"],
    ["control: { url: http://x, tokenFile: token }", 'control.tokenFile: "token" is not an absolute path'],
    ["control: { url: http://x, token: a, tokenFile: /b }", "control.token and control.tokenFile are both set"],
    ["control: { url: http://x, ca: /ca.pem }", "control.url does not begin with https://"],
    ["control: { url: http://a:b@x }", "control.url must not hold a user name"],
    ["control: { url: 'http://x/?token=1' }", "control.url must not hold a user name"],
    ["target: { disk: /dev/sda }", 'target.disk: "/dev/sda" names no disk: expected old-root, or one or more of'],
    ["new: { root: 2 }", "line 5: new stands on line 4 already"],
  ])("%s", (line, expected) => {
    expect(problem(`${least}${line}\n`)).toContain(expected);
  });

  test.each([
    ["LABEL=data", "image.source"],
    ["LABEL=data:images/os.img", "image.source"],
    ["LABEL=data:/images/../os.img", "image.source"],
    ["LABLE=data:/os.img", "image.source"],
    ["/dev/sda3", "image.source"],
    ["os.img", "image.source"],
    ["http://", "image.source"],
  ])("image source %s", (source, key) => {
    expect(problem(least, set("image.source", source))).toStartWith(`--set ${key}: ${key}: `);
  });

  test.each([
    ["old.root", "root"],
    ["old.root", "LABEL="],
    ["old.root", "None"],
    ["old.mounts./kiosk", "6"],
    ["new.root", "0"],
    ["new.root", "2.5"],
    ["new.root", "/dev/sda2"],
    ["new.root", "none"],
    ["new.mounts./kiosk", "-1"],
  ])("file system %s=%s", (key, value) => {
    expect(problem(least, set(key, value))).toContain("names no file system");
  });

  test.each(["kiosk", "/", "/a/", "/a//b", "/../etc", "/a/./b", "__proto__"])("mount point %s", (mountPoint) => {
    expect(problem(least, set(`old.mounts.${mountPoint}`, "LABEL=x"))).toStartWith(`--set old.mounts.${mountPoint}: `);
    const inFile = least.replace("LABEL=root }", `LABEL=root, mounts: { ${mountPoint}: LABEL=x } }`);
    expect(problem(inFile)).toContain(mountPoint === "__proto__" ? "__proto__ is no key" : "old.mounts");
  });

  test("every problem is named at once, each with the place where it stands", () => {
    const file = "image:\n  sorce: x\nold:\n  root: root\nlog: x\n";
    expect(problem(file, set("onsuccess", "x"), set("waitSeconds", "long")).split("\n  ")).toEqual([
      "the configuration has problems:",
      "--set onsuccess: unknown key onsuccess; did you mean onSuccess?",
      "reimage.yaml line 1: image.source is missing",
      "reimage.yaml line 2: unknown key image.sorce; did you mean image.source?",
      'reimage.yaml line 4: old.root: "root" names no file system: expected LABEL=…, UUID=…, PARTLABEL=…, PARTUUID=… or /dev/…',
      "reimage.yaml: new.root is missing",
      'reimage.yaml line 5: log: "x" is not an absolute path',
      "--set waitSeconds: waitSeconds: expected a whole number of seconds",
    ]);
  });

  test("a file that is no YAML names the line; one that does not exist is named", () => {
    expect(problem("image:\n  source: x\n\tdisk: y\nlog: /a\n")).toBe("reimage.yaml: not valid YAML near line 3");
    expect(problem("- a\n")).toBe("reimage.yaml: expected a mapping of keys to values");
    expect(problem("a: 1\n---\nb: 2\n")).toBe("reimage.yaml: expected a mapping of keys to values");
    expect(problem(null)).toContain("(reimage.yaml does not exist)");
    expect(problem("")).toContain("image.source is missing");
  });

  test("a machine without an old OS needs a named disk and has no old mounts", () => {
    expect(problem(least, set("old.root", "none"))).toContain("target.disk is old-root, but old.root is none");
    const named = [set("old.root", "none"), set("target.disk", "serial=1")];
    expect(resolve(least, ...named).old.root).toBe("none");
    expect(problem(least, ...named, set("old.mounts./kiosk", "LABEL=k"))).toContain("old.mounts needs an old.root");
  });

  test.each(["__proto__", "constructor", "toString", "image.__proto__.x", "image", "old.mounts.", "", "."])(
    "the key %s is refused and changes nothing else",
    (key) => {
      expect(problem(least, set(key, "x"))).toContain("did you mean");
      expect(Object.keys(Object.prototype)).toEqual([]);
    },
  );

  test("no message and no description shows a secret", () => {
    const file = `${least}control: { url: "https://host/", token: s3cret }\n`;
    const described = describeConfig(resolve(file));
    expect(described).toContain("control.token: <hidden>\n");
    const ofImage = describeConfig(resolve(least, set("image.source", "https://user:pw@host/os.img")));
    expect(ofImage).toContain("image.source: https://<hidden>@host/os.img\n");
    expect(described).not.toContain("s3cret");
    expect(problem(file.replace("s3cret", "[s3cret]"))).not.toContain("s3cret");
    expect(problem(`${file}image: 1`)).not.toContain("s3cret");
    expect(problem(least, set("image.source", "http://user:pw@"))).not.toContain("pw");
    expect(problem(least, set("control.url", "ftp://user:pw@x"))).not.toContain("pw");
    expect(problem(least, set("control.url", "http://user:pw@x"))).not.toContain("pw");
  });
});

describe("refuseUnsupported", () => {
  test("kexec only where it is possible", () => {
    const config = resolve(least, set("onSuccess", "kexec"));
    expect(() => refuseUnsupported(config, { kexec: false })).toThrow("onSuccess: kexec");
    expect(() => refuseUnsupported(config, { kexec: true })).not.toThrow();
    expect(() => refuseUnsupported(resolve(least), { kexec: false })).not.toThrow();
  });
});

describe("fuzzing", () => {
  test("1,000 mutations of a file: a ReimageError, or a configuration that says the same when described", () => {
    const random = createRandom(20260103);
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      try {
        const config = resolve(mutate(kiosk, random), ...parseKernelCommandLine(mutate(commandLine, random)));
        expect(describeConfig(config)).toContain("image.source: ");
      } catch (error) {
        if (!(error instanceof ReimageError)) throw error;
        expect(error.code).toBe("config");
        refused += 1;
      }
    }
    expect(refused).toBeGreaterThan(500);
    expect(refused).toBeLessThan(1000);
  });
});

describe("what reporting needs", () => {
  const reporting = (text: string | null, ...overrides: Parameters<typeof resolveConfig>[2]) =>
    resolveReporting(text, "reimage.yaml", overrides);

  test("a configuration that says nothing of a reimage will do, and so will a whole one", () => {
    const control = { token: null, tokenFile: null, ca: null, decides: false, machine: null, timeoutSeconds: 10 };
    const url = "https://deploy.example/";
    expect(reporting(`control: { url: "${url}" }\n`)).toEqual({ control: { ...control, url }, log: null });
    expect(reporting(null, set("control.url", url))).toEqual({ control: { ...control, url }, log: null });
    expect(reporting(kiosk)).toMatchObject({ control: { token: "s3cret" }, log: "/kiosk/log" });
    expect(reporting(least)).toEqual({ control: null, log: null });
  });

  test.each([
    ["control: { url: ftp://x }", "reimage.yaml line 1: control.url: expected an http(s) URL"],
    ["control: { url: http://x, ca: /ca.pem }", "control.url does not begin with https://"],
    ["control: { uri: http://x }", "unknown key control.uri; did you mean control.url?"],
  ])("%s", (text, expected) => {
    expect(() => reporting(text)).toThrow(expect.objectContaining({ message: expect.stringContaining(expected) }));
  });
});
