// Writes compressed copies of the built files, next to the originals. chat-service sends a file in
// the best encoding that the browser accepts. Compressing once, at the highest level, costs less
// than compressing in each program at each start.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

const dist = fileURLToPath(new URL("./dist/", import.meta.url));
const packable = /\.(html|js|css|svg|json|webmanifest|txt|map)$/;
const worthIt = 512; // bytes; a smaller file fits into one packet with the headers anyway

for (const entry of readdirSync(dist, { recursive: true, withFileTypes: true })) {
  if (!entry.isFile() || !packable.test(entry.name)) continue;
  const path = join(entry.parentPath, entry.name);
  const content = readFileSync(path);
  if (content.length < worthIt) continue;
  writeFileSync(`${path}.gz`, gzipSync(content, { level: 9 }));
  writeFileSync(`${path}.br`, brotliCompressSync(content, { params: { [constants.BROTLI_PARAM_SIZE_HINT]: content.length } }));
}
