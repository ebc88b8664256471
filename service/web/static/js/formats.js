/** Knows by its name what a file is, and which files are worth sending. */

const PLAIN = "jpg jpeg jpe jfif png webp tif tiff avif bmp";
const BY_EXTRAS = "heic heif hif jxl";
const RAW = "dng cr2 cr3 crw nef nrw arw sr2 srf raf rw2 rwl orf pef srw 3fr fff iiq erf mef mos mrw dcr kdc raw";
const TAKEN = new Set(`${PLAIN} ${BY_EXTRAS} ${RAW}`.split(" "));
const IS_RAW = new Set(RAW.split(" "));
const NAMES = { jpg: "JPEG", jpeg: "JPEG", jpe: "JPEG", jfif: "JPEG", tif: "TIFF", tiff: "TIFF", heif: "HEIC", hif: "HEIC", jxl: "JPEG XL", webp: "WebP" };

/** What the dialogue that chooses files offers. */
export const ACCEPT = ["image/*", ...[...TAKEN].map((ending) => `.${ending}`)].join(",");

/** The ending of a file's name, in small letters. */
export function endingOf(name) {
  return name.includes(".") ? name.split(".").at(-1).toLowerCase() : "";
}

/** A file's name without its ending. */
export function stemOf(name) {
  return name.includes(".") ? name.slice(0, name.lastIndexOf(".")) : name;
}

/** The format's name as people say it. */
export function formatOf(file) {
  const ending = endingOf(file.name);
  if (IS_RAW.has(ending)) return `raw (${ending.toUpperCase()})`;
  return NAMES[ending] ?? (ending.toUpperCase() || "unknown");
}

/** Whether a file may be a photo that the service takes; the service itself judges by its content. */
export function isTaken(file) {
  const ending = endingOf(file.name);
  return !file.name.startsWith(".") && (TAKEN.has(ending) || (ending === "" && file.type.startsWith("image/")));
}

/** Whether a file is a camera's raw file. */
export function isRaw(name) {
  return IS_RAW.has(endingOf(name));
}

/** The ending of a picture's file, by its media type. */
export function endingFor(mediaType) {
  return { "image/jpeg": "jpg", "image/png": "png", "image/webp": "webp", "image/tiff": "tif", "image/avif": "avif", "image/jxl": "jxl" }[mediaType] ?? "bin";
}
