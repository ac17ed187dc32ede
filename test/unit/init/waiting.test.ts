import { describe, expect, test } from "bun:test";
import { waitFor } from "../../../src/init/devices.ts";
import { workLimitBytes } from "../../../src/init/memory.ts";

describe("waitFor", () => {
  test("looks again until the thing is there", async () => {
    let looks = 0;
    const probe = async () => (++looks < 3 ? null : "sda");
    expect(await waitFor("a disk", probe, 60)).toBe("sda");
    expect(looks).toBe(3);
  });

  test("looks at least once, and names what is missing and what is there", async () => {
    let looks = 0;
    const probe = async () => {
      looks++;
      return null;
    };
    const present = async () => "the disks here are /dev/sdb";
    const error = await waitFor("the disk that target.disk names", probe, 0, present).catch(
      (thrown: unknown) => thrown,
    );
    expect(error).toMatchObject({
      code: "target",
      message: "the disk that target.disk names did not appear within 0 s; the disks here are /dev/sdb",
    });
    expect(looks).toBe(1);
  });

  test("an error of the look itself ends the wait", async () => {
    const probe = () => Promise.reject(new Error("sysfs is gone"));
    await expect(waitFor("a disk", probe, 60)).rejects.toThrow("sysfs is gone");
  });
});

describe("workLimitBytes", () => {
  const MiB = 2 ** 20;
  test("is what is used and what is available, less the reserve", () => {
    expect(workLimitBytes(10 * MiB, 264 * MiB)).toBe(210 * MiB);
  });

  test("never takes away what is used", () => {
    expect(workLimitBytes(10 * MiB, 20 * MiB)).toBe(10 * MiB);
  });
});
