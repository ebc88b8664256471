// Fuses two files with the fetch that Node brings along, as a page would.
import { readFile, writeFile } from "node:fs/promises";

const [url, under, over, fused] = process.argv.slice(2);
const form = new FormData();
form.append("under", new Blob([await readFile(under)]), "under.png");
form.append("over", new Blob([await readFile(over)]), "over.png");
const response = await fetch(url, { method: "POST", body: form });
await writeFile(fused, Buffer.from(await response.arrayBuffer()));
console.log(response.status);
