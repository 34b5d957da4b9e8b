/** When a crashed server is started again, and when it is left alone. */

const WINDOW_MS = 3 * 60_000;
const DELAYS_MS = [500, 2_000, 8_000];

export class Restarts {
  private crashes: number[] = [];

  /** Notes a crash; how long to wait before the next start, or `undefined` to give up. */
  next(now: number): number | undefined {
    this.crashes = this.crashes.filter((time) => now - time < WINDOW_MS);
    this.crashes.push(now);
    return DELAYS_MS[this.crashes.length - 1];
  }

  /** Forgets: the user has asked for a new start. */
  clear(): void {
    this.crashes = [];
  }
}
