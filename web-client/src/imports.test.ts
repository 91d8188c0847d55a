import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

import { describe, expect, it } from "vitest";

type Imports = ReadonlyMap<string, readonly string[]>;

/**
 * importsBelow maps each source file to the files that it imports, including types and dynamic
 * imports.
 */
function importsBelow(root: string): Imports {
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((f) => /\.tsx?$/.test(f));
  return new Map(
    files.map((file) => {
      const source = readFileSync(join(root, file), "utf8");
      const paths = [...source.matchAll(/\b(?:from|import)\b\s*\(?\s*"(\.[^"]+)"/g)].map(([, path = ""]) => join(dirname(file), path));
      const imported = paths.flatMap((path) => [".ts", ".tsx"].map((ext) => path.replace(/\.js$/, "") + ext));
      return [file, imported.filter((f) => existsSync(join(root, f)))];
    }),
  );
}

/** cycleIn returns the first import cycle that it finds, as a path that ends where it starts. */
function cycleIn(imports: Imports): readonly string[] {
  const done = new Set<string>();
  const visit = (file: string, path: readonly string[]): readonly string[] => {
    if (path.includes(file)) {
      return [...path.slice(path.indexOf(file)), file];
    }
    if (done.has(file)) {
      return [];
    }
    for (const imported of imports.get(file) ?? []) {
      const cycle = visit(imported, [...path, file]);
      if (cycle.length > 0) {
        return cycle;
      }
    }
    done.add(file);
    return [];
  };
  for (const file of imports.keys()) {
    const cycle = visit(file, []);
    if (cycle.length > 0) {
      return cycle;
    }
  }
  return [];
}

describe("imports", () => {
  it.each(["./", "../sdk/src/"])("below %s have no cycle", (folder) => {
    const imports = importsBelow(fileURLToPath(new URL(folder, import.meta.url)));
    expect([...imports.values()].flat().length).toBeGreaterThan(50);
    expect(cycleIn(imports)).toEqual([]);
  });

  it("in a cycle are found", () => {
    expect(cycleIn(new Map([["a", ["b", "c"]], ["b", []], ["c", ["d"]], ["d", ["c"]]]))).toEqual(["c", "d", "c"]);
  });
});
