/** Writes numbers and counts as people read them. */

/** `3 photos`, `1 photo`. */
export function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

/** `12.3 MB`; units of 1,000, as cameras and shops count. */
export function bytes(number) {
  if (number < 1e6) return `${Math.max(1, Math.round(number / 1e3))} kB`;
  return `${(number / 1e6).toFixed(number < 1e8 ? 1 : 0)} MB`;
}

/** `0.84 s`, `12 s`, `2 min 5 s`. */
export function seconds(number) {
  if (number < 1) return `${number.toFixed(2)} s`;
  if (number < 10) return `${number.toFixed(1)} s`;
  if (number < 60) return `${Math.round(number)} s`;
  return `${Math.floor(number / 60)} min ${Math.round(number % 60)} s`;
}

/** `1/60 s`, `2.5 s`: a shutter time as cameras show it. */
export function shutter(number) {
  if (number >= 0.3) return `${Number(number.toFixed(1))} s`;
  return `1/${Math.round(1 / number)} s`;
}

/** `+2 EV`, `−1.3 EV`, `0 EV`. */
export function ev(number) {
  const rounded = Math.round(number * 10) / 10;
  const sign = rounded > 0 ? "+" : rounded < 0 ? "−" : "";
  return `${sign}${Math.abs(rounded)} EV`;
}

/** `a, b and c`. */
export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}
