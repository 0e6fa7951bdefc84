// One prediction at a time. Whatever an earlier one still waits for is dropped, so that no part of it can come to stand
// beside another image.

/** Thrown in place of a result that is not wanted any more. */
export class Superseded extends Error {}

let newest = 0;

/**
 * Begin again, which supersedes everything that has begun before. Returns a function to wait by: `await step(promise)` is the
 * promise's result, or throws Superseded, after which `discard` has the late result.
 */
export function begin() {
  const number = ++newest;
  const isLate = () => number !== newest;
  const step = async (promise, discard = () => {}) => {
    try {
      const result = await promise;
      if (!isLate()) return result;
      discard(result);
    } catch (error) {
      if (!isLate()) throw error;
    }
    throw new Superseded();
  };
  return Object.assign(step, { isLate });
}
