// Generates src/rest-types.ts from the schemas of docs/openapi.yaml.
// With --check, writes nothing and fails if the file is out of date.
import { readFileSync, writeFileSync } from "node:fs";
import { parse } from "yaml";

const source = new URL("../../../docs/openapi.yaml", import.meta.url);
const target = new URL("../src/rest-types.ts", import.meta.url);
const { schemas } = parse(readFileSync(source, "utf8")).components;


const nameOf = (ref) => ref.split("/").at(-1);

function typeOf(schema) {
  if (schema.$ref) return nameOf(schema.$ref);
  const plain = plainTypeOf(schema);
  return schema.nullable ? `${plain} | null` : plain;
}

function plainTypeOf(schema) {
  if (schema.enum) return schema.enum.map((v) => JSON.stringify(v)).join(" | ");
  switch (schema.type) {
    case "string":
      return "string";
    case "integer":
    case "number":
      return "number";
    case "boolean":
      return "boolean";
    case "array":
      return `readonly ${typeOf(schema.items)}[]`;
    case "object":
      return "Record<string, unknown>";
    default:
      throw new Error(`openapi.yaml has a schema with the unsupported type ${schema.type}`);
  }
}

function comment(text, indent) {
  return text ? `${indent}/** ${text.trim().replaceAll(/\s+/g, " ")} */\n` : "";
}

function declare(name, schema) {
  const doc = comment(schema.description, "");
  if (schema.type !== "object" || !schema.properties) return `${doc}export type ${name} = ${typeOf(schema)};\n`;
  const required = new Set(schema.required ?? []);
  const fields = Object.entries(schema.properties).map(([field, s]) => {
    const absent = required.has(field) ? "" : "?";
    return `${comment(s.description, "  ")}  readonly ${field}${absent}: ${typeOf(s)};\n`;
  });
  return `${doc}export interface ${name} {\n${fields.join("")}}\n`;
}

const text =
  "// Made by scripts/rest-types.mjs from docs/openapi.yaml: run `npm run generate`, do not edit.\n\n" +
  Object.entries(schemas).map(([name, schema]) => declare(name, schema)).join("\n");

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== text) {
    console.error("src/rest-types.ts is out of date with docs/openapi.yaml: run `npm run generate`");
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
