// The installed Swagger UI (4.15) reads OpenAPI 3.0, /openapi.json is 3.1: what the page shows is translated here.
"use strict";

function translated(node) {
  if (Array.isArray(node)) return node.map(translated);
  if (node === null || typeof node !== "object") return node;
  const result = {};
  for (const [name, value] of Object.entries(node)) result[name] = translated(value);
  if (Array.isArray(result.anyOf)) {
    const kept = result.anyOf.filter((option) => option.type !== "null");
    if (kept.length < result.anyOf.length) {
      delete result.anyOf;
      Object.assign(result, kept.length === 1 ? { ...kept[0], ...result } : { anyOf: kept }, { nullable: true });
    }
  }
  if ("const" in result) {
    result.enum = [result.const];
    delete result.const;
  }
  for (const [bound, limit] of [["exclusiveMinimum", "minimum"], ["exclusiveMaximum", "maximum"]]) {
    if (typeof result[bound] === "number") {
      result[limit] = result[bound];
      result[bound] = true;
    }
  }
  if (Array.isArray(result.examples) && result.example === undefined) {
    result.example = result.examples[0];
    delete result.examples;
  }
  return result;
}

window.addEventListener("load", async () => {
  const answer = await fetch("openapi.json");
  const spec = translated(await answer.json());
  spec.openapi = "3.0.3";
  window.ui = SwaggerUIBundle({ spec, dom_id: "#swagger-ui", deepLinking: true, docExpansion: "list" });
});
