// The advice for an image: to refer it, or that no threshold for that is reached. The same as dspkd.deploy.bundle.advice in
// Python, word for word.

export const REFER = "Refer to a dermatologist.";
export const NOT_REACHED = "No referral threshold reached: this is no all-clear.";

/** What is written beside a class that is not benign. */
export const MARKS = { malignant: "malignant", premalignant: "can become malignant", unknown: "not known whether malignant" };

const IS = { malignant: "malignant", premalignant: "one that can become malignant", unknown: "not known to be benign" };
const TOGETHER = "Malignant or possibly malignant classes together have";
const BEFORE_REFER_FROM =
  "This bundle was made before bundles had a threshold for the sum of the malignant classes; export its run again.";

const decimals = (share, more) => (share >= 0.01 ? 1 : 2) + more;
const rounded = (share, more) => (100 * share).toFixed(decimals(share, more));
const MOST_MORE = 15;

/** A share in per cent, with one decimal, below 1 % two, and so many more; 0 or 100 only where it is that. */
export function percent(share, more = 0) {
  const text = rounded(share, more);
  const last = 10 ** -decimals(share, more);
  if (share > 0 && share < 1 && Number(text) === 0) return `less than ${last.toFixed(decimals(share, more))} %`;
  if (share > 0 && share < 1 && Number(text) === 100) return `more than ${(100 - last).toFixed(decimals(share, more))} %`;
  return `${text} %`;
}

/** A share and its threshold in per cent, with as many decimals as they need to differ, if they do. */
function percents(share, threshold) {
  let more = 0;
  while (share !== threshold && Number(rounded(share, more)) === Number(rounded(threshold, more)) && more < MOST_MORE) more += 1;
  return [percent(share, more), percent(threshold, more)];
}

/** Of a class of a bundle: one of the keys of MARKS, or benign. */
export const malignancy = (each) => each.malignancy ?? "unknown";

/** The advice for probabilities in the order of the bundle's classes. */
export function advise(p, { classes, thresholds }) {
  const { refer_below: referBelow, refer_from: referFrom = null, refer_from_rule: rule = BEFORE_REFER_FROM } = thresholds;
  const confidence = Math.max(...p);
  const top = classes[p.indexOf(confidence)];
  const notBenign = p.reduce((sum, each, k) => sum + (malignancy(classes[k]) === "benign" ? 0 : each), 0);
  const reasons = [];
  // Written so that a probability that is no number refers.
  if (referFrom !== null && !(notBenign < referFrom)) {
    const [together, threshold] = percents(notBenign, referFrom);
    reasons.push(`${TOGETHER} ${together}; from ${threshold} the advice is to refer.`);
  }
  if (top && malignancy(top) !== "benign") reasons.push(`The most probable class, ${top.name}, is ${IS[malignancy(top)]}.`);
  if (!(confidence >= referBelow)) {
    const [highest, threshold] = percents(confidence, referBelow);
    reasons.push(`Not sure: the highest probability, ${highest}, is below ${threshold}.`);
  }
  if (referFrom === null) reasons.push(`The advice is always to refer: ${rule.charAt(0).toLowerCase()}${rule.slice(1)}`);
  if (reasons.length) return { advice: REFER, refer: true, reasons, not_benign: notBenign };
  const [together, threshold] = percents(notBenign, referFrom);
  const below = `${TOGETHER} ${together}, below the threshold of ${threshold}.`;
  const reached = [below, "A cancer can stay below it, too; see the limits of this network."];
  return { advice: NOT_REACHED, refer: false, reasons: reached, not_benign: notBenign };
}
