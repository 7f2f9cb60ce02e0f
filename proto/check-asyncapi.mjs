// Fails if a document is no AsyncAPI, or if anything about it is less than perfect.

import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const [path] = process.argv.slice(2);
const { document, diagnostics } = await new Parser().parse(readFileSync(path, "utf8"), { source: path });
for (const { message, path: place } of diagnostics) console.error(`${path}: ${place.join(".")}: ${message}`);
process.exitCode = document && diagnostics.length === 0 ? 0 : 1;
