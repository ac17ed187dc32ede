export async function measureWindow(): Promise<never> {
  throw new Error();
}
