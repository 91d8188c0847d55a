import { describe, expect, it } from "vitest";

import { stepsOf } from "./steps";
import { colorizer, languages, spansOf } from "./syntax";

const go = '// pour pours.\nfunc pour(ml int) string { return "tea" + `x` } // <b>&amp;\n';

describe("spansOf", () => {
  it("splits code by what its parts are", async () => {
    const spans = await spansOf("Go", go);
    expect(spans).toContainEqual({ kind: "comment", text: "// pour pours." });
    expect(spans).toContainEqual({ kind: "keyword", text: "func" });
    expect(spans).toContainEqual({ kind: "string", text: '"tea"' });
  });

  it.each(languages)("changes no character of code in %s", async (language) => {
    for (const code of [go, "<a href='x'>\n<script>let a = 1</script>", "- a: [1, 'x']\n+ b", "#!/bin/sh\nfor i in *; do echo \"$i\"; done", "🎉 é\u2028\n\t", ""]) {
      const spans = await spansOf(language, code);
      expect(spans?.map(({ text }) => text).join("")).toBe(code);
    }
  });

  it("leaves unknown languages and long code as they are", async () => {
    expect(await spansOf("klingon", "x")).toBeUndefined();
    expect(await spansOf("go", "x".repeat(20_000))).toBeUndefined();
  });

  it.each(languages)("takes linear time for hostile code in %s", async (language) => {
    const color = await colorizer(language);
    const words = ['"', "'", "`", "/*", "<!--", "<a ", "(", "{", "[", "${", "#{", "a.", "a<", "fn a(", "$(", "<<EOF\n", "\\", "- ", "@a(", "1e", " ", "a\n", "//"];
    const of = (size: number): Promise<number> => stepsOf(() => words.forEach((word) => color?.(word.repeat(Math.floor(size / word.length)))));
    expect((await of(4000)) / (await of(1000))).toBeLessThan(2 * 4); // quadratic time would give 16
  });
});
